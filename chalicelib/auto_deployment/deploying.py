"""What follows when a model becomes ready. Every step may be repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.auto_deployment.policy import Policy
from chalicelib.auto_deployment.service import PolicyService
from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.deployments.rules import check_model, may_be_serverless
from chalicelib.deployments.service import DeploymentService
from chalicelib.deployments.store import DeploymentStore
from chalicelib.environments.guard import EnvironmentRefusal
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Role
from chalicelib.models.model import AutoDeployment, Model
from chalicelib.models.store import ModelStore, StaleModel
from chalicelib.rollouts.request import RolloutRequest
from chalicelib.rollouts.service import RolloutService


class PlaceBusy(Exception):
    """Another revision is on its way there: to be tried again."""


@dataclass(frozen=True)
class AutoDeploying:
    models: ModelStore
    policies: PolicyService
    places: DeploymentStore
    deployments: DeploymentService
    rollouts: RolloutService
    now: Clock

    def take(self, tenant: str, model_id: str) -> AutoDeployment | None:
        """Deploy a model if the policy of its name wants it, and note on its record what was decided; once for each model.

        Returns:
            The decision; None when the model is gone.

        Raises:
            PlaceBusy: another revision is on its way there.
        """
        model = self.models.get(tenant, model_id)
        if model is None or model.auto_deployment is not None:
            return model.auto_deployment if model else None
        decision = self.decide(model, self.policies.of(tenant, model.name))
        while model is not None and model.auto_deployment is None:
            try:
                self.models.update(model, replace(model, auto_deployment=decision), self.now())
            except StaleModel:
                model = self.models.get(tenant, model_id)
            else:
                break
        return decision

    def decide(self, model: Model, policy: Policy) -> AutoDeployment:
        """Deploy a model if a policy wants it. Nothing is noted; doing it again changes nothing.

        Raises:
            PlaceBusy: another revision is on its way there.
        """
        reason = policy.refusal(model.metrics) or _unfit(model)
        if reason is not None:
            return AutoDeployment(policy.name, False, reason, self.now())
        environment = str(policy.config["environment"])
        there = self.places.at(model.tenant, model.name, environment)
        later = self._later(model, there)
        if later is not None:
            said = f"Version {later.version}, which is newer, is deployed to {environment} already."
            return AutoDeployment(policy.name, False, said, self.now())
        try:
            deployment_id = self._deploy(model, policy, there)
        except (EnvironmentRefusal, Forbidden, InvalidRequest, RefusedValue) as refusal:
            return AutoDeployment(policy.name, False, refusal.detail, self.now())
        said = f"It meets the policy of {policy.name!r}: it is deployed to {environment}."
        return AutoDeployment(policy.name, True, said, self.now(), deployment_id)

    def _deploy(self, model: Model, policy: Policy, there: Deployment | None) -> str:
        """
        Raises:
            PlaceBusy: another revision is on its way there.
        """
        if there is not None and there.is_live and there.current.weight_of(model.model_id) is not None:
            # An earlier call came as far as this.
            return there.deployment_id
        # By the service, for the one who set the policy: nobody sent a request for this.
        caller = Caller(model.tenant, policy.user or model.user, frozenset({Role.MODEL_DEPLOYER.value}))
        try:
            if policy.rollout is not None and there is not None and _takes_rollouts(there):
                plan = {**policy.rollout, "to": {"model_id": model.model_id}}
                self.rollouts.start(caller, there.deployment_id, RolloutRequest.model_validate(plan))
                return there.deployment_id
            return self.deployments.deploy(caller, model.model_id, self._config(policy)).deployment_id
        except EnvironmentRefusal:
            raise
        except Conflict as busy:
            raise PlaceBusy(busy.detail) from busy

    def _config(self, policy: Policy) -> DeploymentConfig:
        """One replica where nobody says how many, or none where the environment scales to zero.

        A serverless endpoint has one version at a time: who asks for rollouts asks for instances.
        """
        config = DeploymentConfig.model_validate(policy.config)
        may_have_none = policy.rollout is None and may_be_serverless(config)
        if may_have_none and self.deployments.guard.scales_to_zero(policy.tenant, config.environment):
            return config
        unsaid = {"replicas": 1} if config.scaling_policy is None else {}
        return DeploymentConfig.model_validate({**unsaid, **policy.config})

    def _later(self, model: Model, there: Deployment | None) -> Model | None:
        """The version that is served there, when it is newer: what comes late must not replace it."""
        if there is None or not there.is_live:
            return None
        served = self.models.get(model.tenant, there.current.model_id)
        return served if served and served.created_at > model.created_at else None


def _unfit(model: Model) -> str | None:
    try:
        check_model(model)
    except Conflict as refusal:
        return refusal.detail
    return None


def _takes_rollouts(there: Deployment) -> bool:
    return there.answers() and there.active is not None and not there.active.is_serverless
