"""An experiment, its counters and the state between two looks as items, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.experiments.experiment import Decision, EffectKind, Experiment, Method, Plan, Status, Verdict
from chalicelib.experiments.look import Arm, Counted, State
from chalicelib.experiments.metric import Counters, Direction, Metric, MetricType, Missing
from chalicelib.experiments.statistics.spending import Analysis
from chalicelib.table import Item, as_json


def pk(tenant: str, experiment_id: str) -> str:
    return f"{tenant}#{experiment_id}"


def partition(tenant: str, status: Status | None) -> str:
    """The value of the index key that a list reads."""
    return f"{tenant}#{status.value}" if status else tenant


def experiment_item(experiment: Experiment) -> Item:
    return {
        "pk": pk(experiment.tenant, experiment.experiment_id),
        "sk": "experiment",
        **{
            name: getattr(experiment, name)
            for name in ("tenant", "experiment_id", "user", "name", "hypothesis", "assignment_key", "record_version")
        },
        "deployment_id": experiment.deployment_id,
        "variants": list(experiment.variants),
        "shares": as_json(experiment.shares),
        "plan": as_json(_plan_document(experiment.plan)),
        "sample_size": as_json(experiment.sample_size),
        "created_at": to_text(experiment.created_at),
        "updated_at": to_text(experiment.updated_at),
        "ended_at": to_text(experiment.ended_at) if experiment.ended_at else None,
        "status": experiment.status.value,
        "verdict": as_json(_verdict_document(experiment.verdict)),
        # What the indexes are keyed by.
        "tenant_key": partition(experiment.tenant, None),
        "tenant_status_key": partition(experiment.tenant, experiment.status),
        "listed_at": f"{to_text(experiment.created_at)}#{experiment.experiment_id}",
    }


def experiment_of(item: Mapping[str, Any]) -> Experiment:
    ended_at = item.get("ended_at")
    return Experiment(
        tenant=item["tenant"],
        experiment_id=item["experiment_id"],
        user=item["user"],
        name=item["name"],
        hypothesis=item["hypothesis"],
        variants=tuple(item["variants"]),
        shares=tuple(json.loads(item["shares"])),
        assignment_key=item["assignment_key"],
        plan=_plan(json.loads(item["plan"])),
        sample_size=json.loads(item["sample_size"]),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=Status(item["status"]),
        verdict=_verdict(json.loads(item["verdict"])),
        ended_at=from_text(ended_at) if ended_at else None,
        deployment_id=item.get("deployment_id"),
        record_version=item["record_version"],
    )


def added(experiment: Experiment, sums: Mapping[tuple[str, str], Counters], exposures: Mapping[str, int]) -> Item:
    """Amounts by attribute.

    Args:
        sums: by variant and metric.
        exposures: by variant.
    """
    counters = _attributes(experiment)
    amounts: Item = {}
    for (variant, metric), each in sums.items():
        amounts |= {counters[variant, metric, name]: amount for name, amount in each.items() if amount}
    return amounts | {_exposures(experiment, variant): count for variant, count in exposures.items() if count}


def counted_of(experiment: Experiment, item: Mapping[str, Any]) -> Counted:
    sums: dict[str, dict[str, dict[str, Any]]] = {
        variant: {metric.name: {} for metric in experiment.plan.metrics} for variant in experiment.variants
    }
    for (variant, metric, name), attribute in _attributes(experiment).items():
        sums[variant][metric][name] = item.get(attribute, 0)
    exposures = {variant: int(item.get(_exposures(experiment, variant), 0)) for variant in experiment.variants}
    return Counted(sums, exposures, item["version"])


def state_text(state: State) -> str:
    return as_json(
        {
            "verdict": _verdict_document(state.verdict),
            "arms": {
                variant: {
                    "verdict": _verdict_document(arm.verdict),
                    "analysis": asdict(arm.analysis) if arm.analysis else None,
                }
                for variant, arm in state.arms.items()
            },
            "report": state.report,
            "points": state.points,
        }
    )


def state_of(item: Mapping[str, Any]) -> State:
    if "state" not in item:
        return State()
    found = json.loads(item["state"])
    return State(
        looks=item["looks"],
        seen=item["seen"],
        verdict=_verdict(found["verdict"]),
        arms={variant: _arm(arm) for variant, arm in found["arms"].items()},
        report=found["report"],
        points=tuple(found["points"]),
    )


def _attributes(experiment: Experiment) -> dict[tuple[str, str, str], str]:
    """The attribute of each counter: short, because the names of all go into one expression of at most 4 KB."""
    return {
        (variant, metric.name, name): f"c{position}.{number}.{name}"
        for position, variant in enumerate(experiment.variants)
        for number, metric in enumerate(experiment.plan.metrics)
        for name in metric.counters
    }


def _exposures(experiment: Experiment, variant: str) -> str:
    return f"c{experiment.variants.index(variant)}.exposures"


def _plan_document(plan: Plan) -> dict[str, Any]:
    return {
        **{name: getattr(plan, name) for name in ("alpha", "power", "minimum_effect", "looks", "samples", "floor")},
        "minimum_effect_kind": plan.minimum_effect_kind.value,
        "method": plan.method.value,
        "primary": _metric_document(plan.primary),
        "guardrails": [_metric_document(each) for each in plan.guardrails],
    }


def _plan(found: Mapping[str, Any]) -> Plan:
    return Plan(
        **{
            **found,
            "primary": _metric(found["primary"]),
            "guardrails": tuple(_metric(each) for each in found["guardrails"]),
            "minimum_effect_kind": EffectKind(found["minimum_effect_kind"]),
            "method": Method(found["method"]),
        }
    )


def _metric_document(metric: Metric) -> dict[str, Any]:
    words = {"type": metric.type.value, "direction": metric.direction.value, "missing": metric.missing.value}
    return {**vars(metric), **words}


def _metric(found: Mapping[str, Any]) -> Metric:
    kinds = {
        "type": MetricType(found["type"]),
        "direction": Direction(found["direction"]),
        "missing": Missing(found["missing"]),
    }
    return Metric(**{**found, **kinds})


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {**vars(verdict), "decision": verdict.decision.value}


def _verdict(found: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**found, "decision": Decision(found["decision"])})


def _arm(found: Mapping[str, Any]) -> Arm:
    analysis = found["analysis"]
    if analysis:
        analysis = Analysis(analysis["information"], analysis["bound"], tuple(analysis["density"]))
    return Arm(_verdict(found["verdict"]), analysis)
