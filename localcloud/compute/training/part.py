"""The training operations of SageMaker."""

from __future__ import annotations

from dataclasses import replace

from localcloud.compute.errors import ResourceInUse
from localcloud.compute.host import Host
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.sagemaker_part import JobPart
from localcloud.compute.operations import Authorization, Document, PassRole
from localcloud.compute.training.record import TrainingRecord
from localcloud.compute.training.requests import check_create
from localcloud.compute.training.run import INTERNAL, SERVICE, TrainingRun


class TrainingPart(JobPart[TrainingRecord]):
    def __init__(self, host: Host, slots: Slots) -> None:
        super().__init__(host, TrainingRecord)
        self._slots = slots

    async def stop(self) -> None:
        await self._host.launcher.stop_all(grace=0.0)
        await super().stop()

    def _new(self, request: Document, arn: str) -> TrainingRecord:
        check_create(request)
        name, now = request["TrainingJobName"], self._host.now()
        self._check_name(name)
        self._check_limit(request["ResourceConfig"]["InstanceType"])
        return TrainingRecord.new(request, arn, f"{name}/algo-1-{int(now.timestamp())}", now)

    def _run_of(self, record: TrainingRecord) -> TrainingRun:
        return TrainingRun(self._host, record, self._slots, self._changed)

    async def _take_up(self, record: TrainingRecord) -> None:
        """What was running has failed; what had not begun begins again."""
        if record.has_begun:
            record.fail(f"{INTERNAL} (the host was lost)", self._host.now())
            self._changed(record)
        else:
            self._begin(record)

    def _taken(self, arn: str) -> ResourceInUse:
        return ResourceInUse(
            f"Training job names must be unique within an AWS account and region, and a training job with this name "
            f"already exists ({arn})"
        )

    def _check_limit(self, instance_type: str) -> None:
        used = sum(
            not record.is_terminal and record.instance_type == instance_type for record, _, _ in self._runs.values()
        )
        self._host.limits.of_training(instance_type).check(used, 1)

    def _may_create(self, params: Document) -> Authorization:
        return replace(super()._may_create(params), pass_roles=(PassRole(params["RoleArn"], SERVICE),))
