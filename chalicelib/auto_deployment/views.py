"""A policy as a document."""

from __future__ import annotations

from typing import Any

from chalicelib.auto_deployment.policy import Policy, condition_documents
from chalicelib.clock import to_text


def document(policy: Policy) -> dict[str, Any]:
    """What is not known is left out."""
    values: dict[str, Any] = {
        "model_name": policy.name,
        "enabled": policy.enabled,
        "conditions": condition_documents(policy.conditions),
        **policy.config,
        "rollout": policy.rollout,
        "built_in": True if policy.updated_at is None else None,
        "user_id": policy.user,
        "updated_at": to_text(policy.updated_at) if policy.updated_at else None,
    }
    return {name: value for name, value in values.items() if value is not None}
