"""Policies and approvals as documents."""

from __future__ import annotations

from typing import Any

from chalicelib.clock import to_text
from chalicelib.environments.policy import Approval, EnvironmentPolicy


def document(policy: EnvironmentPolicy) -> dict[str, Any]:
    """What is not asked for is left out."""
    values: dict[str, Any] = {
        "environment": policy.environment,
        "deployers": list(policy.deployers) if policy.deployers is not None else None,
        "approvals": {"required": policy.approvals, "approvers": list(policy.approvers)} if policy.approvals else None,
        "required_gates": [gate.value for gate in policy.required_gates] or None,
        "change_windows": [{**vars(window), "days": list(window.days)} for window in policy.change_windows] or None,
        "scale_to_zero": policy.scale_to_zero,
        "user_id": policy.user,
        "updated_at": to_text(policy.updated_at) if policy.updated_at else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def approval(given: Approval) -> dict[str, Any]:
    values = {
        "environment": given.environment,
        "user_id": given.user,
        "decision": given.decision.value,
        "comment": given.comment,
        "at": to_text(given.at),
    }
    return {name: value for name, value in values.items() if value is not None}
