"""What Batch says of the queue that an operator named for SageMaker training jobs, counted in instances."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.capacity.batch_queue import HAVE_A_MACHINE, Queued, Snapshot, ids_of, until
from chalicelib.jobs.job import Attempt, Job
from chalicelib.jobs.training_queue import Order, QueuedBackend, TrainingQueue

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

# Batch describes one service job a call.
DESCRIBED = 40
LISTED = 100
NUM_INSTANCES = "NUM_INSTANCES"


@dataclass(frozen=True)
class ServiceQueues:
    """A `batch_queue.View`."""

    client_of: Callable[[], BatchClient]
    backend: QueuedBackend
    queue: TrainingQueue
    unit: str = "instances"

    def queue_of(self, job: Job) -> str:  # noqa: ARG002  one for all
        return self.queue.arn

    def size_of(self, job: Job) -> float:
        return float(job.allocation.instance_count)

    def snapshot(self, queue: str, job: Job) -> Snapshot:
        found: Mapping[str, Any] = self.client_of().get_job_queue_snapshot(jobQueue=queue)
        utilization = found.get("queueUtilization", {})
        instance_type = job.allocation.instance_type
        if self.queue.order is Order.QUOTA_SHARES:
            share = self.queue.share_of(job.tenant)
            front = found.get("frontOfQuotaShares", {}).get("quotaShares", {}).get(share, [])
            tops = utilization.get("quotaShareUtilization", {}).get("topCapacityUtilization", [])
            used = [usage for each in tops if each["quotaShareName"] == share for usage in each["capacityUsage"]]
            return Snapshot(ids_of(front), _sum(used, instance_type), self._limit_of_share(queue, share, instance_type))
        used = utilization.get("totalCapacityUsage", [])
        front = found.get("frontOfQueue", {}).get("jobs", [])
        return Snapshot(ids_of(front), _sum(used, instance_type), self._limit(queue, instance_type))

    def find(self, attempt: Attempt) -> str | None:
        return self.backend.job_id(attempt)

    def running(self, queue: str) -> list[str]:
        pages: list[Any] = [
            self.client_of().list_service_jobs(jobQueue=queue, jobStatus=status, maxResults=LISTED)  # type: ignore[arg-type]
            for status in ("SCHEDULED", *HAVE_A_MACHINE)
        ]
        return [each["jobId"] for page in pages for each in page["jobSummaryList"]]

    def describe(self, backend_ids: Sequence[str]) -> dict[str, Queued]:
        wanted = list(dict.fromkeys(backend_ids))[:DESCRIBED]
        return {each: _queued(self.client_of().describe_service_job(jobId=each)) for each in wanted}

    def _limit(self, queue: str, instance_type: str) -> int:
        (shown,) = self.client_of().describe_job_queues(jobQueues=[queue])["jobQueues"]
        names = [each["serviceEnvironment"] for each in shown.get("serviceEnvironmentOrder", [])]
        found: Any = self.client_of().describe_service_environments(serviceEnvironments=names)
        return round(sum(_limits(each, instance_type) for each in found["serviceEnvironments"]))

    def _limit_of_share(self, queue: str, share: str, instance_type: str) -> int:
        found: Any = self.client_of().list_quota_shares(jobQueue=queue, maxResults=LISTED)
        return round(
            sum(_limits(each, instance_type) for each in found["quotaShares"] if each["quotaShareName"] == share)
        )


def _limits(holder: Mapping[str, Any], instance_type: str) -> float:
    wanted = {instance_type, NUM_INSTANCES}
    return sum(float(each["maxCapacity"]) for each in holder["capacityLimits"] if each["capacityUnit"] in wanted)


def _sum(used: Sequence[Mapping[str, Any]], instance_type: str) -> float:
    wanted = {instance_type, NUM_INSTANCES}
    return sum(float(each["quantity"]) for each in used if each["capacityUnit"] in wanted)


def _queued(document: Mapping[str, Any]) -> Queued:
    payload = json.loads(document["serviceRequestPayload"])
    seconds = float(payload.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 0))
    tags = document.get("tags", {})
    return Queued(
        backend_id=document["jobId"],
        status=document["status"],
        size=float(payload["ResourceConfig"].get("InstanceCount", 1)),
        limit_seconds=seconds,
        tenant=tags.get("aimatrix:tenant"),
        job_id=tags.get("aimatrix:job-id"),
        reason=document.get("statusReason"),
        until=until({**document, "status": "RUNNING"}, seconds) if document["status"] != "RUNNABLE" else None,
    )
