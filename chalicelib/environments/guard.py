"""Whether an environment lets a change be made now, by this caller. Everybody who changes a deployment asks here first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.clock import Clock, to_text
from chalicelib.deployments.deployment import Variant
from chalicelib.environments.policy import EnvironmentPolicy, what_is_missing
from chalicelib.environments.store import ApprovalStore, EnvironmentStore
from chalicelib.errors import Conflict, FieldProblem, Forbidden, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.rollouts.rollout import GateType


class EnvironmentRefusal(Conflict):
    """The environment's policy does not allow it.

    Args:
        rule: the part of the policy, by its name there.
        retry_at: when trying again is expected to help; None when that takes somebody.
    """

    def __init__(self, detail: str, policy: EnvironmentPolicy, rule: str, retry_at: datetime | None = None) -> None:
        super().__init__(detail)
        self.extra = {"environment": policy.environment, "rule": rule}
        self.retry_at = retry_at


@dataclass(frozen=True)
class EnvironmentGuard:
    policies: EnvironmentStore
    approvals: ApprovalStore
    now: Clock

    def check_change(
        self, caller: Caller, environment: str, brings: Iterable[Variant] = (), *, shifts: bool = False
    ) -> None:
        """A change that is made at once: a deployment, other weights, taking one down.

        Args:
            brings: versions that are not served there yet.
            shifts: whether requests go to another version than those that serve, or served last.

        Raises:
            Forbidden: the caller is not one of its deployers.
            EnvironmentRefusal: not now, not without approval, or not without a rollout.
        """
        policy = self._checked(caller, environment, brings)
        if shifts and policy.required_gates:
            gates = ", ".join(gate.value for gate in policy.required_gates)
            said = (
                f"In {environment} another version takes over from what serves, or served last, only in a rollout "
                f"with gates of these types: {gates}."
            )
            raise EnvironmentRefusal(said, policy, "required_gates")

    def check_rollout(
        self, caller: Caller, environment: str, brings: Iterable[Variant], gates: Collection[GateType]
    ) -> None:
        """A version is to take over in steps. Raises as `check_change`, and:

        RefusedValue: the plan lacks a gate.
        """
        policy = self._checked(caller, environment, brings)
        if missing := [gate.value for gate in policy.required_gates if gate not in gates]:
            said, cure = f"has none of type {', '.join(missing)}", f"{environment} asks for it: add one."
            raise RefusedValue.about(FieldProblem("gates", said, cure))

    def scales_to_zero(self, tenant: str, environment: str) -> bool:
        """Whether a deployment there has no instances unless it asks for them."""
        return self.policies.get(tenant, environment).scale_to_zero

    def check_rollback(self, caller: Caller, environment: str) -> None:
        """What has served there before may come back at any time, without gates or approvals.

        Raises:
            Forbidden: the caller is not one of its deployers.
        """
        self._check_deployer(self.policies.get(caller.tenant, environment), caller)

    def _checked(self, caller: Caller, environment: str, brings: Iterable[Variant]) -> EnvironmentPolicy:
        policy = self.policies.get(caller.tenant, environment)
        self._check_deployer(policy, caller)
        now = self.now()
        if not policy.is_open(now):
            opens = policy.opens_after(now)
            windows = "; ".join(map(str, policy.change_windows))
            said = f"{environment} is changed only in these windows: {windows}. The next one opens at {to_text(opens)}."
            raise EnvironmentRefusal(said, policy, "change_windows", opens)
        if policy.approvals:
            for variant in brings:
                given = self.approvals.of(caller.tenant, variant.model_id)
                if missing := what_is_missing(policy, caller.user, given):
                    said = f"Version {variant.model_version} {missing} before {environment} serves it."
                    raise EnvironmentRefusal(said, policy, "approvals")
        return policy

    def _check_deployer(self, policy: EnvironmentPolicy, caller: Caller) -> None:
        if not policy.may_deploy(caller.user):
            named = ", ".join(policy.deployers or ())
            raise Forbidden(f"Only these users may change what {policy.environment} serves: {named}.")
