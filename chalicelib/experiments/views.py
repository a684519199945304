"""Experiments and results as documents."""

from __future__ import annotations

from typing import Any

from chalicelib.clock import to_text
from chalicelib.experiments.allocation import allocation
from chalicelib.experiments.experiment import Decision, Experiment
from chalicelib.experiments.joining import Joined
from chalicelib.experiments.metric import Metric
from chalicelib.experiments.store import Progress
from chalicelib.experiments.traffic import Traffic


def document(experiment: Experiment, traffic: Traffic | None = None) -> dict[str, Any]:
    """An experiment: what was fixed when it began, and how it ended. What is not known is left out.

    Args:
        traffic: how it stands with the deployment that it names.
    """
    plan, verdict = experiment.plan, experiment.verdict
    values = {
        "id": experiment.experiment_id,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis or None,
        "status": experiment.status.value,
        "decision": verdict.decision.value,
        "reason": verdict.reason if experiment.status.is_over else None,
        "decided_at_look": verdict.look,
        "promoted": verdict.variant,
        "variants": list(experiment.variants),
        "control": experiment.variants[0],
        "weights": _weights(experiment),
        "assignment_key": experiment.assignment_key,
        "primary_metric": _metric(plan.primary),
        "guardrails": [{**_metric(each), "max_relative_change": each.max_relative_change} for each in plan.guardrails],
        "alpha": plan.alpha,
        "power": plan.power,
        "minimum_effect": plan.minimum_effect,
        "minimum_effect_kind": plan.minimum_effect_kind.value,
        "looks": plan.looks,
        "max_samples_per_variant": plan.samples,
        "method": plan.method.value,
        "allocation": _allocation(experiment),
        "traffic": _traffic(traffic) if traffic else None,
        "sample_size": {name: value for name, value in experiment.sample_size.items() if value is not None},
        "tenant": experiment.tenant,
        "user_id": experiment.user,
        "created_at": to_text(experiment.created_at),
        "updated_at": to_text(experiment.updated_at),
        "ended_at": to_text(experiment.ended_at) if experiment.ended_at else None,
        "results": f"/api/v1/experiments/{experiment.experiment_id}/results",
    }
    return {name: value for name, value in values.items() if value is not None}


def results(experiment: Experiment, progress: Progress) -> dict[str, Any]:
    """What the last look found, and the decision. `plot` has the primary metric's effect at earlier looks."""
    state = progress.state
    verdict = experiment.verdict if experiment.status.is_over else state.verdict
    report = state.report
    units = report.get("units", {})
    return {
        "id": experiment.experiment_id,
        "name": experiment.name,
        "status": experiment.status.value,
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "promoted": verdict.variant,
        "decided_at_look": verdict.look if verdict.decision.is_final else None,
        "looks": state.looks,
        "variants": [_variant(experiment, progress, name, units.get(name, 0)) for name in experiment.variants],
        "metrics": report.get("metrics", []),
        "split": report.get("split"),
        "suggested_weights": report.get("suggested_weights"),
        "plot": {
            "metric": experiment.plan.primary.name,
            "control": experiment.variants[0],
            "columns": ["effect", "low", "high"],
            "points": list(state.points),
        },
    }


def joined(found: Joined) -> dict[str, Any]:
    """What became of the units of a request; the lists hold their positions in it."""
    return {
        "counted": found.counted,
        "duplicates": found.duplicates,
        "crossed": found.crossed,
        "unmatched": found.unmatched,
    }


def _variant(experiment: Experiment, progress: Progress, name: str, units: int) -> dict[str, Any]:
    arm = progress.state.arms.get(name)
    shown = {
        "name": name,
        "role": "control" if name == experiment.variants[0] else "variant",
        "weight": allocation(experiment, progress.state)[name],
        "units": units,
        "exposures": progress.state.report.get("exposures", {}).get(name, 0),
    }
    if name == experiment.variants[0]:
        return shown
    decision = arm.verdict.decision if arm else Decision.CONTINUE
    return {**shown, "decision": decision.value, "reason": arm.verdict.reason if arm else experiment.verdict.reason}


def _weights(experiment: Experiment) -> dict[str, float]:
    pairs = zip(experiment.variants, experiment.shares, strict=True)
    return {name: float(f"{share:.6g}") for name, share in pairs}


def _allocation(experiment: Experiment) -> dict[str, Any] | None:
    if experiment.plan.floor is None:
        return None
    named = {"deployment_id": experiment.deployment_id} if experiment.deployment_id else {}
    return {"type": "thompson", "floor": experiment.plan.floor, **named}


def _traffic(traffic: Traffic) -> dict[str, Any]:
    values = {
        "status": traffic.status.value,
        "reason": traffic.reason,
        "look": traffic.look,
        "revision": traffic.revision,
        "updated_at": to_text(traffic.updated_at),
    }
    return {name: value for name, value in values.items() if value is not None}


def _metric(metric: Metric) -> dict[str, Any]:
    values = {
        "name": metric.name,
        "type": metric.type.value,
        "direction": metric.direction.value,
        "baseline": metric.baseline,
        "standard_deviation": metric.standard_deviation,
        "covariate": metric.covariate or None,
        "quantile": metric.quantile,
        "threshold": metric.threshold,
        "missing": metric.missing.value,
    }
    return {name: value for name, value in values.items() if value is not None}
