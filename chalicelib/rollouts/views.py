"""A rollout as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.clock import duration, to_text
from chalicelib.deployments.deployment import Variant
from chalicelib.rollouts.gates import name_of
from chalicelib.rollouts.rollout import Gate, Rollout, RolloutStatus, Step


def document(rollout: Rollout) -> dict[str, Any]:
    """What is not known is left out."""
    judged = {judgement.gate: judgement for judgement in rollout.judgements}
    times = {
        name: getattr(rollout, name)
        for name in ("created_at", "updated_at", "serving_since", "breached_at", "restored_at", "ended_at")
    }
    values: Mapping[str, Any] = {
        "id": str(rollout.number),
        "deployment_id": rollout.deployment_id,
        "status": rollout.status.value,
        "reason": rollout.reason,
        "user_id": rollout.user,
        "from": {"variants": [{**_variant(each), "weight": each.weight} for each in rollout.stable]},
        "to": _variant(rollout.candidate),
        "step": min(rollout.step + 1, len(rollout.steps)),
        "steps": [_step(rollout, at, step) for at, step in enumerate(rollout.steps)],
        "gates": [
            {
                **_gate(gate),
                "gate": name_of(gate),
                **(
                    {"finding": found.finding.value, "reason": found.reason}
                    if (found := judged.get(name_of(gate)))
                    else {}
                ),
            }
            for gate in rollout.gates
        ],
        "evaluation_seconds": rollout.evaluation_seconds,
        "patience": duration(rollout.patience_seconds),
        "revision": rollout.revision,
        **{name: to_text(value) if value else None for name, value in times.items()},
    }
    return {name: value for name, value in values.items() if value is not None}


def _variant(variant: Variant) -> dict[str, Any]:
    return {"name": variant.name, "model_id": variant.model_id, "model_version": variant.model_version}


def _step(rollout: Rollout, at: int, step: Step) -> dict[str, Any]:
    values: dict[str, Any] = {
        "weight": step.weight,
        **({"shadow": True} if step.shadow else {}),
        "duration": duration(step.seconds),
        "minimum_samples": step.minimum_samples,
        "status": _status(rollout, at),
    }
    if at < len(rollout.passages):
        passage = rollout.passages[at]
        values |= {"began_at": to_text(passage.began_at), "samples": passage.samples}
        values |= {"ended_at": to_text(passage.ended_at)} if passage.ended_at else {}
    return values


def _status(rollout: Rollout, at: int) -> str:
    if at < rollout.step:
        return "passed" if at < len(rollout.passages) else "left-out"
    if at > rollout.step:
        return "ahead" if rollout.status.is_open and rollout.status is not RolloutStatus.ROLLING_BACK else "left-out"
    if not rollout.status.is_open or rollout.status is RolloutStatus.ROLLING_BACK:
        return "stopped"
    return "running" if rollout.passage else "beginning"


def _gate(gate: Gate) -> dict[str, Any]:
    """As it was asked for."""
    names: dict[str, dict[str, Any]] = {
        "error_rate": {"maximum": gate.maximum},
        "latency": {"percentile": gate.percentile, "maximum_ms": gate.maximum},
        "drift": {"maximum": gate.maximum},
        "alarm": {"alarm": gate.name},
        "metric": {
            "metric": gate.name,
            "dimensions": dict(gate.dimensions),
            "statistic": gate.statistic,
            "maximum": gate.maximum,
            "minimum": gate.minimum,
        },
        "experiment": {"experiment_id": gate.name, "promotes": gate.promotes},
    }
    values = names[gate.type.value].items()
    return {"type": gate.type.value, **{name: value for name, value in values if value is not None}}
