"""Set, list, get and remove policies."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.auto_deployment.policy import EVERY_NAME, Condition, Policy, built_in, condition_documents
from chalicelib.auto_deployment.request import PolicyRequest
from chalicelib.auto_deployment.store import PolicyPage, PolicyStore
from chalicelib.clock import Clock
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.deployments.rules import check_config, host
from chalicelib.errors import FieldProblem, InvalidRequest, NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.rollouts import rules as rollout_rules

MAX_NAME = 256


@dataclass(frozen=True)
class PolicyService:
    store: PolicyStore
    now: Clock
    audit: Recorder

    def set(self, caller: Caller, name: str, request: PolicyRequest) -> Policy:
        """Say when models of a name, or of all names (`*`), are deployed by themselves.

        Raises:
            InvalidRequest: what is wrong, by field.
        """
        caller.require(Permission.MODELS_DEPLOY)
        if not 0 < len(name) <= MAX_NAME:
            problem = FieldProblem("model_name", f"has {len(name)} characters", f"Use 1 to {MAX_NAME}.")
            raise InvalidRequest.about(problem)
        config = request.model_dump(
            include={"environment", "replicas", "resource_limits", "scaling_policy"}, exclude_none=True
        )
        wanted = DeploymentConfig.model_validate(config)
        check_config(wanted)
        host(wanted)
        if request.rollout is not None:
            rollout_rules.steps(request.rollout)
            rollout_rules.gates(request.rollout, caller.tenant)
        policy = Policy(
            tenant=caller.tenant,
            name=name,
            enabled=request.enabled,
            conditions=tuple(Condition(**vars(each)) for each in request.conditions),
            config=config,
            rollout=request.rollout.model_dump(exclude_none=True) if request.rollout else None,
            user=caller.user,
            updated_at=self.now(),
        )
        entry = self.audit.entry(
            caller,
            Action.SET_DEPLOYMENT_POLICY,
            subject("policy", name),
            enabled=str(policy.enabled).lower(),
            environment=str(config["environment"]),
            conditions=str(condition_documents(policy.conditions)),
        )
        self.store.put(policy, entry)
        return policy

    def remove(self, caller: Caller, name: str) -> None:
        """The policy of all names holds again; of that one, the built-in one.

        Raises:
            NotFound: none is set.
        """
        caller.require(Permission.MODELS_DEPLOY)
        if self.store.get(caller.tenant, name) is None:
            raise NotFound("policy")
        entry = self.audit.entry(caller, Action.REMOVE_DEPLOYMENT_POLICY, subject("policy", name))
        self.store.delete(caller.tenant, name, entry)

    def get(self, caller: Caller, name: str) -> Policy:
        """
        Raises:
            NotFound: none is set for this name; of all names there always is one.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        found = self.store.get(caller.tenant, name)
        if found is None and name == EVERY_NAME:
            return built_in(caller.tenant)
        if found is None:
            raise NotFound("policy")
        return found

    def search(self, caller: Caller, limit: int, offset: int, cursor: str | None) -> PolicyPage:
        """Those that are set, by name."""
        caller.require(Permission.DEPLOYMENTS_READ)
        return self.store.search(caller.tenant, limit, offset, PolicyStore.cursor(cursor, caller.tenant))

    def of(self, tenant: str, name: str) -> Policy:
        """What holds for models of a name."""
        return self.store.get(tenant, name) or self.store.get(tenant, EVERY_NAME) or built_in(tenant)
