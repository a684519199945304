"""What is known about a training job, and how it changes: one JSON document, every change a recorded transition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Document = dict[str, Any]

KIND = "training-job"
IN_PROGRESS = "InProgress"
STOPPING = "Stopping"
STOPPED = "Stopped"
COMPLETED = "Completed"
FAILED = "Failed"
TERMINAL = frozenset({STOPPED, COMPLETED, FAILED})
FAILURE_REASON_CHARACTERS = 1024
SPOT_PRICE_SHARE = 0.4
"""SageMaker bills a spot job fewer seconds rather than less for each; the market's price is simulated by a constant."""

_REQUEST_MEMBERS_SHOWN = (
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "InfraCheckConfig",
    "RemoteDebugConfig",
)

MESSAGES = {
    "Starting": "Launching requested ML instances",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "The managed spot instance was interrupted",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


@dataclass
class TrainingRecord:
    """A view on the stored document; `document` is what the store keeps."""

    document: Document

    @classmethod
    def new(cls, request: Document, arn: str, log_stream: str, now: datetime) -> TrainingRecord:
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        record = cls(
            {
                "name": request["TrainingJobName"],
                "arn": arn,
                "request": {key: value for key, value in request.items() if key != "Tags"},
                "tags": tags,
                "status": IN_PROGRESS,
                "secondary": "",
                "transitions": [],
                "created": now,
                "log_stream": log_stream,
                "stop_requested": False,
                "occupied": 0.0,
            }
        )
        record.enter(IN_PROGRESS, "Starting", now)
        return record

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
    def secondary(self) -> str:
        return str(self.document["secondary"])

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def instance_type(self) -> str:
        return str(self.request["ResourceConfig"]["InstanceType"])

    @property
    def spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    @property
    def stop_requested(self) -> bool:
        return bool(self.document["stop_requested"])

    def enter(self, status: str, secondary: str, now: datetime, message: str | None = None) -> None:
        """Moves to a state; the transition before it ends now. Terminal states absorb.

        Raises:
            ValueError: the job has ended already.
        """
        if self.is_terminal:
            raise ValueError(f"training job {self.name} has ended as {self.status}")
        transitions = self.document["transitions"]
        if transitions and "EndTime" not in transitions[-1]:
            transitions[-1]["EndTime"] = now
        if status in TERMINAL:
            self._end(now)
        transitions.append(
            {
                "Status": secondary,
                "StartTime": now,
                **({"EndTime": now} if status in TERMINAL else {}),
                "StatusMessage": message or MESSAGES[secondary],
            }
        )
        self.document |= {"status": status, "secondary": secondary, "modified": now}

    def occupy(self, now: datetime) -> None:
        """The instance is the job's from now on: billing starts."""
        self.document.setdefault("training_start", now)
        self.document["occupied_since"] = now

    def release(self, now: datetime) -> None:
        """The instance is given back (at the end, or when a spot instance is taken away)."""
        since = self.document.pop("occupied_since", None)
        if since is not None:
            self.document["occupied"] += (now - since).total_seconds()

    def fail(self, reason: str, now: datetime) -> None:
        self.document["failure_reason"] = shortened(reason)
        self.enter(FAILED, "Failed", now)

    def _end(self, now: datetime) -> None:
        self.release(now)
        self.document["training_end"] = now
        start = self.document.get("training_start")
        if start is not None:
            total = (now - start).total_seconds()
            self.document["training_seconds"] = max(1, math.ceil(total))
            share = SPOT_PRICE_SHARE if self.spot else 1.0
            self.document["billable_seconds"] = max(1, math.ceil(self.document["occupied"] * share))

    def describe(self) -> Document:
        """The DescribeTrainingJob answer."""
        held = self.document
        request = self.request
        shown: Document = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": held["transitions"],
            "CreationTime": held["created"],
            "LastModifiedTime": held["modified"],
            "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
            "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
            "EnableManagedSpotTraining": self.spot,
            "ModelArtifacts": {"S3ModelArtifacts": held.get("model_artifacts", "")},
            "TrainingStartTime": held.get("training_start"),
            "TrainingEndTime": held.get("training_end"),
            "TrainingTimeInSeconds": held.get("training_seconds"),
            "BillableTimeInSeconds": held.get("billable_seconds"),
            "FailureReason": held.get("failure_reason"),
            "FinalMetricDataList": held.get("metrics"),
        }
        shown |= {member: request[member] for member in _REQUEST_MEMBERS_SHOWN if member in request}
        if not held.get("model_artifacts"):
            # AWS shows the address only once something may lie there.
            del shown["ModelArtifacts"]
        return {member: value for member, value in shown.items() if value is not None}

    def summary(self) -> Document:
        """The entry in ListTrainingJobs."""
        shown = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.document["created"],
            "TrainingEndTime": self.document.get("training_end"),
            "LastModifiedTime": self.document["modified"],
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
        }
        return {member: value for member, value in shown.items() if value is not None}


def shortened(reason: str) -> str:
    """A failure reason of at most 1024 characters; what is lost is lost in the middle: its head and its tail say most."""
    if len(reason) <= FAILURE_REASON_CHARACTERS:
        return reason
    head = FAILURE_REASON_CHARACTERS // 2 - 2
    tail = FAILURE_REASON_CHARACTERS - head - 3
    return f"{reason[:head]}...{reason[-tail:]}"
