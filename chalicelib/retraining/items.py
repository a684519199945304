"""Policies and runs as items, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from chalicelib.auto_deployment.policy import Condition, Policy, condition_documents
from chalicelib.clock import from_text, to_text
from chalicelib.retraining.policy import Concurrency, RetrainingPolicy, SchemaCheck, Source
from chalicelib.retraining.run import DataVersion, Run, RunStatus, Trigger
from chalicelib.table import Item, as_json

POLICY_LISTED = ("sk",)
_POLICY_PLAIN = (
    *("tenant", "policy_id", "user", "name", "enabled", "debounce_seconds", "longest_seconds"),
    *("min_objects", "min_bytes", "budget_usd", "record_version"),
)
_RUN_PLAIN = (
    *("tenant", "policy_id", "number", "user", "record_version", "is_complete", "objects", "size"),
    *("job_id", "cost_usd", "model_id", "deployment_id", "deployment_reason", "reason"),
)
_RUN_TIMES = ("opened_at", "updated_at", "last_at", "look_at", "begun_at", "submitted_at", "ended_at")


def policies_pk(tenant: str) -> str:
    return f"{tenant}#retraining"


def policy_item(policy: RetrainingPolicy) -> Item:
    deployment = policy.deployment
    return {
        "pk": policies_pk(policy.tenant),
        "sk": policy.policy_id,
        **{name: getattr(policy, name) for name in _POLICY_PLAIN},
        "source": as_json(vars(policy.source)),
        "job": as_json(policy.job),
        "concurrency": policy.concurrency.value,
        "schema_check": policy.schema_check.value,
        "deployment": as_json(_deployment_document(deployment)) if deployment else None,
        "created_at": to_text(policy.created_at),
        "updated_at": to_text(policy.updated_at),
    }


def policy_of(item: Mapping[str, Any]) -> RetrainingPolicy:
    plain: dict[str, Any] = {name: item.get(name) for name in _POLICY_PLAIN}
    deployment = item.get("deployment")
    return RetrainingPolicy(
        **plain,
        source=Source(**json.loads(item["source"])),
        job=json.loads(item["job"]),
        concurrency=Concurrency(item["concurrency"]),
        schema_check=SchemaCheck(item["schema_check"]),
        deployment=_deployment(json.loads(deployment), item) if deployment else None,
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
    )


def _deployment_document(policy: Policy) -> dict[str, Any]:
    return {
        "conditions": condition_documents(policy.conditions),
        "config": policy.config,
        "rollout": policy.rollout,
    }


def _deployment(document: Mapping[str, Any], item: Mapping[str, Any]) -> Policy:
    return Policy(
        tenant=item["tenant"],
        name=item["name"],
        enabled=True,
        conditions=tuple(Condition(**each) for each in document["conditions"]),
        config=document["config"],
        rollout=document["rollout"],
        user=item["user"],
    )


def run_key(tenant: str, policy_id: str, number: int) -> tuple[str, str]:
    """Runs are in the order of their numbers."""
    return f"{tenant}#{policy_id}", f"run#{number:08d}"


def run_item(run: Run) -> Item:
    pk, sk = run_key(run.tenant, run.policy_id, run.number)
    return {
        "pk": pk,
        "sk": sk,
        **{name: getattr(run, name) for name in _RUN_PLAIN},
        **{name: to_text(value) if (value := getattr(run, name)) else None for name in _RUN_TIMES},
        "trigger": run.trigger.value,
        "status": run.status.value,
        "data": as_json(vars(run.data)) if run.data else None,
        "warnings": as_json(list(run.warnings)),
    }


def run_of(item: Mapping[str, Any]) -> Run:
    plain: dict[str, Any] = {name: item.get(name) for name in _RUN_PLAIN}
    times: dict[str, Any] = {name: from_text(text) if (text := item.get(name)) else None for name in _RUN_TIMES}
    cost, data = plain.pop("cost_usd"), item.get("data")
    return Run(
        **plain,
        **times,
        cost_usd=Decimal(cost) if cost is not None else None,
        trigger=Trigger(item["trigger"]),
        status=RunStatus(item["status"]),
        data=DataVersion(**json.loads(data)) if data else None,
        warnings=tuple(json.loads(item["warnings"])),
    )
