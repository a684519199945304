"""SageMaker hosting on one machine: models, endpoint configurations, endpoints, and their invocation.

What is behind an endpoint is real: each instance of a variant is a process of its own (`trainer/serving/server.py`) over
its own unpacked `model.tar.gz`, asked over HTTP as a SageMaker container is.

1. `models` and `endpoint_configs` are records.
2. `endpoints` answers the endpoint operations and drives the status of each record: Creating, InService, Updating,
   Deleting, Failed. `endpoint_record` is the document, `plan` what is to run.
3. `fleet` runs the variants of one endpoint configuration: all instances start and answer `/ping`, or none stays.
4. `instance` is one process: prepared (`archive`), started, pinged, restarted when it dies, drained before it ends.
5. `runtime` routes an invocation to a variant by weight, and to its instance with the least to do.

An update is blue/green in place: the new fleet answers `/ping` before the record points to it, and the old one ends when
its last request has been answered. Everything an endpoint needs to come up again is in the record and in its directory,
so endpoints that were InService when the emulator was killed come back by themselves, without S3.
"""

from __future__ import annotations

from localcloud.compute.hosting.part import HostingPart
from localcloud.compute.hosting.settings import HostingSettings

__all__ = ["HostingPart", "HostingSettings"]
