"""What the control plane itself does for a job: counted in each run of a function, added up beside the job's record.

    with meter.work():          counting begins anew; a process runs one invocation at a time
        meter.for_job(...)      whom the work is for, as soon as that is known; several share it by weight
    ...                         one UpdateItem adds it to each job's meter, and counts itself

What cannot be in the count: the time of that last write (some 5 ms), the functions' own log lines, and what AWS runs before
and after the handler. A count that cannot be written is lost and logged; the work it counts is not undone for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from chalicelib.aws import AwsError
from chalicelib.calls import Calls
from chalicelib.costs.counts import Counts
from chalicelib.log import logger

OWN_WRITE = Counts({"dynamodb_write_units": Decimal(1)})
"""Adding to a meter: an item of one table without an index, always below 1 KB."""


class MeterStore(Protocol):
    def add(self, tenant: str, job_id: str, counts: Counts) -> None:
        """Add to what is counted for a job."""


@dataclass
class Meter:
    """
    Args:
        calls: what all clients of this process note their calls in.
        memory_mb: what this function is given and paid for.
        monotonic: seconds on any clock.
        start_seconds: how long the process took to be ready; Lambda bills that with the first invocation.
    """

    calls: Calls
    store: MeterStore
    memory_mb: int
    monotonic: Callable[[], float]
    start_seconds: float = 0.0
    _began: float = field(default=0.0, init=False)
    _requests: int = field(default=0, init=False)
    _jobs: dict[tuple[str, str], int] = field(default_factory=dict, init=False)

    @contextmanager
    def work(self, *, request: bool = False) -> Iterator[None]:
        """Everything inside is done for the jobs that `for_job` names; without any it is nobody's.

        Args:
            request: it answers a request through API Gateway.
        """
        self.calls.take()
        self._jobs.clear()
        self._began, self._requests = self.monotonic(), int(request)
        try:
            yield
        finally:
            counts = self.so_far()
            self.start_seconds = 0.0
            for (tenant, job_id), part in self._jobs.items():
                self._add(tenant, job_id, counts.share(part, sum(self._jobs.values())) + OWN_WRITE)
            self._jobs.clear()

    def for_job(self, tenant: str, job_id: str, weight: int = 1) -> None:
        """The work at hand is for this job, or partly."""
        self._jobs[tenant, job_id] = self._jobs.get((tenant, job_id), 0) + weight

    def so_far(self) -> Counts:
        """What the work at hand has used."""
        seconds = self.monotonic() - self._began + self.start_seconds
        counts = Counts.of_calls(self.calls.copy()) + Counts.of_invocation(math.ceil(seconds * 1000), self.memory_mb)
        return counts + Counts({"api_requests": Decimal(1)}) if self._requests else counts

    def _add(self, tenant: str, job_id: str, counts: Counts) -> None:
        try:
            self.store.add(tenant, job_id, counts)
        except AwsError as error:
            fields = {"job_id": job_id, "usd": str(counts.usd), "detail": str(error)[:500]}
            logger.warning("what this cost could not be counted", extra=fields)
