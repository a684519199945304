"""Everything: the layers below and the reconciler."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.retraining import Retraining

if TYPE_CHECKING:
    from chalicelib.reconciler.deployments import DeploymentRepairs
    from chalicelib.reconciler.gateways import Machines
    from chalicelib.reconciler.jobs import JobRepairs
    from chalicelib.reconciler.retraining import RetrainingRepairs
    from chalicelib.reconciler.rollouts import RolloutRepairs
    from chalicelib.reconciler.service import ReconcilerService
    from chalicelib.reconciler.store import SweepStore
    from chalicelib.reconciler.sweep import Sweep
    from chalicelib.reconciler.transforms import TransformRepairs


class Platform(Retraining):
    """All services of one process."""

    @cached_property
    def sweep(self) -> Sweep:
        from chalicelib.reconciler.sweep import Sweep

        return Sweep(
            jobs=self.job_repairs,
            deployments=self.deployment_repairs,
            transforms=self.transform_repairs,
            retraining=self.retraining_repairs,
            now=self.now,
            seconds=time.monotonic,
        )

    @cached_property
    def retraining_repairs(self) -> RetrainingRepairs:
        from chalicelib.reconciler.retraining import RetrainingRepairs

        return RetrainingRepairs(self.retraining_store, self.job_store, self._looks, self.now)

    @cached_property
    def job_repairs(self) -> JobRepairs:
        from chalicelib.jobs.definitions import JobDefinitions
        from chalicelib.machine import StateMachine
        from chalicelib.reconciler.gateways import Executions, RunningInQueue, RunningOnBatch, RunningOnSageMaker
        from chalicelib.reconciler.jobs import JobRepairs

        queues = JobDefinitions(lambda: self.clients.batch, self.settings).queues()
        on_batch = (RunningOnBatch(self.clients.batch, queues),) if queues else ()
        training_queue = self.settings.training_queue
        in_queue = (RunningInQueue(self.clients.batch, training_queue),) if training_queue else ()
        return JobRepairs(
            store=self.job_store,
            tenants=self.quotas.store.tenants_after,
            executions=Executions(self.clients.stepfunctions, self.settings.train_job_executions),
            machine=StateMachine(self.clients.stepfunctions, self.settings.train_job_arn),
            finishing=lambda: self.finishing,
            receipts=lambda: self.receipts,
            notes=self.sweep_store,
            admission=self.admission,
            backends=self.backends,
            running=(RunningOnSageMaker(self.clients.sagemaker), *on_batch, *in_queue),
            stack=self.settings.stack,
            now=self.now,
            seconds=time.monotonic,
            pause=time.sleep,
        )

    @cached_property
    def deployment_repairs(self) -> DeploymentRepairs:
        from chalicelib.reconciler.deployments import DeploymentRepairs
        from chalicelib.reconciler.gateways import StandingEndpoints

        return DeploymentRepairs(
            store=self.deployment_store,
            deploy=self._machines(self.settings.deploy_model_arn),
            undeploy=self._machines(self.settings.undeploy_model_arn),
            finishing=self.deployment_finishing,
            describing=self._endpoints(),
            scaling=self.scaling,
            standing=StandingEndpoints(self.clients.sagemaker),
            rollouts=self.rollout_repairs,
            stack=self.settings.stack,
            now=self.now,
        )

    @cached_property
    def rollout_repairs(self) -> RolloutRepairs:
        from chalicelib.reconciler.rollouts import RolloutRepairs

        machines = self._machines(self.settings.shift_traffic_arn)
        return RolloutRepairs(self.rollout_store, self.deployment_store, machines, self.now)

    @cached_property
    def transform_repairs(self) -> TransformRepairs:
        from chalicelib.reconciler.transforms import TransformRepairs

        return TransformRepairs(
            store=self.transform_store,
            machines=self._machines(self.settings.transform_data_arn),
            jobs=self.transform_jobs,
            finishing=self.transform_finishing,
            now=self.now,
        )

    def _machines(self, arn: str) -> Machines:
        from chalicelib.machine import StateMachine
        from chalicelib.reconciler.gateways import Executions, Machines

        stepfunctions = self.clients.stepfunctions
        executions = arn.replace(":stateMachine:", ":execution:") + ":"
        return Machines(StateMachine(stepfunctions, arn), Executions(stepfunctions, executions))

    @cached_property
    def sweep_store(self) -> SweepStore:
        from chalicelib.reconciler.store import SweepStore

        return SweepStore(self.job_store.table)

    @cached_property
    def reconciler(self) -> ReconcilerService:
        from chalicelib.function import Function
        from chalicelib.reconciler.service import ReconcilerService

        def sweeper() -> Function:
            return Function(self.clients.functions, self.settings.reconcile_arn)

        return ReconcilerService(self.sweep_store, sweeper, self.now, self.audit)
