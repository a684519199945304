"""The one way to a deployment's next revision: the intent is recorded, then the machine that brings it about is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, Variant
from chalicelib.deployments.rules import check_model
from chalicelib.deployments.store import DeploymentStore
from chalicelib.errors import Conflict
from chalicelib.machine import StateMachine
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore
from chalicelib.table import Write


@dataclass(frozen=True)
class Revising:
    store: DeploymentStore
    models: ModelStore
    machine: StateMachine
    now: Clock

    def begin(self, before: Deployment, after: Deployment, *also: Write) -> Deployment:
        """
        Args:
            after: with another target.
            also: writes that happen in the same transaction, or not at all.

        Raises:
            StaleDeployment: somebody else changed one of the records since it was read.
        """
        return self.start(self.store.update(before, after, self.now(), *also))

    def start(self, deployment: Deployment) -> Deployment:
        """Make sure that a machine brings the target about."""
        self.machine.start(*deploying(deployment))
        return deployment

    def claims(self, models: Sequence[Model], deployment_id: str) -> list[Write]:
        """Nobody is to deprecate models that are about to be served."""
        now = self.now()
        return [self.models.change(model, model.claimed_by(deployment_id), now) for model in models]

    def claims_of(self, deployment: Deployment, variants: Sequence[Variant]) -> list[Write]:
        """The same for variants whose models have not been read yet.

        Raises:
            Conflict: one of them can't be served any more.
        """
        models: list[Model] = []
        for variant in variants:
            model = self.models.get(deployment.tenant, variant.model_id)
            if model is None:
                raise Conflict(f"Version {variant.model_version} has been deleted.")
            check_model(model)
            models.append(model)
        return self.claims(models, deployment.deployment_id)


def deploying(deployment: Deployment) -> tuple[str, dict[str, Any]]:
    """Name and input of the execution that brings the target up."""
    number = deployment.target.number
    document = {"tenant": deployment.tenant, "deployment_id": deployment.deployment_id, "revision": number}
    return f"{deployment.deployment_id}-{number}", document
