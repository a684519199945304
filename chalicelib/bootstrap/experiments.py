"""Experiments: what was counted of variants, and what follows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.webhooks import Webhooks
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.deployments.invocations import Invocations
    from chalicelib.experiments.joining import JoiningService
    from chalicelib.experiments.outcomes import OutcomeService
    from chalicelib.experiments.service import ExperimentService
    from chalicelib.experiments.steering import Steering
    from chalicelib.experiments.store import ExperimentStore


class Experiments(Webhooks):
    """Experiments: what was counted of variants, and what follows."""

    @cached_property
    def experiment_store(self) -> ExperimentStore:
        from chalicelib.experiments.store import ExperimentStore

        return ExperimentStore(Table(self.clients.dynamodb, self.settings.experiments_table))

    @cached_property
    def experiments(self) -> ExperimentService:
        from chalicelib.experiments.service import ExperimentService

        return ExperimentService(self.experiment_store, self.steering, self.now, self.new_id, self.audit)

    @cached_property
    def steering(self) -> Steering:
        from chalicelib.experiments.steering import Steering
        from chalicelib.experiments.traffic_store import TrafficStore

        store = self.experiment_store
        return Steering(store, TrafficStore(store.table), self.deployment_store, self.weighing, self.now)

    @cached_property
    def outcomes(self) -> OutcomeService:
        from chalicelib.experiments.outcomes import OutcomeService

        return OutcomeService(self.experiment_store, self.now)

    @cached_property
    def joining(self) -> JoiningService:
        from chalicelib.experiments.joining import JoiningService

        return JoiningService(self.outcomes)

    @cached_property
    def invocations(self) -> Invocations:
        from chalicelib.deployments.invocations import Invocations

        return Invocations(self.deployment_store, self._model_endpoint(), self._capturing(), self.joining.expose)
