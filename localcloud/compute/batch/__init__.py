"""AWS Batch: compute environments, queues, job definitions and jobs.

`catalog.py` answers for the first three, `part.py` for jobs; `submission.py` turns a request into a job's record
(`record.py`), `scheduler.py` decides which job may start where, `run.py` runs one attempt, `retries.py` says whether there
is another one. `instances.py` knows what machines of an instance type hold.
"""

from localcloud.compute.batch.catalog import Catalog
from localcloud.compute.batch.part import BatchPart

__all__ = ["BatchPart", "Catalog"]
