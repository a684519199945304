"""What a job's manifest says of the model that its script left. Pure.

The manifest is written by the agent inside the user's container, so it is material to check, not to trust: what it
points at must lie in the job's own place, and nothing in it may outgrow a record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.jobs.job import Job, attempt_prefix
from chalicelib.jobs.outcome import listed
from chalicelib.models.model import Archive

MAX_METRICS = 500
MAX_DOCUMENT_BYTES = 64 * 1024
"""The most a signature or an input example may have: a record has to hold both, and be read with every list."""

KINDS = frozenset({"mlflow", "sklearn", "xgboost", "keras", "torchscript", "torch_export", "custom", "unknown"})
_MLFLOW_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class BadManifest(ValueError):
    """The manifest is not one that the agent writes."""


@dataclass(frozen=True)
class Trained:
    """A model as a job left it."""

    kind: str
    archive: Archive
    servable: bool
    servable_reason: str | None
    signature: Mapping[str, Any] | None
    input_example: Any
    logged_model_id: str | None
    run_id: str | None
    metrics: Mapping[str, float]
    artifacts: tuple[Mapping[str, Any], ...]


def trained_model(job: Job, attempt: int, manifest: Mapping[str, Any], bucket: str) -> Trained | None:
    """The model in a manifest; None when the script left none.

    Raises:
        BadManifest: it belongs to another attempt, or points out of the attempt's own place.
    """
    if manifest.get("job_id") != job.job_id or manifest.get("attempt") != attempt:
        raise BadManifest("the manifest is of another attempt")
    model = manifest.get("model")
    if model is None:
        return None
    try:
        archive = Archive(str(model["uri"]), int(model["size_bytes"]), str(model["checksum"]))
        servable, reason = bool(model["servable"]), model.get("reason")
    except (KeyError, TypeError, ValueError) as error:
        raise BadManifest(f"the manifest's model is incomplete: {error!r}") from None
    here = f"s3://{bucket}/{attempt_prefix(job.tenant, job.job_id, attempt)}"
    if not archive.uri.startswith(here) or ".." in archive.uri.split("/"):
        raise BadManifest("the manifest's model lies outside of the attempt's place")
    if not _CHECKSUM.fullmatch(archive.checksum or ""):
        raise BadManifest("the manifest's model has no SHA-256")
    run = manifest.get("run") or {}
    return Trained(
        kind=model["kind"] if model.get("kind") in KINDS else "unknown",
        archive=archive,
        servable=servable,
        servable_reason=None if servable else str(reason or "The script left no model that can be served.")[:1000],
        signature=_small(model.get("signature")),
        input_example=_small(model.get("input_example")),
        logged_model_id=_id(model.get("mlflow_model_id")),
        run_id=_id(run.get("run_id")),
        metrics=_metrics(manifest.get("metrics")),
        artifacts=tuple(dict(each) for each in listed(manifest).artifacts if each.get("type") == "model"),
    )


def _metrics(values: Any) -> dict[str, float]:
    """The finite ones: JSON has no NaN, and the contract's metrics are numbers. The job keeps all of them."""
    if not isinstance(values, Mapping):
        return {}
    numbers = (
        (str(name), value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    finite = [(name[:250], float(value)) for name, value in numbers if math.isfinite(value)]
    return dict(finite[:MAX_METRICS])


def _small(document: Any) -> Any:
    return document if document is None or len(json.dumps(document).encode()) <= MAX_DOCUMENT_BYTES else None


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and _MLFLOW_ID.fullmatch(value) else None
