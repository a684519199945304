"""A deployment as a document."""

from __future__ import annotations

from typing import Any

from chalicelib.clock import to_text
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision
from chalicelib.deployments.history import PastRevision


def document(deployment: Deployment) -> dict[str, Any]:
    """DeploymentResponse, and what this service adds to it. What is not known is left out."""
    current = deployment.current
    failure = deployment.last_failure
    values = {
        "id": deployment.deployment_id,
        "model_id": current.model_id,
        "name": deployment.name,
        "environment": deployment.environment,
        "status": deployment.status.value,
        "endpoint": deployment.endpoint,
        "revision": current.number,
        "created_at": to_text(deployment.created_at),
        "updated_at": to_text(deployment.updated_at),
        "deployed_at": to_text(deployment.deployed_at) if deployment.deployed_at else None,
        "tenant": deployment.tenant,
        "user_id": deployment.user,
        "model_version": current.model_version,
        "variants": _variants(current),
        "shadow": _shadow(current),
        "config": dict(current.config),
        "instance_type": current.instance_type,
        "active": _revision(deployment.active) if deployment.active else None,
        "evidence": deployment.evidence if deployment.status is DeploymentStatus.ACTIVE else None,
        "failure_reason": deployment.failure_reason,
        "last_failure": {
            "at": to_text(failure.at),
            "reason": failure.reason,
            "revision": failure.revision,
            "model_id": failure.model_id,
        }
        if failure
        else None,
        "data_capture": {"percentage": deployment.capture.percentage, "redact": list(deployment.capture.redact)}
        if deployment.capture
        else None,
        "rollout": f"/api/v1/deployments/{deployment.deployment_id}/rollouts/{deployment.rollout}"
        if deployment.rollout
        else None,
        "invocations": f"/api/v1/deployments/{deployment.deployment_id}/invocations",
    }
    return {name: value for name, value in values.items() if value is not None}


def past(past: PastRevision) -> dict[str, Any]:
    """A revision that has settled."""
    values = {
        **_revision(past.revision),
        "config": dict(past.revision.config),
        "instance_type": past.revision.instance_type,
        "outcome": past.outcome.value,
        "reason": past.reason,
        "settled_at": to_text(past.settled_at),
        "user_id": past.user,
    }
    return {name: value for name, value in values.items() if value is not None}


def _revision(revision: Revision) -> dict[str, Any]:
    values = {
        "revision": revision.number,
        "model_id": revision.model_id,
        "model_version": revision.model_version,
        "variants": _variants(revision),
        "shadow": _shadow(revision),
    }
    return {name: value for name, value in values.items() if value is not None}


def _shadow(revision: Revision) -> dict[str, Any] | None:
    if revision.shadow is None:
        return None
    shadow = revision.shadow
    return {
        "name": shadow.name,
        "model_id": shadow.model_id,
        "model_version": shadow.model_version,
        "percentage": shadow.weight,
    }


def _variants(revision: Revision) -> list[dict[str, Any]]:
    whole = sum(revision.weights.values()) or 1.0
    return [
        {
            "name": each.name,
            "model_id": each.model_id,
            "model_version": each.model_version,
            "weight": each.weight,
            "percentage": round(100 * each.weight / whole, 4),
        }
        for each in revision.variants
    ]
