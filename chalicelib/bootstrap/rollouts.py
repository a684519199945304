"""Rollouts: another version takes over in steps."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.experiments import Experiments

if TYPE_CHECKING:
    from chalicelib.rollouts.driving import Driving, Reader
    from chalicelib.rollouts.service import RolloutService
    from chalicelib.rollouts.store import RolloutStore


class Rollouts(Experiments):
    """Rollouts: another version takes over in steps."""

    @cached_property
    def rollout_store(self) -> RolloutStore:
        from chalicelib.rollouts.store import RolloutStore

        return RolloutStore(self.deployment_store.table)

    @cached_property
    def rollouts(self) -> RolloutService:
        from chalicelib.rollouts.service import RolloutService

        return RolloutService(
            store=self.rollout_store,
            deployments=self.deployment_store,
            models=self.model_store,
            driving=self.rollout_driving,
            guard=self.environment_guard,
            now=self.now,
            audit=self.audit,
        )

    @cached_property
    def rollout_driving(self) -> Driving:
        from chalicelib.machine import StateMachine
        from chalicelib.rollouts.driving import Driving

        return Driving(
            store=self.rollout_store,
            deployments=self.deployment_store,
            revising=self.revising,
            machine=StateMachine(self.clients.stepfunctions, self.settings.shift_traffic_arn),
            reader=lambda: self._rollout_reader,
            now=self.now,
            audit=self.audit,
        )

    @cached_property
    def _rollout_reader(self) -> Reader:
        from chalicelib.captures.answers import CapturedAnswers
        from chalicelib.rollouts.driving import Reader
        from chalicelib.rollouts.traffic import Traffic

        return Reader(
            traffic=Traffic(self.clients.cloudwatch),
            endpoints=self._endpoints(),
            experiments=lambda: self.experiment_store,
            answers=lambda: CapturedAnswers(self.objects),
            now=self.now,
        )
