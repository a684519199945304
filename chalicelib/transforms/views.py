"""A transform as a document."""

from __future__ import annotations

from typing import Any

from chalicelib.clock import to_text
from chalicelib.transforms.transform import Transform


def document(transform: Transform, output: str) -> dict[str, Any]:
    """What is not known is left out.

    Args:
        output: S3 URI of its answers.
    """
    values = {
        "id": transform.transform_id,
        "model_id": transform.model_id,
        "model": f"{transform.model_name}:{transform.model_version}",
        "status": transform.status.value,
        "failure_reason": transform.failure_reason,
        "user_id": transform.user,
        "input": transform.source,
        "output": output,
        **vars(transform.settings),
        "instance_type": transform.instance_type,
        "instance_count": transform.instance_count,
        "usd_per_hour": float(transform.usd_per_hour),
        "cost_usd": float(transform.cost_usd) if transform.cost_usd is not None else None,
        "created_at": to_text(transform.created_at),
        "updated_at": to_text(transform.updated_at),
        "started_at": to_text(transform.started_at) if transform.started_at else None,
        "ended_at": to_text(transform.ended_at) if transform.ended_at else None,
    }
    return {name: value for name, value in values.items() if value is not None}
