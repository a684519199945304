"""Models as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aimatrix.client.jobs import Artifact

ModelStatus = Literal["training", "ready", "deployed", "deprecated"]


@dataclass(frozen=True)
class Model:
    """One version of a registered model.

    Attributes:
        servable: whether it can be deployed; ``servable_reason`` says why not.
        kind: what the model file is (``mlflow``, ``sklearn``, ``torch_export``, ...).
        mlflow: its counterpart in MLflow's registry: name, version, run_id, alias.
    """

    id: str
    name: str
    version: str
    framework: str
    status: str
    created_at: str
    training_job_id: str | None
    kind: str | None
    servable: bool
    servable_reason: str | None
    metrics: Mapping[str, float]
    artifacts: tuple[Artifact, ...]
    mlflow: Mapping[str, Any]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Model:
        return cls(
            id=document["id"],
            name=document["name"],
            version=str(document["version"]),
            framework=document.get("framework", ""),
            status=document.get("status", ""),
            created_at=document.get("created_at", ""),
            training_job_id=document.get("training_job_id"),
            kind=document.get("kind"),
            servable=bool(document.get("servable")),
            servable_reason=document.get("servable_reason"),
            metrics={name: float(value) for name, value in (document.get("metrics") or {}).items()},
            artifacts=tuple(Artifact.from_document(each) for each in document.get("artifacts") or ()),
            mlflow=document.get("mlflow") or {},
            document=document,
        )

    @property
    def reference(self) -> str:
        """``name:version``, the form that people write."""
        return f"{self.name}:{self.version}"
