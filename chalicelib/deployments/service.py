"""Deploy, list, get and take down. What happens to a deployment after that is the state machines' part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker, is_id
from chalicelib.deployments import rules
from chalicelib.deployments.deployment import (
    Deployment,
    DeploymentFilter,
    DeploymentStatus,
    Revision,
    Variant,
    endpoint_name,
    same_shares,
)
from chalicelib.deployments.request import DeploymentConfig, WeightsRequest
from chalicelib.deployments.revising import Revising
from chalicelib.deployments.store import DeploymentPage, DeploymentStore, StaleDeployment
from chalicelib.deployments.weighing import Weighing, weighed
from chalicelib.environments.guard import EnvironmentGuard
from chalicelib.errors import Conflict, FieldProblem, NotFound, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.machine import StateMachine
from chalicelib.models.model import Model, ModelStatus
from chalicelib.models.store import ModelStore
from chalicelib.table import Write


@dataclass(frozen=True)
class DeploymentService:
    store: DeploymentStore
    models: ModelStore
    revising: Revising
    weighing: Weighing
    guard: EnvironmentGuard
    undeploy_machine: StateMachine
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def deploy(self, caller: Caller, model_id: str, config: DeploymentConfig) -> Deployment:
        """Let the endpoint of the model's name in an environment serve this version.

        The intent is recorded before anything is started. Asking for the very revision that is on its way changes
        nothing and makes sure that its state machine runs.

        Raises:
            NotFound: no such model, or another tenant's.
            Conflict: the model can't be deployed, or the endpoint is busy with another revision.
            Forbidden, EnvironmentRefusal: the environment's policy does not allow it.
            RefusedValue, InvalidRequest: what is wrong with the configuration, by field.
        """
        caller.require(Permission.MODELS_DEPLOY)
        while True:
            model = self.models.get(caller.tenant, model_id)
            if model is None:
                raise NotFound("model")
            rules.check_model(model)
            if rules.may_be_serverless(config) and self.guard.scales_to_zero(caller.tenant, config.environment):
                config = config.model_copy(update={"serverless": True})
            rules.check_config(config)
            split = rules.weights(config, model_id)
            fields = dict.fromkeys(split, "variants")
            if config.shadow is not None:
                fields.setdefault(config.shadow.model_id, "shadow.model_id")
            models = self._models(model, fields)
            variants = rules.variants(models, split)
            revision = _revision(variants, rules.shadow(models, config, variants), config)
            existing = self.store.at(caller.tenant, model.name, config.environment)
            if existing and existing.status is DeploymentStatus.DEPLOYING:
                if existing.target.is_same_intent(revision):
                    return self.revising.start(existing)
                raise Conflict(
                    f"The deployment {existing.deployment_id} is busy with revision {existing.target.number} "
                    f"(version {existing.target.model_version}). Wait until it has settled."
                )
            served = self._to_be_replaced(caller, existing) if existing else None
            self.guard.check_change(
                caller,
                config.environment,
                revision.not_in(existing.active if existing else None),
                shifts=served is not None and not same_shares(_shares(served), _shares(revision)),
            )
            if existing and existing.status is DeploymentStatus.INACTIVE:
                raise Conflict(f"The deployment {existing.deployment_id} is being taken down. Wait until it has ended.")
            try:
                return self._record(caller, models, revision, existing)
            except StaleDeployment:
                continue

    def reweigh(self, caller: Caller, deployment_id: str, request: WeightsRequest) -> Deployment:
        """Split the requests of an endpoint anew among the variants that it has. Their models stay as they are.

        Raises:
            NotFound: not there, or another tenant's.
            Conflict: it is not active, or busy with another revision.
            RefusedValue: the variants are not those that it has.
            Forbidden, EnvironmentRefusal: the environment's policy does not allow it.
        """
        caller.require(Permission.MODELS_DEPLOY)
        while True:
            deployment = self.store.existing(caller.tenant, deployment_id)
            active = deployment.active
            if active is None or not deployment.answers():
                raise Conflict(
                    f"The deployment is {deployment.status.value}: only an active one has weights to change."
                )
            split = rules.split_of(request.variants, "variants", active.model_id)
            if split.keys() != {variant.model_id for variant in active.variants}:
                cure = (
                    f"Name {', '.join(variant.model_id for variant in active.variants)}, or deploy again with others."
                )
                raise RefusedValue.about(FieldProblem("variants", "are not those of the endpoint", cure))
            target = weighed(deployment, active, split)
            if deployment.status is DeploymentStatus.DEPLOYING:
                # Asked for again, perhaps because the answer was lost.
                if replace(target, number=deployment.target.number) == deployment.target:
                    return self.revising.start(deployment)
                raise Conflict(
                    f"The deployment is busy with revision {deployment.target.number}. Wait until it has settled."
                )
            if same_shares(active.weights, target.weights):
                return deployment
            try:
                return self.weighing.weigh(caller, deployment, target)
            except StaleDeployment:
                continue

    def search(
        self, caller: Caller, wanted: DeploymentFilter, limit: int, offset: int, cursor: str | None
    ) -> DeploymentPage:
        """The tenant's deployments, newest first."""
        caller.require(Permission.DEPLOYMENTS_READ)
        if wanted.model_id is not None and not is_id(wanted.model_id):
            return DeploymentPage((), None)
        after = DeploymentStore.cursor(cursor, caller.tenant, wanted)
        return self.store.search(caller.tenant, wanted, limit, offset, after)

    def get(self, caller: Caller, deployment_id: str) -> Deployment:
        """
        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        return self.store.existing(caller.tenant, deployment_id)

    def undeploy(self, caller: Caller, deployment_id: str) -> Deployment:
        """Take a deployment down. Predictions are refused from now on; doing it again changes nothing.

        Raises:
            NotFound: not there, or another tenant's.
            Conflict: a revision is on its way.
            Forbidden, EnvironmentRefusal: the environment's policy does not allow it.
        """
        caller.require(Permission.MODELS_DEPLOY)
        while True:
            deployment = self.store.existing(caller.tenant, deployment_id)
            if deployment.status is DeploymentStatus.TERMINATED:
                return deployment
            if deployment.status is DeploymentStatus.DEPLOYING:
                raise Conflict(f"Revision {deployment.target.number} is being deployed. Wait until it has settled.")
            if deployment.status is DeploymentStatus.INACTIVE and deployment.last_failure is None:
                break
            self.guard.check_change(caller, deployment.environment)
            entry = self.audit.entry(caller, Action.DELETE_DEPLOYMENT, subject("deployment", deployment_id))
            try:
                deployment = self.store.update(deployment, deployment.undeploying(), self.now(), entry)
                break
            except StaleDeployment:
                continue
        self.undeploy_machine.start(*undeploying(deployment))
        return deployment

    def _to_be_replaced(self, caller: Caller, deployment: Deployment) -> Revision | None:
        """What answers there or did last, whatever failed or was taken down since: no way leads around a rollout.

        What can't come back, because its model is gone or deprecated, holds up nobody who sets the environment's policy.
        """
        last = deployment.active or deployment.served_last
        if deployment.active is None and last is not None and caller.may(Permission.ENVIRONMENTS_MANAGE):
            model = self.models.get(deployment.tenant, last.model_id)
            return last if model and model.status is not ModelStatus.DEPRECATED else None
        return last

    def _models(self, deployed: Model, fields: Mapping[str, str]) -> list[Model]:
        """The models that are to be hosted, the deployed one first.

        Args:
            fields: by id, where it is asked for.

        Raises:
            RefusedValue: one is not there, or another tenant's.
        """
        found = [deployed]
        for model_id, field in fields.items():
            if model_id == deployed.model_id:
                continue
            model = self.models.get(deployed.tenant, model_id) if is_id(model_id) else None
            if model is None:
                raise RefusedValue.about(FieldProblem(field, f"names {model_id[:64]!r}", "Use ids of your models."))
            found.append(model)
        return found

    def _record(
        self, caller: Caller, models: Sequence[Model], revision: Revision, existing: Deployment | None
    ) -> Deployment:
        now, model = self.now(), models[0]
        number = existing.revisions + 1 if existing else 1
        revision = replace(revision, number=number)
        if existing is None or existing.status is DeploymentStatus.TERMINATED:
            deployment = Deployment(
                tenant=caller.tenant,
                deployment_id=self.new_id(),
                user=caller.user,
                name=model.name,
                environment=str(revision.config["environment"]),
                endpoint=endpoint_name(caller.tenant, model.name, str(revision.config["environment"])),
                target=revision,
                created_at=now,
                updated_at=now,
                revisions=number,
                served_last=existing.served_last if existing else None,
            ).first()
            claims = self.revising.claims(models, deployment.deployment_id)
            created = self.store.create(deployment, existing, *claims, self._entry(caller, deployment))
            return self.revising.start(created)
        claims = self.revising.claims(models, existing.deployment_id)
        after = existing.deploying(revision, caller.user)
        return self.revising.begin(existing, after, *claims, self._entry(caller, after))

    def _entry(self, caller: Caller, deployment: Deployment) -> Write:
        target = deployment.target
        return self.audit.entry(
            caller,
            Action.DEPLOY_MODEL,
            subject("deployment", deployment.deployment_id),
            model=" ".join(variant.model_id for variant in target.variants),
            revision=str(target.number),
            environment=deployment.environment,
            **({"shadow": target.shadow.model_id} if target.shadow else {}),
        )


def _shares(revision: Revision) -> dict[str, float]:
    """Weight by model, without those that get nothing."""
    return {variant.model_id: variant.weight for variant in revision.variants if variant.weight}


def undeploying(deployment: Deployment) -> tuple[str, dict[str, Any]]:
    """Name and input of the execution that takes a deployment down."""
    document = {"tenant": deployment.tenant, "deployment_id": deployment.deployment_id}
    return f"{deployment.deployment_id}-undeploy-{deployment.undeployments}", document


def _revision(variants: tuple[Variant, ...], shadow: Variant | None, config: DeploymentConfig) -> Revision:
    """What is asked for, without its number."""
    host = rules.host(config)
    document = config.model_dump(mode="json", exclude_none=True, exclude={"replicas"} if config.serverless else None)
    return Revision(0, variants, document, host.instance_type, host.gpu_count, host.volume_gb, shadow=shadow)
