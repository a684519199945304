"""Policies in DynamoDB, in the table of the models.

pk                   sk         what
<tenant>#policies    <name>     the policy of a model name, or of all (`*`)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.auto_deployment.policy import Condition, Policy, condition_documents
from chalicelib.clock import from_text, to_text
from chalicelib.cursor import Cursor
from chalicelib.table import Item, Table, Write, as_json


@dataclass(frozen=True)
class PolicyPage:
    policies: tuple[Policy, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class PolicyStore:
    table: Table

    def get(self, tenant: str, name: str) -> Policy | None:
        item = self.table.get(_pk(tenant), name)
        return _policy(item) if item else None

    def put(self, policy: Policy, *also: Write) -> None:
        """Set a policy, whatever was set before.

        Args:
            also: writes that happen in the same transaction, or not at all.
        """
        self.table.transact(self.table.put(_item(policy)), *also)

    def delete(self, tenant: str, name: str, *also: Write) -> None:
        self.table.transact(self.table.delete(_pk(tenant), name), *also)

    def search(self, tenant: str, limit: int, offset: int, after: Cursor | None) -> PolicyPage:
        """By name."""
        page = self.table.query(("pk", _pk(tenant)), after=after, limit=limit, offset=offset)
        return PolicyPage(tuple(_policy(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str) -> Cursor | None:
        """Read a list's cursor; its key is that of the list that is asked for now, so it can't lead elsewhere."""
        return Cursor.of_list(text, ("sk",), {"pk": _pk(tenant)})


def _pk(tenant: str) -> str:
    return f"{tenant}#policies"


def _item(policy: Policy) -> Item:
    return {
        "pk": _pk(policy.tenant),
        "sk": policy.name,
        "tenant": policy.tenant,
        "enabled": policy.enabled,
        "conditions": as_json(condition_documents(policy.conditions)),
        "config": as_json(policy.config),
        "rollout": as_json(policy.rollout) if policy.rollout is not None else None,
        "user": policy.user,
        "updated_at": to_text(policy.updated_at) if policy.updated_at else None,
    }


def _policy(item: Mapping[str, Any]) -> Policy:
    rollout, updated_at = item.get("rollout"), item.get("updated_at")
    return Policy(
        tenant=item["tenant"],
        name=item["sk"],
        enabled=item["enabled"],
        conditions=tuple(Condition(**each) for each in json.loads(item["conditions"])),
        config=json.loads(item["config"]),
        rollout=json.loads(rollout) if rollout else None,
        user=item.get("user"),
        updated_at=from_text(updated_at) if updated_at else None,
    )
