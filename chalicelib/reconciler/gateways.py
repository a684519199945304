"""What a sweep asks of Step Functions, SageMaker and Batch. Everything that is listed is listed by what runs now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, cast

from chalicelib.jobs.job import Backend
from chalicelib.machine import MachineGone, StateMachine

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.literals import JobStatusType
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

NAME_PREFIX = "aimatrix-"
# Batch lists one status at a time; these are all in which a job is not over.
_ALIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")


class Driving(Enum):
    """What a job's execution is doing."""

    ABSENT = "absent"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    ABORTED = "aborted"


@dataclass(frozen=True)
class Execution:
    """
    Attributes:
        reason: why it ended, in Step Functions' words; empty when there are none.
    """

    driving: Driving
    reason: str = ""

    @classmethod
    def described(cls, found: Mapping[str, Any]) -> Execution:
        """As DescribeExecution answers, or as the event of its end has it."""
        driving = Driving(found["status"].lower().replace("_", "-").replace("pending-redrive", "running"))
        words = (found.get("error"), found.get("cause"))
        return cls(driving, ": ".join(word for word in words if word))


@dataclass(frozen=True)
class Executions:
    """The executions of one state machine.

    Args:
        prefix: what their ARNs begin with; the rest is an execution's name.
    """

    client: SFNClient
    prefix: str

    def of(self, name: str) -> Execution:
        try:
            return Execution.described(self.client.describe_execution(executionArn=self.prefix + name))
        except self.client.exceptions.ExecutionDoesNotExist:
            return Execution(Driving.ABSENT)


@dataclass(frozen=True)
class Machines:
    """A state machine, and what its executions do."""

    machine: StateMachine
    executions: Executions

    def start(self, name: str, document: dict[str, Any]) -> bool:
        """Whether an execution drives it now: not where the machine was deleted."""
        try:
            self.machine.start(name, document)
        except MachineGone:
            return False
        return True


@dataclass(frozen=True)
class Attempting:
    """An attempt as its backend lists it.

    Attributes:
        handle: by which the backend finds it: an ARN, or a Batch job's id.
    """

    backend: Backend
    name: str
    handle: str
    created_at: datetime


@dataclass(frozen=True)
class Labels:
    """Whose something is, by its tags."""

    stack: str | None
    tenant: str | None
    deployment_id: str | None = None

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Labels:
        return cls(tags.get("aimatrix:stack"), tags.get("aimatrix:tenant"), tags.get("aimatrix:deployment-id"))


class RunningOn(Protocol):
    """A backend, as far as a sweep needs it."""

    def attempts(self) -> Iterator[Attempting]:
        """Everything with our prefix that has not ended."""

    def labels(self, attempt: Attempting) -> Labels: ...

    def stop(self, attempt: Attempting) -> None: ...


@dataclass(frozen=True)
class RunningOnSageMaker:
    client: SageMakerClient

    def attempts(self) -> Iterator[Attempting]:
        pages = self.client.get_paginator("list_training_jobs").paginate(
            NameContains=NAME_PREFIX, StatusEquals="InProgress", PaginationConfig={"PageSize": 100}
        )
        for page in pages:
            for job in page["TrainingJobSummaries"]:
                if job["TrainingJobName"].startswith(NAME_PREFIX):
                    yield Attempting(
                        Backend.SAGEMAKER, job["TrainingJobName"], job["TrainingJobArn"], job["CreationTime"]
                    )

    def labels(self, attempt: Attempting) -> Labels:
        return _labels(self.client, attempt.handle)

    def stop(self, attempt: Attempting) -> None:
        try:
            self.client.stop_training_job(TrainingJobName=attempt.name)
        except self.client.exceptions.ClientError:
            # It may have ended by itself meanwhile; if it has not, the next sweep finds it again.
            return


@dataclass(frozen=True)
class RunningOnBatch:
    """
    Args:
        queues: of this installation; nobody else's jobs are in them.
    """

    client: BatchClient
    queues: tuple[str, ...]

    def attempts(self) -> Iterator[Attempting]:
        paginator = self.client.get_paginator("list_jobs")
        for queue in self.queues:
            for status in _ALIVE:
                for page in paginator.paginate(jobQueue=queue, jobStatus=cast("JobStatusType", status)):
                    for job in page["jobSummaryList"]:
                        created = datetime.fromtimestamp(job["createdAt"] / 1000, UTC)
                        yield Attempting(Backend.BATCH, job["jobName"], job["jobId"], created)

    def labels(self, attempt: Attempting) -> Labels:
        (found,) = self.client.describe_jobs(jobs=[attempt.handle])["jobs"] or ({"tags": {}},)
        return Labels.of(found.get("tags", {}))

    def stop(self, attempt: Attempting) -> None:
        self.client.terminate_job(jobId=attempt.handle, reason="it belongs to no open job")


_QUEUED = ("SUBMITTED", "PENDING", "RUNNABLE", "SCHEDULED", "STARTING", "RUNNING")


@dataclass(frozen=True)
class RunningInQueue:
    """Service jobs in the queue that an operator named for training jobs; Batch stops their training jobs with them."""

    client: BatchClient
    queue: str

    def attempts(self) -> Iterator[Attempting]:
        for status in _QUEUED:
            token: str | None = None
            while True:
                more: Any = {"nextToken": token} if token else {}
                page: Any = self.client.list_service_jobs(
                    jobQueue=self.queue, jobStatus=cast("Any", status), maxResults=100, **more
                )
                for job in page["jobSummaryList"]:
                    if job["jobName"].startswith(NAME_PREFIX):
                        created = datetime.fromtimestamp(job["createdAt"] / 1000, UTC)
                        yield Attempting(Backend.SAGEMAKER, job["jobName"], job["jobId"], created)
                token = page.get("nextToken")
                if not token:
                    break

    def labels(self, attempt: Attempting) -> Labels:
        return Labels.of(self.client.describe_service_job(jobId=attempt.handle).get("tags", {}))

    def stop(self, attempt: Attempting) -> None:
        self.client.terminate_service_job(jobId=attempt.handle, reason="it belongs to no open job")


@dataclass(frozen=True)
class Standing:
    """An endpoint as SageMaker lists it."""

    name: str
    arn: str
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class StandingEndpoints:
    """What costs money until somebody deletes it."""

    client: SageMakerClient

    def all(self) -> Iterator[Standing]:
        """Every endpoint with our prefix."""
        pages = self.client.get_paginator("list_endpoints").paginate(
            NameContains=NAME_PREFIX, PaginationConfig={"PageSize": 100}
        )
        for page in pages:
            for each in page["Endpoints"]:
                if each["EndpointName"].startswith(NAME_PREFIX):
                    yield Standing(
                        each["EndpointName"], each["EndpointArn"], each["CreationTime"], each["LastModifiedTime"]
                    )

    def labels(self, endpoint: Standing) -> Labels:
        return _labels(self.client, endpoint.arn)


def _labels(client: SageMakerClient, arn: str) -> Labels:
    return Labels.of({tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]})
