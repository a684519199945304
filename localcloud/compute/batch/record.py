"""What is known about a job in a queue, and how it changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from localcloud.compute.batch.instances import Requirements

Document = dict[str, Any]

KIND = "batch-job"
SUBMITTED, PENDING, RUNNABLE, SCHEDULED = "SUBMITTED", "PENDING", "RUNNABLE", "SCHEDULED"
STARTING, RUNNING, SUCCEEDED, FAILED = "STARTING", "RUNNING", "SUCCEEDED", "FAILED"
TERMINAL = frozenset({SUCCEEDED, FAILED})
WAITING = frozenset({SUBMITTED, PENDING, RUNNABLE})
_STAMPS = {SCHEDULED: "scheduledAt", RUNNING: "startedAt", SUCCEEDED: "stoppedAt", FAILED: "stoppedAt"}


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@dataclass
class Record:
    """A view on the stored document of a job or a service job.

    ``detail`` is what is told when it is described, the rest of the document is the emulator's own.
    """

    document: Document

    noun: ClassVar[str]

    @property
    def detail(self) -> Document:
        detail: Document = self.document["detail"]
        return detail

    @property
    def job_id(self) -> str:
        return str(self.detail["jobId"])

    @property
    def arn(self) -> str:
        return str(self.detail["jobArn"])

    @property
    def status(self) -> str:
        return str(self.detail["status"])

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def queue(self) -> str:
        return str(self.detail["jobQueue"]).rpartition("/")[2]

    @property
    def priority(self) -> int:
        return int(self.detail.get("schedulingPriority", 0))

    def enter(self, status: str, now: datetime, reason: str | None = None) -> None:
        """Terminal states absorb.

        Raises:
            ValueError: the job has ended already.
        """
        if self.is_terminal:
            raise ValueError(f"{self.noun} {self.job_id} has ended as {self.status}")
        self.detail["status"] = status
        if reason is not None:
            self.detail["statusReason"] = reason
        elif status == RUNNABLE:
            self.detail.pop("statusReason", None)
        if status in _STAMPS:
            self.detail[_STAMPS[status]] = milliseconds(now)


@dataclass
class BatchRecord(Record):
    noun = "Batch job"

    @property
    def container(self) -> Document:
        container: Document = self.detail["container"]
        return container

    @property
    def attempts(self) -> list[Document]:
        attempts: list[Document] = self.detail["attempts"]
        return attempts

    @property
    def attempts_allowed(self) -> int:
        return int(self.detail["retryStrategy"]["attempts"])

    @property
    def share(self) -> str:
        """Its share identifier; empty in a queue without a scheduling policy."""
        return str(self.detail.get("shareIdentifier", ""))

    @property
    def size(self) -> float:
        """What it takes of its queue's capacity."""
        return self.requirements.vcpus

    @property
    def requirements(self) -> Requirements:
        return Requirements.of(self.container)

    @property
    def end_reason(self) -> str | None:
        """Why somebody wants it to end, if somebody does."""
        reason: str | None = self.document.get("end_reason")
        return reason

    def end_attempt(self, now: datetime, exit_code: int | None, reason: str | None, status_reason: str) -> None:
        """Records how the running attempt ended; the job's container shows its last attempt."""
        ended: Document = {
            "exitCode": exit_code,
            "reason": reason,
            "logStreamName": self.container.get("logStreamName"),
        }
        ended = {member: value for member, value in ended.items() if value is not None}
        for member in ("exitCode", "reason"):
            self.container.pop(member, None)
        self.container.update(ended)
        self.attempts.append(
            {
                "container": ended,
                "startedAt": self.detail.get("startedAt", milliseconds(now)),
                "stoppedAt": milliseconds(now),
                "statusReason": status_reason,
            }
        )

    def describe(self) -> Document:
        return {"startedAt": 0, **self.detail}

    def summary(self) -> Document:
        """The entry in ListJobs."""
        members = ("jobArn", "jobId", "jobName", "createdAt", "status", "statusReason", "startedAt", "stoppedAt",
                   "jobDefinition", "isCancelled", "isTerminated", "shareIdentifier")  # fmt: skip
        shown = {member: self.detail[member] for member in members if member in self.detail}
        ended = {member: self.container[member] for member in ("exitCode", "reason") if member in self.container}
        return {**shown, "container": ended}
