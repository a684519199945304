"""What is known about a training job, and how it changes: every change a recorded transition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from localcloud.compute.jobs.sagemaker_record import FAILED, IN_PROGRESS, STOPPING, JobRecord
from localcloud.compute.operations import Document

SPOT_PRICE_SHARE = 0.4
"""SageMaker bills a spot job fewer seconds rather than less for each; the market's price is simulated by a constant."""

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
class TrainingRecord(JobRecord):
    word: ClassVar[str] = "Training"
    members_shown: ClassVar[tuple[str, ...]] = (
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

    @classmethod
    def new(cls, request: Document, arn: str, log_stream: str, now: datetime) -> TrainingRecord:
        record = cls.created(request, arn, now, secondary="", transitions=[], log_stream=log_stream, occupied=0.0)
        record.enter(IN_PROGRESS, "Starting", now)
        return record

    @property
    def secondary(self) -> str:
        return str(self.document["secondary"])

    @property
    def instance_type(self) -> str:
        return str(self.request["ResourceConfig"]["InstanceType"])

    @property
    def spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    def stop(self, now: datetime) -> None:
        self.enter(STOPPING, "Stopping", now)

    def enter(self, status: str, secondary: str, now: datetime, message: str | None = None) -> None:
        """Move to a state; the transition before it ends now. Terminal states absorb.

        Raises:
            ValueError: the job has ended already.
        """
        self._transit(status, secondary, now, message=message)

    def fail(self, reason: str, now: datetime) -> None:
        self._transit(FAILED, "Failed", now, reason)

    def _transit(
        self, status: str, secondary: str, now: datetime, reason: str | None = None, message: str | None = None
    ) -> None:
        self.become(status, now, reason)
        transitions = self.document["transitions"]
        if transitions and "EndTime" not in transitions[-1]:
            transitions[-1]["EndTime"] = now
        if self.is_terminal:
            self._bill(now)
        transitions.append(
            {
                "Status": secondary,
                "StartTime": now,
                **({"EndTime": now} if self.is_terminal else {}),
                "StatusMessage": message or MESSAGES[secondary],
            }
        )
        self.document["secondary"] = secondary

    def occupy(self, now: datetime) -> None:
        """The instance is the job's from now on: billing starts."""
        self.begin(now)
        self.document["occupied_since"] = now

    def release(self, now: datetime) -> None:
        """The instance is given back (at the end, or when a spot instance is taken away)."""
        since = self.document.pop("occupied_since", None)
        if since is not None:
            self.document["occupied"] += (now - since).total_seconds()

    def _bill(self, now: datetime) -> None:
        self.release(now)
        if self.has_begun:
            total = (now - self.document["started"]).total_seconds()
            self.document["training_seconds"] = max(1, math.ceil(total))
            share = SPOT_PRICE_SHARE if self.spot else 1.0
            self.document["billable_seconds"] = max(1, math.ceil(self.document["occupied"] * share))

    def _more_described(self) -> Document:
        held, request = self.document, self.request
        # AWS shows the address only once something may lie there.
        artifacts = held.get("model_artifacts")
        return {
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": held["transitions"],
            "LastModifiedTime": held["modified"],
            "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
            "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
            "EnableManagedSpotTraining": self.spot,
            "ModelArtifacts": {"S3ModelArtifacts": artifacts} if artifacts else None,
            "TrainingTimeInSeconds": held.get("training_seconds"),
            "BillableTimeInSeconds": held.get("billable_seconds"),
            "FinalMetricDataList": held.get("metrics"),
        }

    def _more_summed_up(self) -> Document:
        return {"SecondaryStatus": self.secondary}
