"""What is known about a transform job: one JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.operations import Document
from localcloud.compute.transforming.requests import with_defaults

KIND = "transform-job"
IN_PROGRESS = "InProgress"
STOPPING = "Stopping"
STOPPED = "Stopped"
COMPLETED = "Completed"
FAILED = "Failed"
TERMINAL = frozenset({STOPPED, COMPLETED, FAILED})
REASON_CHARACTERS = 1024

_SHOWN = (
    *("ModelName", "MaxConcurrentTransforms", "ModelClientConfig", "MaxPayloadInMB", "BatchStrategy", "Environment"),
    *("TransformInput", "TransformOutput", "TransformResources", "DataProcessing", "ExperimentConfig"),
)


@dataclass
class TransformRecord:
    """A view on the stored document; `document` is what the store keeps."""

    document: Document

    @classmethod
    def new(cls, request: Document, arn: str, plan: VariantPlan, now: datetime) -> TransformRecord:
        return cls(
            {
                "name": request["TransformJobName"],
                "arn": arn,
                "request": {key: value for key, value in request.items() if key != "Tags"},
                # Taken once: deleting the model changes nothing.
                "plan": plan.document(),
                "tags": {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])},
                "status": IN_PROGRESS,
                "created": now,
                "modified": now,
            }
        )

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def arn(self) -> str:
        return str(self.document["arn"])

    @property
    def request(self) -> Document:
        found: Document = self.document["request"]
        return found

    @property
    def plan(self) -> VariantPlan:
        return VariantPlan.from_document(self.document["plan"])

    @property
    def status(self) -> str:
        return str(self.document["status"])

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def stop_requested(self) -> bool:
        return self.status == STOPPING

    def started(self, now: datetime) -> None:
        """It has an instance."""
        self.document.setdefault("started", now)
        self.document["modified"] = now

    def enter(self, status: str, now: datetime, reason: str | None = None) -> None:
        """Terminal states absorb.

        Raises:
            ValueError: the job has ended already.
        """
        if self.is_terminal:
            raise ValueError(f"transform job {self.name} has ended as {self.status}")
        self.document |= {"status": status, "modified": now}
        if reason is not None:
            self.document["failure_reason"] = reason[:REASON_CHARACTERS]
        if status in TERMINAL:
            self.document["ended"] = now

    def describe(self) -> Document:
        document, request = self.document, with_defaults(self.request)
        shown = {
            "TransformJobName": self.name,
            "TransformJobArn": self.arn,
            "TransformJobStatus": self.status,
            "FailureReason": document.get("failure_reason"),
            "CreationTime": document["created"],
            "TransformStartTime": document.get("started"),
            "TransformEndTime": document.get("ended"),
            **{member: request[member] for member in _SHOWN if member in request},
        }
        return {member: value for member, value in shown.items() if value is not None}

    def summary(self) -> Document:
        document = self.document
        shown = {
            "TransformJobName": self.name,
            "TransformJobArn": self.arn,
            "CreationTime": document["created"],
            "TransformEndTime": document.get("ended"),
            "LastModifiedTime": document["modified"],
            "TransformJobStatus": self.status,
            "FailureReason": document.get("failure_reason"),
        }
        return {member: value for member, value in shown.items() if value is not None}

    def detail(self) -> dict[str, Any]:
        """Of its event: the description with times in milliseconds, and the tags."""
        times = {name: value for name, value in self.describe().items() if isinstance(value, datetime)}
        in_milliseconds = {name: int(value.timestamp() * 1000) for name, value in times.items()}
        return {**self.describe(), **in_milliseconds, "Tags": self.document["tags"]}
