"""What is known about a transform job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from localcloud.compute.hosting.arns import key_of
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.jobs.sagemaker_record import STOPPING, JobRecord
from localcloud.compute.operations import Document
from localcloud.compute.transforming.requests import with_defaults


@dataclass
class TransformRecord(JobRecord):
    word: ClassVar[str] = "Transform"
    members_shown: ClassVar[tuple[str, ...]] = (
        *(
            "ModelName",
            "MaxConcurrentTransforms",
            "ModelClientConfig",
            "MaxPayloadInMB",
            "BatchStrategy",
            "Environment",
        ),
        *("TransformInput", "TransformOutput", "TransformResources", "DataProcessing", "ExperimentConfig"),
    )

    @staticmethod
    def key(name: str) -> str:
        return key_of(name)

    @property
    def plan(self) -> VariantPlan:
        return VariantPlan.from_document(self.document["plan"])

    def stop(self, now: datetime) -> None:
        self.become(STOPPING, now)

    def _request_shown(self) -> Document:
        return with_defaults(self.request)

    def _more_described(self) -> Document:
        return {}

    def _more_summed_up(self) -> Document:
        return {"FailureReason": self.document.get("failure_reason")}
