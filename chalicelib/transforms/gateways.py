"""What transforms ask of SageMaker. Every call may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from chalicelib.aws import is_missing, is_refused

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


@dataclass(frozen=True)
class FoundJob:
    """SageMaker's own view of a transform job.

    Attributes:
        status: `InProgress`, `Completed`, `Failed`, `Stopping` or `Stopped`.
    """

    status: str
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.status in {"Completed", "Failed", "Stopped"}


@dataclass(frozen=True)
class TransformJobs:
    client: SageMakerClient

    def describe(self, name: str) -> FoundJob | None:
        """None where there is none."""
        try:
            found = self.client.describe_transform_job(TransformJobName=name)
        except self.client.exceptions.ClientError as error:
            if is_missing(error):
                return None
            raise
        return FoundJob(
            found["TransformJobStatus"],
            found.get("FailureReason"),
            found.get("TransformStartTime"),
            found.get("TransformEndTime"),
        )

    def stop(self, name: str) -> None:
        """Ask for a job's end; nothing happens where there is none, or it has ended."""
        try:
            self.client.stop_transform_job(TransformJobName=name)
        except self.client.exceptions.ClientError as error:
            if not is_refused(error):
                raise

    def delete_model(self, name: str) -> None:
        """Delete the model that was made for a job, if it is there."""
        try:
            self.client.delete_model(ModelName=name)
        except self.client.exceptions.ClientError as error:
            if not is_missing(error):
                raise
