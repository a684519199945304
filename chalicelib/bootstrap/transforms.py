"""Batch transform: models over datasets."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.auto_deployment import AutoDeployments

if TYPE_CHECKING:
    from chalicelib.transforms.finishing import Finishing
    from chalicelib.transforms.gateways import TransformJobs
    from chalicelib.transforms.planning import Planning
    from chalicelib.transforms.service import TransformService
    from chalicelib.transforms.store import TransformStore


class Transforms(AutoDeployments):
    """Batch transform: models over datasets."""

    @cached_property
    def transform_store(self) -> TransformStore:
        from chalicelib.transforms.store import TransformStore

        return TransformStore(self.deployment_store.table)

    @cached_property
    def transforms(self) -> TransformService:
        from chalicelib.machine import StateMachine
        from chalicelib.transforms.service import TransformService

        return TransformService(
            store=self.transform_store,
            models=self.model_store,
            objects=self.objects,
            jobs=self.transform_jobs,
            machine=StateMachine(self.clients.stepfunctions, self.settings.transform_data_arn),
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
        )

    @cached_property
    def transform_planning(self) -> Planning:
        from chalicelib.jobs.images import inference_image
        from chalicelib.tenants.roles import Purpose
        from chalicelib.transforms.planning import Planning

        return Planning(
            store=self.transform_store,
            models=self.model_store,
            image_of=lambda framework, gpu: inference_image(framework, gpu, self.settings.region),
            role_of=lambda tenant: self.tenant_roles.require(tenant, Purpose.TRANSFORMING),
            output_of=self.objects.uri,
            region=self.settings.region,
            stack=self.settings.stack,
        )

    @cached_property
    def transform_finishing(self) -> Finishing:
        from chalicelib.transforms.finishing import Finishing

        return Finishing(self.transform_store, self.model_store, self.transform_jobs, self.now)

    @cached_property
    def transform_jobs(self) -> TransformJobs:
        from chalicelib.transforms.gateways import TransformJobs

        return TransformJobs(self.clients.sagemaker)
