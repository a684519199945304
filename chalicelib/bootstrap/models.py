"""Models and deployments."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib.bootstrap.jobs import Jobs

if TYPE_CHECKING:
    from chalicelib.captures.capturing import Capturing
    from chalicelib.captures.service import CaptureService
    from chalicelib.deployments.finishing import Finishing
    from chalicelib.deployments.gateways import Endpoints
    from chalicelib.deployments.history import RevisionHistory
    from chalicelib.deployments.invocations import ModelEndpoint
    from chalicelib.deployments.planning import Planning
    from chalicelib.deployments.revising import Revising
    from chalicelib.deployments.rolling_back import RollingBack
    from chalicelib.deployments.scaling import Scaling
    from chalicelib.deployments.scaling_report import ScalingReport
    from chalicelib.deployments.service import DeploymentService
    from chalicelib.deployments.smoke import SmokeTest
    from chalicelib.deployments.waiting import Waiting
    from chalicelib.deployments.weighing import Weighing
    from chalicelib.environments.guard import EnvironmentGuard
    from chalicelib.environments.service import EnvironmentService
    from chalicelib.models.registration import Registration
    from chalicelib.models.service import ModelService
    from chalicelib.stats.service import StatsService
    from chalicelib.tracking.registry import TrackingRegistry


class Models(Jobs):
    """Models and deployments."""

    @cached_property
    def models(self) -> ModelService:
        from chalicelib.models.external import ExternalArtifacts
        from chalicelib.models.service import ModelService

        artifacts = ExternalArtifacts(self.clients.s3, self.settings.artifacts_bucket)
        return ModelService(self.model_store, artifacts, self.now, self.new_id, self.audit)

    @cached_property
    def stats(self) -> StatsService:
        from chalicelib.stats.service import StatsService
        from chalicelib.stats.store import FrameworkStore

        frameworks = FrameworkStore(self.job_store.table)
        return StatsService(self.jobs, self.metrics, self.quotas.store, self.models, frameworks, self.now)

    @cached_property
    def registration(self) -> Registration:
        from chalicelib.models.registration import Registration

        return Registration(
            self.model_store, self.tracking_registry, self.settings.artifacts_bucket, self.now, self.audit
        )

    @cached_property
    def tracking_registry(self) -> TrackingRegistry:
        from chalicelib.tracking.address import TrackingAddress
        from chalicelib.tracking.client import TrackingClient, http_send
        from chalicelib.tracking.registry import TrackingRegistry

        def sign(*arguments: Any) -> Mapping[str, str]:
            return self.clients.sign(*arguments)

        address = TrackingAddress.parse(self.settings.mlflow_tracking_uri)
        return TrackingRegistry(TrackingClient(address, http_send(), sign, time.sleep, random.uniform))

    @cached_property
    def deployments(self) -> DeploymentService:
        from chalicelib.deployments.service import DeploymentService
        from chalicelib.machine import StateMachine

        return DeploymentService(
            store=self.deployment_store,
            models=self.model_store,
            revising=self.revising,
            weighing=self.weighing,
            guard=self.environment_guard,
            undeploy_machine=StateMachine(self.clients.stepfunctions, self.settings.undeploy_model_arn),
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
        )

    @cached_property
    def environments(self) -> EnvironmentService:
        from chalicelib.environments.service import EnvironmentService

        guard = self.environment_guard
        return EnvironmentService(guard.policies, guard.approvals, self.model_store, self.now, self.audit)

    @cached_property
    def environment_guard(self) -> EnvironmentGuard:
        from chalicelib.environments.guard import EnvironmentGuard
        from chalicelib.environments.store import ApprovalStore, EnvironmentStore

        policies, approvals = EnvironmentStore(self.deployment_store.table), ApprovalStore(self.model_store.table)
        return EnvironmentGuard(policies, approvals, self.now)

    @cached_property
    def rolling_back(self) -> RollingBack:
        from chalicelib.deployments.rolling_back import RollingBack

        return RollingBack(
            self.deployment_store, self.revision_history, self.revising, self.environment_guard, self.audit
        )

    @cached_property
    def revision_history(self) -> RevisionHistory:
        from chalicelib.deployments.history import RevisionHistory

        return RevisionHistory(self.deployment_store.table)

    @cached_property
    def revising(self) -> Revising:
        from chalicelib.deployments.revising import Revising
        from chalicelib.machine import StateMachine

        machine = StateMachine(self.clients.stepfunctions, self.settings.deploy_model_arn)
        return Revising(self.deployment_store, self.model_store, machine, self.now)

    @cached_property
    def weighing(self) -> Weighing:
        from chalicelib.deployments.weighing import Weighing

        return Weighing(self.revising, self.environment_guard, self.audit)

    @cached_property
    def captures(self) -> CaptureService:
        from chalicelib.captures.service import CaptureService

        return CaptureService(self.deployment_store, self.objects, self.now, self.audit)

    def _capturing(self) -> Capturing:
        from chalicelib.captures.capturing import Capturing

        return Capturing(self.objects, self.now, self.new_id, random.uniform)

    @cached_property
    def deployment_planning(self) -> Planning:
        from chalicelib.deployments.plan import Surroundings
        from chalicelib.deployments.planning import Planning
        from chalicelib.jobs.images import inference_image
        from chalicelib.tenants.roles import Purpose

        return Planning(
            store=self.deployment_store,
            models=self.model_store,
            endpoints=self._endpoints(),
            scaling=self.scaling,
            image_of=lambda framework, gpu: inference_image(framework, gpu, self.settings.region),
            around=lambda tenant: Surroundings(
                self.tenant_roles.require(tenant, Purpose.SERVING), self.settings.region, self.settings.stack
            ),
        )

    @cached_property
    def deployment_waiting(self) -> Waiting:
        from chalicelib.deployments.gateways import Waiters
        from chalicelib.deployments.waiting import Waiting

        return Waiting(self.deployment_store, self._endpoints(), Waiters(self.clients.stepfunctions))

    @cached_property
    def smoke_test(self) -> SmokeTest:
        from chalicelib.deployments.smoke import SmokeTest

        return SmokeTest(self.deployment_store, self.model_store, self._model_endpoint(), time.sleep, self.now)

    @cached_property
    def deployment_finishing(self) -> Finishing:
        from chalicelib.deployments.finishing import Finishing

        return Finishing(
            self.deployment_store, self.model_store, self._endpoints(), self.scaling, self.revision_history, self.now
        )

    @cached_property
    def scaling_report(self) -> ScalingReport:
        from chalicelib.deployments.scaling_report import ScalingReport

        return ScalingReport(self.deployment_store, self._endpoints(), self.scaling)

    @cached_property
    def scaling(self) -> Scaling:
        from chalicelib.deployments.scaling import Scaling

        return Scaling(self.clients.auto_scaling)

    def _endpoints(self) -> Endpoints:
        from chalicelib.deployments.gateways import Endpoints

        return Endpoints(self.clients.sagemaker)

    def _model_endpoint(self) -> ModelEndpoint:
        from chalicelib.deployments.invocations import ModelEndpoint

        return ModelEndpoint(self.clients.sagemaker_runtime)
