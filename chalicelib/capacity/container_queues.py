"""What Batch says of its queues of containers, counted in vCPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.capacity.batch_queue import HAVE_A_MACHINE, Queued, Snapshot, ids_of, until
from chalicelib.jobs.job import Attempt, Job

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

# The most that DescribeJobs takes, and as many as a snapshot shows.
AT_ONCE = 100


@dataclass(frozen=True)
class ContainerQueues:
    """A `batch_queue.View`.

    Args:
        arn_of: ARN of a job's queue.
        max_vcpus: that the machines of each queue may have together.
    """

    client_of: Callable[[], BatchClient]
    arn_of: Callable[[Job], str]
    max_vcpus: int
    unit: str = "vCPUs"

    def queue_of(self, job: Job) -> str:
        return self.arn_of(job)

    def size_of(self, job: Job) -> float:
        return float(job.allocation.cpu_cores)

    def snapshot(self, queue: str, job: Job) -> Snapshot:  # noqa: ARG002  one order for all jobs of a queue
        found: Mapping[str, Any] = self.client_of().get_job_queue_snapshot(jobQueue=queue)
        used = found.get("queueUtilization", {}).get("totalCapacityUsage", [])
        in_use = sum(each["quantity"] for each in used if each["capacityUnit"].upper() == "VCPU")
        return Snapshot(ids_of(found.get("frontOfQueue", {}).get("jobs", [])), in_use, self.max_vcpus)

    def find(self, attempt: Attempt) -> str | None:
        if attempt.backend_id or attempt.queue is None:
            return attempt.backend_id
        filters: Any = [{"name": "JOB_NAME", "values": [attempt.name]}]
        found = self.client_of().list_jobs(jobQueue=attempt.queue, filters=filters)["jobSummaryList"]
        return found[0]["jobId"] if found else None

    def running(self, queue: str) -> list[str]:
        pages: list[Any] = [
            self.client_of().list_jobs(jobQueue=queue, jobStatus=status, maxResults=AT_ONCE)  # type: ignore[arg-type]
            for status in HAVE_A_MACHINE
        ]
        return [each["jobId"] for page in pages for each in page["jobSummaryList"]]

    def describe(self, backend_ids: Sequence[str]) -> dict[str, Queued]:
        wanted = list(dict.fromkeys(backend_ids))[:AT_ONCE]
        found: Sequence[Any] = self.client_of().describe_jobs(jobs=wanted)["jobs"] if wanted else []
        return {each["jobId"]: _queued(each) for each in found}


def _queued(document: Mapping[str, Any]) -> Queued:
    asked = {each["type"]: each["value"] for each in document.get("container", {}).get("resourceRequirements", [])}
    tags = document.get("tags", {})
    seconds = float(document.get("timeout", {}).get("attemptDurationSeconds", 0))
    return Queued(
        backend_id=document["jobId"],
        status=document["status"],
        size=float(asked.get("VCPU", 1)),
        limit_seconds=seconds,
        tenant=tags.get("aimatrix:tenant"),
        job_id=tags.get("aimatrix:job-id"),
        reason=document.get("statusReason"),
        until=until(document, seconds),
    )
