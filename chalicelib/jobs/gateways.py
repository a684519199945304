"""What jobs ask of SageMaker and Batch, behind one small interface.

`describe` is the truth about a backend's job; events are hints. Every call may be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.aws import Clients, is_missing, is_refused
from chalicelib.jobs.job import Attempt, Backend

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_sagemaker import SageMakerClient

    from chalicelib.jobs.training_queue import QueuedBackend


class BackendState(Enum):
    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_finished(self) -> bool:
        return self in {BackendState.COMPLETED, BackendState.FAILED, BackendState.STOPPED}


@dataclass(frozen=True)
class BackendJob:
    """A backend's own view of an attempt.

    Attributes:
        started_at, ended_at: when it got its instance and gave it back.
        training_seconds, billable_seconds: how long that was, and what AWS bills of it, once it has ended.
        interruptions: how often managed spot training took its instance away and gave it another.
        is_preempted: it was stopped because a queue needed its place for another job.
        exit_code: of the container, where the backend tells it apart from the reason.
    """

    state: BackendState
    secondary_status: str | None = None
    reason: str | None = None
    log_stream: str | None = None
    backend_id: str | None = None
    timed_out: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    training_seconds: int | None = None
    billable_seconds: int | None = None
    exit_code: int | None = None
    interruptions: int = 0
    is_preempted: bool = False
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


ABSENT = BackendJob(BackendState.ABSENT)


class JobBackend(Protocol):
    """One place that runs attempts."""

    def describe(self, attempt: Attempt) -> BackendJob:
        """What the backend knows of an attempt; `ABSENT` when it was never created there."""

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Ask for an end. Nothing happens when there is none to end."""


MAX_WAIT_EXCEEDED = "MaxWaitTimeExceeded"
"""SageMaker's secondary status of a spot job that did not end in time."""

_SAGEMAKER_STATES = {
    "InProgress": BackendState.RUNNING,
    "Stopping": BackendState.RUNNING,
    "Completed": BackendState.COMPLETED,
    "Failed": BackendState.FAILED,
    "Stopped": BackendState.STOPPED,
}
_BEFORE_TRAINING = frozenset(
    {"Starting", "Pending", "LaunchingMLInstances", "PreparingTrainingStack", "Downloading", "DownloadingTrainingImage"}
)


@dataclass(frozen=True)
class SageMakerBackend:
    client: SageMakerClient

    def describe(self, attempt: Attempt) -> BackendJob:
        try:
            document = self.client.describe_training_job(TrainingJobName=attempt.backend_id or attempt.name)
        except self.client.exceptions.ClientError as error:
            if is_missing(error):
                return ABSENT
            raise
        secondary = document.get("SecondaryStatus")
        state = _SAGEMAKER_STATES[document["TrainingJobStatus"]]
        if state is BackendState.RUNNING and secondary in _BEFORE_TRAINING:
            state = BackendState.STARTING
        return BackendJob(
            state=state,
            secondary_status=secondary,
            reason=document.get("FailureReason"),
            backend_id=attempt.backend_id or attempt.name,
            timed_out=secondary in {"MaxRuntimeExceeded", MAX_WAIT_EXCEEDED},
            started_at=document.get("TrainingStartTime"),
            ended_at=document.get("TrainingEndTime"),
            training_seconds=document.get("TrainingTimeInSeconds"),
            billable_seconds=document.get("BillableTimeInSeconds"),
            interruptions=sum(
                each["Status"] == "Interrupted" for each in document.get("SecondaryStatusTransitions", ())
            ),
            document=document,
        )

    def stop(self, attempt: Attempt, reason: str) -> None:  # noqa: ARG002  SageMaker keeps no reason
        try:
            self.client.stop_training_job(TrainingJobName=attempt.name)
        except self.client.exceptions.ClientError as error:
            # Not there (yet, or any more), or in a state that can't be stopped: nothing to end.
            if not is_refused(error):
                raise


_BATCH_STATES = {
    "SUBMITTED": BackendState.STARTING,
    "PENDING": BackendState.STARTING,
    "RUNNABLE": BackendState.STARTING,
    "STARTING": BackendState.STARTING,
    "RUNNING": BackendState.RUNNING,
    "SUCCEEDED": BackendState.COMPLETED,
    "FAILED": BackendState.FAILED,
}


WAITED_TOO_LONG = "max_wait_seconds are over"
"""Why a spot job on Batch is terminated that did not end in time: Batch itself has no such limit."""


@dataclass(frozen=True)
class BatchBackend:
    client: BatchClient

    def describe(self, attempt: Attempt) -> BackendJob:
        backend_id = attempt.backend_id or self._find(attempt)
        jobs = self.client.describe_jobs(jobs=[backend_id])["jobs"] if backend_id else []
        if not jobs:
            return ABSENT
        document = jobs[0]
        container = document.get("container", {})
        reason = container.get("reason") or document.get("statusReason")
        # Of a job that never started Batch says 0.
        started, ended = document.get("startedAt") or None, document.get("stoppedAt")
        # Batch bills nothing of its own, but the machine for as long as the job has it. A job that is ended before it
        # starts has no start.
        seconds = math.ceil((ended - started) / 1000) if started and ended else None
        has_failed, why = document["status"] == "FAILED", document.get("statusReason") or ""
        waited_too_long = has_failed and why == WAITED_TOO_LONG
        return BackendJob(
            state=_BATCH_STATES[document["status"]],
            secondary_status=MAX_WAIT_EXCEEDED if waited_too_long else document["status"].capitalize(),
            reason=reason,
            log_stream=container.get("logStreamName"),
            backend_id=backend_id,
            timed_out=waited_too_long or (has_failed and "timeout" in why.lower()),
            started_at=_moment(started),
            ended_at=_moment(ended),
            training_seconds=seconds,
            billable_seconds=seconds,
            exit_code=container.get("exitCode"),
            document=document,
        )

    def stop(self, attempt: Attempt, reason: str) -> None:
        backend_id = attempt.backend_id or self._find(attempt)
        if backend_id:
            self.client.terminate_job(jobId=backend_id, reason=reason)

    def _find(self, attempt: Attempt) -> str | None:
        """The id of the job of this name: Batch's names are not unique, ours are."""
        if attempt.queue is None:
            return None
        filters: Any = [{"name": "JOB_NAME", "values": [attempt.name]}]
        found = self.client.list_jobs(jobQueue=attempt.queue, filters=filters)["jobSummaryList"]
        return found[0]["jobId"] if found else None


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True)
class Backends:
    """The backends of this installation, each made when it is first asked for."""

    clients: Clients

    @cached_property
    def sagemaker(self) -> JobBackend:
        return SageMakerBackend(self.clients.sagemaker)

    @cached_property
    def queued(self) -> QueuedBackend:
        """SageMaker behind a Batch queue."""
        from chalicelib.jobs.training_queue import QueuedBackend

        return QueuedBackend(lambda: self.clients.batch, SageMakerBackend(self.clients.sagemaker))

    @cached_property
    def batch(self) -> JobBackend:
        return BatchBackend(self.clients.batch)

    def of(self, attempt: Attempt) -> JobBackend:
        """What runs an attempt."""
        if attempt.backend is Backend.BATCH:
            return self.batch
        return self.queued if attempt.queue else self.sagemaker
