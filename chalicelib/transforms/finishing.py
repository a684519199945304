"""The one way to a transform's end, whatever happened. What SageMaker says of the job decides."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.clock import Clock
from chalicelib.models.store import ModelStore
from chalicelib.transforms.gateways import FoundJob, TransformJobs
from chalicelib.transforms.store import StaleTransform, TransformStore
from chalicelib.transforms.transform import Transform, TransformStatus

MAX_REASON = 1024


class TransformBusy(Exception):
    """The job is still running, or being stopped: try again."""


@dataclass(frozen=True)
class Finishing:
    store: TransformStore
    models: ModelStore
    jobs: TransformJobs
    now: Clock

    def finish(self, tenant: str, transform_id: str, error: str | None) -> Transform:
        """Record how it ended, and leave nothing of it in SageMaker but its answers. One that has ended stays as it is.

        Raises:
            TransformBusy: the job was running, and has been told to stop.
        """
        while True:
            transform = self.store.get(tenant, transform_id)
            if transform is None:
                raise LookupError(f"there is no transform {transform_id} of tenant {tenant}")
            if not transform.status.is_open:
                return transform
            job = self.jobs.describe(transform.resource)
            if job is not None and not job.is_over:
                self.jobs.stop(transform.resource)
                raise TransformBusy(f"{transform.resource} is {job.status}")
            self.jobs.delete_model(transform.resource)
            model = self.models.get(tenant, transform.model_id)
            is_used = model is not None and transform_id in model.uses
            also = (
                (self.models.change(model, model.released_by(transform_id), self.now()),) if model and is_used else ()
            )
            try:
                return self.store.update(transform, self._ended(transform, job, error), self.now(), *also)
            except StaleTransform:
                continue

    def _ended(self, transform: Transform, job: FoundJob | None, error: str | None) -> Transform:
        is_cancelled = transform.status is TransformStatus.CANCELLING
        started_at, ended_at = (job.started_at, job.ended_at or self.now()) if job else (None, self.now())
        if job is not None and job.status == "Completed":
            return transform.ended(TransformStatus.COMPLETED, None, started_at, ended_at)
        if is_cancelled and (job is None or job.status == "Stopped"):
            return transform.ended(TransformStatus.CANCELLED, None, started_at, ended_at)
        reason = (job.reason if job else None) or error or "It was stopped in SageMaker."
        return transform.ended(TransformStatus.FAILED, reason[:MAX_REASON], started_at, ended_at)
