"""What is known about a job of SageMaker, whichever its kind: one JSON document."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from localcloud.compute.operations import Document

IN_PROGRESS = "InProgress"
STOPPING = "Stopping"
STOPPED = "Stopped"
COMPLETED = "Completed"
FAILED = "Failed"
TERMINAL = frozenset({STOPPED, COMPLETED, FAILED})
FAILURE_REASON_CHARACTERS = 1024


@dataclass
class JobRecord(ABC):
    """A view on the stored document; `document` is what the store keeps.

    Attributes:
        word: what SageMaker calls the kind of job in its API, such as `Training`.
        members_shown: those of the request that its description repeats.
    """

    document: Document

    word: ClassVar[str]
    members_shown: ClassVar[tuple[str, ...]]

    @classmethod
    def created(cls, request: Document, arn: str, now: datetime, **more: Any) -> Self:
        """
        Args:
            more: what else is known of this kind.
        """
        return cls(
            {
                "name": request[f"{cls.word}JobName"],
                "arn": arn,
                "request": {key: value for key, value in request.items() if key != "Tags"},
                "tags": {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])},
                "status": IN_PROGRESS,
                "created": now,
                "modified": now,
                **more,
            }
        )

    @classmethod
    def kind(cls) -> str:
        """By which the store and ARNs know such jobs."""
        return f"{cls.word.lower()}-job"

    @staticmethod
    def key(name: str) -> str:
        """Under which the store keeps the job of a name."""
        return name

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def arn(self) -> str:
        return str(self.document["arn"])

    @property
    def request(self) -> Document:
        request: Document = self.document["request"]
        return request

    @property
    def status(self) -> str:
        return str(self.document["status"])

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def has_begun(self) -> bool:
        """Whether it has had an instance."""
        return "started" in self.document

    @property
    def stop_requested(self) -> bool:
        return self.status == STOPPING

    @abstractmethod
    def stop(self, now: datetime) -> None:
        """The user wants it stopped."""

    def begin(self, now: datetime) -> None:
        """It has an instance."""
        self.document.setdefault("started", now)
        self.document["modified"] = now

    def become(self, status: str, now: datetime, reason: str | None = None) -> None:
        """Terminal states absorb.

        Raises:
            ValueError: the job has ended already.
        """
        if self.is_terminal:
            raise ValueError(f"{self.word.lower()} job {self.name} has ended as {self.status}")
        self.document |= {"status": status, "modified": now}
        if reason is not None:
            self.document["failure_reason"] = shortened(reason)
        if status in TERMINAL:
            self.document["ended"] = now

    def describe(self) -> Document:
        """The answer of its Describe operation."""
        held, shown_of_request = self.document, self._request_shown()
        return _present(
            {
                f"{self.word}JobName": self.name,
                f"{self.word}JobArn": self.arn,
                f"{self.word}JobStatus": self.status,
                "FailureReason": held.get("failure_reason"),
                "CreationTime": held["created"],
                f"{self.word}StartTime": held.get("started"),
                f"{self.word}EndTime": held.get("ended"),
                **{member: shown_of_request[member] for member in self.members_shown if member in shown_of_request},
                **self._more_described(),
            }
        )

    def summary(self) -> Document:
        """The entry in its List operation."""
        held = self.document
        return _present(
            {
                f"{self.word}JobName": self.name,
                f"{self.word}JobArn": self.arn,
                f"{self.word}JobStatus": self.status,
                "CreationTime": held["created"],
                f"{self.word}EndTime": held.get("ended"),
                "LastModifiedTime": held["modified"],
                **self._more_summed_up(),
            }
        )

    def _request_shown(self) -> Document:
        return self.request

    @abstractmethod
    def _more_described(self) -> Document:
        """What only this kind's description has; None is left out."""

    @abstractmethod
    def _more_summed_up(self) -> Document:
        """What only this kind's summary has; None is left out."""


def shortened(reason: str) -> str:
    """A failure reason of at most 1024 characters; what is lost is lost in the middle: its head and its tail say most."""
    if len(reason) <= FAILURE_REASON_CHARACTERS:
        return reason
    head = FAILURE_REASON_CHARACTERS // 2 - 2
    tail = FAILURE_REASON_CHARACTERS - head - 3
    return f"{reason[:head]}...{reason[-tail:]}"


def _present(members: Document) -> Document:
    return {member: value for member, value in members.items() if value is not None}
