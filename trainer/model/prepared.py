"""What packaging a trained model hands back to the agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("mlflow", "sklearn", "xgboost", "keras", "torchscript", "torch_export", "custom", "unknown")


@dataclass(frozen=True)
class Prepared:
    """A model ready to be archived.

    Attributes:
        kind: One of `KINDS`.
        file: The model's file (or directory, for `mlflow`) relative to `directory`; `None` when nothing was recognised.
        servable: Whether an endpoint can answer predictions with it.
        reason: Why it can't be served, with the cure; `None` when it can.
        directory: What to archive, with its content at the archive's top level.
        signature: The model's inputs and outputs: `{"inputs": [...], "outputs": [...] | None, "params": [...] | None}`,
            in MLflow's schema form. `None` when neither the model nor a look inside told.
        input_example: A request body in the MLflow scoring protocol that the model accepts, or `None`.
        mlflow_model_id: `m-...` when MLflow logged the model under an id of its own.
        versions: The training environment's Python and framework versions, by distribution name.
        notes: Sentences for the job's log: which candidate was taken, what was left out, why an inspection failed.
    """

    kind: str
    file: str | None
    servable: bool
    reason: str | None
    directory: Path
    signature: dict[str, Any] | None = None
    input_example: dict[str, Any] | None = None
    mlflow_model_id: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
