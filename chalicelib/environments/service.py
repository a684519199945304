"""Set, list, get and clear what environments ask for; approve versions, and see who did."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.deployments.deployment import ENVIRONMENTS
from chalicelib.environments.policy import Approval, ApprovalDecision, ChangeWindow, EnvironmentPolicy
from chalicelib.environments.request import ApprovalRequest, EnvironmentPolicyRequest
from chalicelib.environments.store import ApprovalStore, EnvironmentStore
from chalicelib.errors import Conflict, FieldProblem, Forbidden, NotFound, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore
from chalicelib.rollouts.rollout import GateType
from chalicelib.table import ConditionFailed


@dataclass(frozen=True)
class EnvironmentService:
    store: EnvironmentStore
    approval_store: ApprovalStore
    models: ModelStore
    now: Clock
    audit: Recorder

    def all(self, caller: Caller) -> list[EnvironmentPolicy]:
        """What each environment asks for, also those that ask for nothing."""
        caller.require(Permission.DEPLOYMENTS_READ)
        return [self.store.get(caller.tenant, environment) for environment in ENVIRONMENTS]

    def get(self, caller: Caller, environment: str) -> EnvironmentPolicy:
        """
        Raises:
            NotFound: there is no environment of this name.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        return self.store.get(caller.tenant, _known(environment))

    def set(self, caller: Caller, environment: str, request: EnvironmentPolicyRequest) -> EnvironmentPolicy:
        """Say what an environment asks for from now on. What is under way goes on.

        Raises:
            NotFound: there is no environment of this name.
            RefusedValue: more approvals than approvers.
        """
        caller.require(Permission.ENVIRONMENTS_MANAGE)
        asked = request.approvals
        approvers = tuple(dict.fromkeys(asked.approvers)) if asked else ()
        if asked and asked.required > len(approvers):
            said, cure = f"is {asked.required}, of {len(approvers)} approvers", "Name more approvers, or ask for fewer."
            raise RefusedValue.about(FieldProblem("approvals.required", said, cure))
        initial = EnvironmentPolicy.initial(caller.tenant, _known(environment))
        policy = replace(
            initial,
            deployers=tuple(dict.fromkeys(request.deployers)) if request.deployers else None,
            approvals=asked.required if asked else 0,
            approvers=approvers,
            required_gates=tuple(map(GateType, dict.fromkeys(request.required_gates))),
            change_windows=tuple(
                ChangeWindow(tuple(dict.fromkeys(each.days)), each.start, each.end, each.time_zone)
                for each in request.change_windows
            ),
            scale_to_zero=initial.scale_to_zero if request.scale_to_zero is None else request.scale_to_zero,
            user=caller.user,
            updated_at=self.now(),
        )
        entry = self.audit.entry(
            caller,
            Action.SET_ENVIRONMENT,
            subject("environment", environment),
            deployers=str(len(policy.deployers)) if policy.deployers is not None else "all",
            approvals=str(policy.approvals),
            gates=" ".join(gate.value for gate in policy.required_gates),
            windows=str(len(policy.change_windows)),
            scale_to_zero=str(policy.scale_to_zero).lower(),
        )
        self.store.put(policy, entry)
        return policy

    def clear(self, caller: Caller, environment: str) -> None:
        """The environment is as it was at first, and asks for nothing; doing it again changes nothing.

        Raises:
            NotFound: there is no environment of this name.
        """
        caller.require(Permission.ENVIRONMENTS_MANAGE)
        if self.store.get(caller.tenant, _known(environment)).updated_at is None:
            return
        entry = self.audit.entry(caller, Action.CLEAR_ENVIRONMENT, subject("environment", environment))
        self.store.delete(caller.tenant, environment, entry)

    def approve(self, caller: Caller, model_id: str, request: ApprovalRequest) -> Approval:
        """Say that a version may be served in an environment, or may not. Saying the other thing later replaces it.

        Raises:
            NotFound: no such model, or another tenant's.
            Forbidden: the caller is not one of the environment's approvers.
            RefusedValue: the environment asks for no approvals.
            Conflict: the version is deprecated.
        """
        caller.require(Permission.MODELS_APPROVE)
        model = self._model(caller, model_id)
        policy = self.store.get(caller.tenant, request.environment)
        if not policy.approvals:
            cure = "Deploy it, or have an administrator set approvals there."
            raise RefusedValue.about(FieldProblem("environment", "asks for no approvals", cure))
        if caller.user not in policy.approvers:
            raise Forbidden(
                f"Only these users approve versions for {policy.environment}: {', '.join(policy.approvers)}."
            )
        approval = Approval(
            request.environment, caller.user, ApprovalDecision(request.decision), self.now(), request.comment
        )
        entry = self.audit.entry(
            caller,
            Action.APPROVE_MODEL,
            subject("model", model_id),
            environment=request.environment,
            decision=request.decision,
            name=f"{model.name}:{model.version}",
        )
        try:
            self.approval_store.put(caller.tenant, model_id, approval, entry)
        except ConditionFailed:
            raise Conflict("The model is deprecated: it will not be served any more.") from None
        return approval

    def approvals(self, caller: Caller, model_id: str) -> list[Approval]:
        """What has been said of a version, by environment and user.

        Raises:
            NotFound: no such model, or another tenant's.
        """
        caller.require(Permission.MODELS_READ)
        self._model(caller, model_id)
        return self.approval_store.of(caller.tenant, model_id)

    def _model(self, caller: Caller, model_id: str) -> Model:
        model = self.models.get(caller.tenant, model_id)
        if model is None:
            raise NotFound("model")
        return model


def _known(environment: str) -> str:
    if environment not in ENVIRONMENTS:
        raise NotFound("environment")
    return environment
