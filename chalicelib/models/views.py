"""A model as a document: the contract's Model, and what this service adds to it."""

from __future__ import annotations

from typing import Any

from chalicelib.clock import to_text
from chalicelib.models.model import AutoDeployment, Model, Use


def document(model: Model) -> dict[str, Any]:
    """Model. What is not known is left out."""
    values = {
        "id": model.model_id,
        "name": model.name,
        "version": model.version,
        "framework": model.framework,
        "status": model.status.value,
        "training_job_id": model.training_job_id,
        "created_at": to_text(model.created_at),
        "updated_at": to_text(model.updated_at),
        "tenant": model.tenant,
        "user_id": model.user,
        "description": model.description,
        "tags": list(model.tags),
        "metrics": dict(model.metrics),
        "artifacts": [
            {key: value for key, value in artifact.items() if value is not None} for artifact in model.artifacts
        ],
        "kind": model.kind,
        "servable": model.servable,
        "servable_reason": model.servable_reason,
        "signature": model.signature,
        "input_example": model.input_example,
        "mlflow": vars(model.mlflow) if model.mlflow else None,
        "deployment_config": model.deployment_config,
        "deployments": model.used_for(Use.CLAIMED, Use.SERVED),
        "transforms": model.used_for(Use.TRANSFORMS) or None,
        "auto_deployment": _auto(model.auto_deployment) if model.auto_deployment else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _auto(decision: AutoDeployment) -> dict[str, Any]:
    values = {**vars(decision), "at": to_text(decision.at)}
    return {name: value for name, value in values.items() if value is not None}
