"""Policies and runs as documents."""

from __future__ import annotations

from typing import Any

from chalicelib.auto_deployment.policy import condition_documents
from chalicelib.clock import duration, to_text
from chalicelib.objects import Objects
from chalicelib.retraining.policy import RetrainingPolicy, Source
from chalicelib.retraining.run import DataVersion, Run


def policy_document(policy: RetrainingPolicy, objects: Objects) -> dict[str, Any]:
    """What is not set is left out."""
    deployment = policy.deployment
    values: dict[str, Any] = {
        "id": policy.policy_id,
        "name": policy.name,
        "user_id": policy.user,
        "enabled": policy.enabled,
        "source": _source(policy.source, objects),
        "debounce": duration(policy.debounce_seconds),
        "max_wait": duration(policy.longest_seconds),
        "min_objects": policy.min_objects,
        "min_bytes": policy.min_bytes,
        "job": dict(policy.job),
        "on_success": {
            "deploy_to": deployment.config["environment"],
            **{name: value for name, value in deployment.config.items() if name != "environment"},
            "conditions": condition_documents(deployment.conditions),
            **({"rollout": deployment.rollout} if deployment.rollout else {}),
        }
        if deployment
        else {},
        "concurrency": policy.concurrency.value,
        "schema_check": policy.schema_check.value,
        "budget_usd": float(policy.budget_usd) if policy.budget_usd is not None else None,
        "created_at": to_text(policy.created_at),
        "updated_at": to_text(policy.updated_at),
    }
    return {name: value for name, value in values.items() if value is not None}


def run_document(run: Run, objects: Objects) -> dict[str, Any]:
    """What is not known is left out."""
    times = {name: getattr(run, name) for name in ("opened_at", "submitted_at", "ended_at", "updated_at")}
    values: dict[str, Any] = {
        "id": str(run.number),
        "policy_id": run.policy_id,
        "status": run.status.value,
        "trigger": run.trigger.value,
        "user_id": run.user,
        "reason": run.reason,
        "objects": run.objects,
        "bytes": run.size,
        "data": data_document(run.data, objects) if run.data else None,
        "warnings": list(run.warnings) or None,
        "job_id": run.job_id,
        "cost_usd": float(run.cost_usd) if run.cost_usd is not None else None,
        "model_id": run.model_id,
        "deployment_id": run.deployment_id,
        "deployment_reason": run.deployment_reason,
        **{name: to_text(value) if value else None for name, value in times.items()},
    }
    return {name: value for name, value in values.items() if value is not None}


def data_document(data: DataVersion, objects: Objects) -> dict[str, Any]:
    return {
        "id": data.data_id,
        "uri": data.uri,
        "objects": data.objects,
        "bytes": data.size,
        "checksum": f"sha256:{data.checksum}",
        "manifest": objects.uri(data.manifest),
    }


def _source(source: Source, objects: Objects) -> dict[str, Any]:
    uri = objects.uri(source.prefix)
    if not source.is_watched:
        return {"type": "manual", "uri_prefix": uri}
    marker = {"marker": source.marker} if source.marker else {}
    return {"type": "s3", "uri_prefix": uri, "pattern": source.pattern, **marker}
