"""The transform operations of SageMaker."""

from __future__ import annotations

from localcloud.compute.errors import ResourceInUse
from localcloud.compute.host import Host
from localcloud.compute.hosting.models import Models
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.sagemaker_part import JobPart
from localcloud.compute.jobs.sagemaker_record import STOPPED
from localcloud.compute.operations import Document
from localcloud.compute.transforming.record import TransformRecord
from localcloud.compute.transforming.requests import Transform
from localcloud.compute.transforming.run import TransformRun, directory_of


class TransformPart(JobPart[TransformRecord]):
    def __init__(self, host: Host, slots: Slots, models: Models) -> None:
        super().__init__(host, TransformRecord)
        self._slots = slots
        self._models = models

    def _new(self, request: Document, arn: str) -> TransformRecord:
        Transform.of(request)
        model = self._models.records.get(request["ModelName"])
        self._check_name(request["TransformJobName"])
        plan = VariantPlan.of({"VariantName": "transform", "ModelName": request["ModelName"]}, model)
        # Taken once: deleting the model changes nothing.
        return TransformRecord.created(request, arn, self._host.now(), plan=plan.document())

    def _run_of(self, record: TransformRecord) -> TransformRun:
        return TransformRun(self._host, record, self._slots, self._changed)

    async def _take_up(self, record: TransformRecord) -> None:
        """It begins again, as it stores nothing before its end; unless it was being stopped."""
        if record.stop_requested:
            await self._host.blocking.run(directory_of(self._host, record.name).remove)
            record.become(STOPPED, self._host.now())
            self._changed(record)
        else:
            self._begin(record)

    def _taken(self, arn: str) -> ResourceInUse:
        return ResourceInUse(
            f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
        )
