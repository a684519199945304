"""A Batch queue that an operator names for SageMaker training jobs: what is submitted to it, and what it says of an attempt.

Batch makes the training job, under a name of its own, when its queue has room. An attempt is one service job, which Batch
never tries again by itself: what follows an end is decided here by cause, and the next attempt gets what is left of the
limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from chalicelib.jobs.gateways import ABSENT, BackendJob, BackendState, SageMakerBackend
from chalicelib.jobs.job import Attempt, Job
from chalicelib.jobs.plan import PRIORITIES, share_identifier

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

TYPE = "SAGEMAKER_TRAINING"
MAX_QUOTA_SHARES = 20
_BEFORE_TRAINING = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "SCHEDULED"})
PREEMPTED = "Preempted in the queue by a job that goes before: stopped with its checkpoint kept."


class Order(Enum):
    """How the queue's own scheduling policy orders jobs."""

    FIFO = "fifo"
    FAIR_SHARE = "fair-share"
    QUOTA_SHARES = "quota-shares"


@dataclass(frozen=True)
class TrainingQueue:
    """
    Attributes:
        quota_shares: those of the queue, where it has them: the share of a tenant is the one that is called like it, else
            the first.
    """

    arn: str
    order: Order
    quota_shares: tuple[str, ...] = ()

    def share_of(self, tenant: str) -> str:
        return tenant if tenant in self.quota_shares else self.quota_shares[0]

    def request(
        self, job: Job, attempt: Attempt, training: Mapping[str, Any], tags: Mapping[str, str]
    ) -> dict[str, Any]:
        """Arguments of SubmitServiceJob.

        Args:
            training: arguments of CreateTrainingJob; Batch sets the name.
        """
        whose: dict[str, Any] = {}
        match self.order:
            case Order.FAIR_SHARE:
                whose = {"shareIdentifier": share_identifier(job.tenant, job.user)}
            case Order.QUOTA_SHARES:
                # Batch would begin again with the whole time limit; another attempt of ours gets what is left of it.
                never = {"preemptionRetriesBeforeTermination": 0}
                whose = {"quotaShareName": self.share_of(job.tenant), "preemptionConfiguration": never}
        return {
            "jobName": attempt.name,
            "jobQueue": self.arn,
            "serviceJobType": TYPE,
            "serviceRequestPayload": json.dumps(training, separators=(",", ":")),
            "schedulingPriority": PRIORITIES[job.priority],
            "retryStrategy": {"attempts": 1},
            "tags": dict(tags),
            # The same request twice is one job, however often the machine repeats its call.
            "clientToken": attempt.name,
            **whose,
        }


@dataclass(frozen=True)
class QueuedBackend:
    """SageMaker behind a Batch queue: a `JobBackend`."""

    client_of: Callable[[], BatchClient]
    sagemaker: SageMakerBackend

    def describe(self, attempt: Attempt) -> BackendJob:
        document = self.find(attempt)
        if document is None:
            return ABSENT
        status, reason = document["status"], document.get("statusReason")
        resource = document.get("latestAttempt", {}).get("serviceResourceId", {})
        name = str(resource.get("value", "")).rpartition("/")[2]
        if status in _BEFORE_TRAINING or (not name and status != "FAILED"):
            return BackendJob(BackendState.STARTING, secondary_status=_words(status), backend_id=name or None)
        trained = self.sagemaker.describe(replace(attempt, queue=None, backend_id=name)) if name else ABSENT
        if trained.state is BackendState.ABSENT:
            state = BackendState.STOPPED if document.get("isTerminated") else BackendState.FAILED
            return BackendJob(
                state, reason=reason, ended_at=_moment(document.get("stoppedAt")), backend_id=name or None
            )
        if trained.state is BackendState.FAILED and status != "FAILED":
            # Where capacity was missing Batch makes another training job, until there is some.
            return BackendJob(BackendState.STARTING, secondary_status=_words("RUNNABLE"), backend_id=name)
        if trained.state is BackendState.STOPPED and document.get("preemptionSummary"):
            return replace(trained, is_preempted=True)
        return trained

    def stop(self, attempt: Attempt, reason: str) -> None:
        job_id = self.job_id(attempt)
        if job_id:
            self.client_of().terminate_service_job(jobId=job_id, reason=reason)

    def find(self, attempt: Attempt) -> Mapping[str, Any] | None:
        """The attempt's service job as Batch describes it."""
        job_id = self.job_id(attempt)
        return self.client_of().describe_service_job(jobId=job_id) if job_id else None

    def job_id(self, attempt: Attempt) -> str | None:
        """The id of the job of this name: Batch's names are not unique, ours are."""
        if attempt.queue is None:
            return None
        filters: Any = [{"name": "JOB_NAME", "values": [attempt.name]}]
        found = self.client_of().list_service_jobs(jobQueue=attempt.queue, filters=filters)["jobSummaryList"]
        return found[0]["jobId"] if found else None

    def submit(self, request: Mapping[str, Any]) -> None:
        self.client_of().submit_service_job(**request)

    def tenant_of(self, arn: str) -> str | None:
        """Whose a service job is: its events don't carry the tags."""
        return self.client_of().list_tags_for_resource(resourceArn=arn)["tags"].get("aimatrix:tenant")


def _words(status: str) -> str:
    return "Queued" if status == "RUNNABLE" else status.capitalize()


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
