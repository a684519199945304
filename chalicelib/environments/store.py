"""Policies and approvals in DynamoDB, beside what they are about.

table          pk                        sk                             what
deployments    <tenant>#environments     <environment>                  what an environment asks for
models         <tenant>#<model_id>       approval#<environment>#<user>  what a user says of a version
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.environments.policy import (
    SCALED_TO_ZERO,
    Approval,
    ApprovalDecision,
    ChangeWindow,
    EnvironmentPolicy,
)
from chalicelib.models.model import ModelStatus
from chalicelib.rollouts.rollout import GateType
from chalicelib.table import Item, Table, Write, as_json

_PREFIX = "approval#"


@dataclass(frozen=True)
class EnvironmentStore:
    table: Table

    def get(self, tenant: str, environment: str) -> EnvironmentPolicy:
        """Without one that was set: the initial one, which asks for nothing."""
        item = self.table.get(_pk(tenant), environment)
        return _policy(item) if item else EnvironmentPolicy.initial(tenant, environment)

    def put(self, policy: EnvironmentPolicy, *also: Write) -> None:
        """Set a policy, whatever was set before.

        Args:
            also: writes that happen in the same transaction, or not at all.
        """
        self.table.transact(self.table.put(_item(policy)), *also)

    def delete(self, tenant: str, environment: str, *also: Write) -> None:
        self.table.transact(self.table.delete(_pk(tenant), environment), *also)


@dataclass(frozen=True)
class ApprovalStore:
    table: Table

    def put(self, tenant: str, model_id: str, approval: Approval, *also: Write) -> None:
        """What somebody says of a version, whatever they have said before.

        Raises:
            ConditionFailed: it is deprecated, or gone.
        """
        pk = f"{tenant}#{model_id}"
        item = {
            "pk": pk,
            "sk": f"{_PREFIX}{approval.environment}#{approval.user}",
            "environment": approval.environment,
            "user": approval.user,
            "decision": approval.decision.value,
            "at": to_text(approval.at),
            "comment": approval.comment,
        }
        # Whoever deletes a version deprecates it first: what is said of it is never left behind.
        in_use = self.table.check(
            pk,
            "model",
            condition="attribute_exists(pk) AND #status <> :deprecated",
            values={":deprecated": ModelStatus.DEPRECATED.value},
            names={"#status": "status"},
        )
        self.table.transact(self.table.put(item), in_use, *also)

    def of(self, tenant: str, model_id: str) -> list[Approval]:
        """By environment and user."""
        return [
            Approval(
                environment=item["environment"],
                user=item["user"],
                decision=ApprovalDecision(item["decision"]),
                at=from_text(item["at"]),
                comment=item.get("comment"),
            )
            for item in self.table.all_of(f"{tenant}#{model_id}", _PREFIX, consistent=True)
        ]


def _pk(tenant: str) -> str:
    return f"{tenant}#environments"


def _item(policy: EnvironmentPolicy) -> Item:
    return {
        "pk": _pk(policy.tenant),
        "sk": policy.environment,
        "tenant": policy.tenant,
        "deployers": as_json(policy.deployers) if policy.deployers is not None else None,
        "approvals": policy.approvals,
        "approvers": as_json(policy.approvers),
        "required_gates": as_json([gate.value for gate in policy.required_gates]),
        "change_windows": as_json([vars(window) for window in policy.change_windows]),
        "scale_to_zero": policy.scale_to_zero,
        "user": policy.user,
        "updated_at": to_text(policy.updated_at) if policy.updated_at else None,
    }


def _policy(item: Mapping[str, Any]) -> EnvironmentPolicy:
    deployers, updated_at = item.get("deployers"), item.get("updated_at")
    windows = json.loads(item["change_windows"])
    return EnvironmentPolicy(
        tenant=item["tenant"],
        environment=item["sk"],
        deployers=tuple(json.loads(deployers)) if deployers else None,
        approvals=item["approvals"],
        approvers=tuple(json.loads(item["approvers"])),
        required_gates=tuple(map(GateType, json.loads(item["required_gates"]))),
        change_windows=tuple(ChangeWindow(**{**window, "days": tuple(window["days"])}) for window in windows),
        scale_to_zero=item.get("scale_to_zero", item["sk"] in SCALED_TO_ZERO),
        user=item.get("user"),
        updated_at=from_text(updated_at) if updated_at else None,
    )
