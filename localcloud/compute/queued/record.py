"""What is known about a service job, and how it changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.compute.batch.record import WAITING, Record, milliseconds
from localcloud.compute.queued.rules import Job

Document = dict[str, Any]

KIND = "batch-service-job"
# With what AWS names the training jobs that it makes: never by the name that the request gives alone.
_PREFIX, _NAME_CHARACTERS = "AWSBatch", 23


@dataclass
class ServiceRecord(Record):
    noun = "service job"

    @property
    def is_waiting(self) -> bool:
        return self.status in WAITING

    @property
    def share(self) -> str:
        return str(self.detail.get("quotaShareName") or self.detail.get("shareIdentifier") or "")

    @property
    def payload(self) -> Document:
        payload: Document = json.loads(self.detail["serviceRequestPayload"])
        return payload

    @property
    def training_name(self) -> str | None:
        """The training job of the attempt that is under way."""
        name: str | None = self.document.get("training_name")
        return name

    @property
    def is_preempted(self) -> bool:
        """Whether it is being stopped to make room."""
        return bool(self.document.get("preempted"))

    @property
    def size(self) -> float:
        """What it takes of its queue's capacity."""
        return self.instances

    @property
    def instances(self) -> int:
        return int(self.payload["ResourceConfig"].get("InstanceCount", 1))

    def as_job(self) -> Job:
        since = self.detail["createdAt"] if self.is_waiting else self.document.get("started", 0)
        instance_type = self.payload["ResourceConfig"].get("InstanceType", "")
        return Job(self.job_id, instance_type, self.instances, float(since), self.share, self.priority)

    def new_training_name(self, digits: str) -> str:
        """
        Args:
            digits: 32 hexadecimal ones, new for each attempt.
        """
        return f"{_PREFIX}{self.payload['TrainingJobName'][:_NAME_CHARACTERS]}{digits}"

    def begin_attempt(self, name: str, arn: str, started: int) -> None:
        """
        Args:
            started: the number of this start among all: milliseconds are too coarse to tell who came last.
        """
        self.document |= {"training_name": name, "started": started}
        self.detail["latestAttempt"] = {"serviceResourceId": {"name": "TrainingJobArn", "value": arn}}

    def end_attempt(self, now: datetime, reason: str) -> Document:
        ended = {
            **self.detail["latestAttempt"],
            "startedAt": self.detail.get("startedAt", self.detail.get("scheduledAt", milliseconds(now))),
            "stoppedAt": milliseconds(now),
            "statusReason": reason,
        }
        self.detail["attempts"].append(ended)
        self.document.pop("training_name", None)
        self.document.pop("preempted", None)
        return ended

    def summary(self) -> Document:
        """The entry in ListServiceJobs."""
        members = ("jobArn", "jobId", "jobName", "createdAt", "scheduledAt", "startedAt", "stoppedAt", "serviceJobType",
                   "status", "statusReason", "shareIdentifier", "quotaShareName", "latestAttempt", "capacityUsage",
                   "isTerminated")  # fmt: skip
        return {member: self.detail[member] for member in members if member in self.detail}

    def event(self) -> Document:
        """An event's detail has neither the payload nor the tags."""
        return {key: value for key, value in self.detail.items() if key not in {"serviceRequestPayload", "tags"}}
