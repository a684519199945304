"""What a well-formed plan must also obey, and what it means. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from chalicelib.deployments.deployment import MAX_VARIANTS, Variant, variant_name
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, RefusedValue
from chalicelib.identity.permissions import DEFAULT_TENANT
from chalicelib.models.model import Model
from chalicelib.rollouts.request import (
    LONGEST_SECONDS,
    MAX_STEPS,
    AlarmGate,
    DriftGate,
    ErrorRateGate,
    GateRequest,
    LatencyGate,
    MetricGate,
    RolloutPlan,
    Strategy,
)
from chalicelib.rollouts.rollout import WHOLE, Gate, GateType, Step

MAX_TURNS = 20_000
"""Of a rollout: each is three state transitions and a call of a function."""

DEFAULT_GATES = (Gate(GateType.ERROR_RATE, maximum=0.05),)


def steps(request: RolloutPlan) -> tuple[Step, ...]:
    """
    Raises:
        InvalidRequest: what is wrong with the plan, by field.
    """
    if request.steps is not None and request.strategy is not None:
        problem = FieldProblem("strategy", "is given beside steps", "Use one of them: a strategy stands for steps.")
        raise InvalidRequest.about(problem)
    if request.steps is None:
        found = _of_strategy(request.strategy or Strategy(type="canary"))
    else:
        found = tuple(Step(each.weight, each.duration, each.minimum_samples, each.shadow) for each in request.steps)
        for position, (one, following) in enumerate(pairwise(found), 1):
            if following.shadow:
                cure = "Let the first step be the shadow step, or leave it out."
                raise InvalidRequest.about(FieldProblem(f"steps.{position}.shadow", "comes after another step", cure))
            if following.weight <= one.weight and not one.shadow:
                cure = f"Use more than {one.weight:g}, the weight of the step before."
                raise InvalidRequest.about(FieldProblem(f"steps.{position}.weight", f"is {following.weight:g}", cure))
    whole = sum(step.seconds + request.patience for step in found)
    if whole > LONGEST_SECONDS:
        cure = f"Let durations and patience of all steps add up to at most {LONGEST_SECONDS:,} s."
        raise InvalidRequest.about(FieldProblem("steps", f"may take {whole:,} s", cure))
    if whole > MAX_TURNS * request.evaluation_seconds:
        cure = f"Use at least {math.ceil(whole / MAX_TURNS)} for a rollout that may take {whole:,} s."
        problem = FieldProblem("evaluation_seconds", f"is {request.evaluation_seconds}", cure)
        raise InvalidRequest.about(problem)
    return found


def _of_strategy(strategy: Strategy) -> tuple[Step, ...]:
    last = Step(WHOLE, strategy.bake, strategy.minimum_samples)
    match strategy.type:
        case "all-at-once":
            return (replace(last, seconds=0, minimum_samples=0),)
        case "blue-green":
            return (last,)
        case "canary" | "shadow-first":
            first = [strategy.weight] if strategy.weight < WHOLE else []
        case _:
            count = min(MAX_STEPS - 1, int((WHOLE - 1e-9) // strategy.increment))
            first = [strategy.increment * number for number in range(1, count + 1)]
    steps = (*(Step(weight, strategy.interval, strategy.minimum_samples) for weight in first), last)
    if strategy.type == "shadow-first":
        return (Step(WHOLE, strategy.interval, strategy.minimum_samples, shadow=True), *steps)
    return steps


def check_shadow(steps: Sequence[Step], stable: Sequence[Variant]) -> None:
    """
    Raises:
        RefusedValue: the new version can't be a shadow of what is served.
    """
    if steps[0].shadow and len(stable) > 1:
        said = f"begin with a shadow, and the endpoint serves {len(stable)} versions"
        cure = "Leave the shadow step out: SageMaker copies the requests of one version alone."
        raise RefusedValue.about(FieldProblem("steps", said, cure))


def gates(request: RolloutPlan, tenant: str) -> tuple[Gate, ...]:
    """
    Raises:
        InvalidRequest: what is wrong with a gate, by field.
    """
    if request.gates is None:
        return DEFAULT_GATES
    return tuple(_gate(gate, f"gates.{position}", tenant) for position, gate in enumerate(request.gates))


def _gate(gate: GateRequest, field: str, tenant: str) -> Gate:
    match gate:
        case ErrorRateGate():
            return Gate(GateType.ERROR_RATE, maximum=gate.maximum)
        case LatencyGate():
            return Gate(GateType.LATENCY, maximum=gate.maximum_ms, percentile=gate.percentile)
        case DriftGate():
            return Gate(GateType.DRIFT, maximum=gate.maximum)
        case AlarmGate():
            # Alarms are the account's: a tenant must not learn of another's.
            if tenant != DEFAULT_TENANT and not gate.alarm.startswith(f"{tenant}-"):
                cure = f"Use an alarm whose name begins with {tenant}-."
                raise InvalidRequest.about(FieldProblem(f"{field}.alarm", f"is {gate.alarm[:80]!r}", cure))
            return Gate(GateType.ALARM, name=gate.alarm)
        case MetricGate():
            if gate.maximum is None and gate.minimum is None:
                raise InvalidRequest.about(FieldProblem(field, "has no bound", "Give maximum, minimum, or both."))
            return Gate(
                GateType.METRIC,
                maximum=gate.maximum,
                minimum=gate.minimum,
                name=gate.metric,
                dimensions=tuple(sorted(gate.dimensions.items())),
                statistic=gate.statistic,
            )
        case _:
            return Gate(GateType.EXPERIMENT, name=gate.experiment_id, promotes=gate.promotes)


def candidate(model: Model, stable: Sequence[Variant], deployed_name: str) -> Variant:
    """The new version as a variant beside those that are served.

    Raises:
        RefusedValue: it is a version of another model.
        Conflict: it is served already, or the endpoint has no room for it.
    """
    if model.name != deployed_name:
        cure = f"Use a version of {deployed_name}, the model of this deployment."
        raise RefusedValue.about(FieldProblem("to.model_id", f"is a version of {model.name}", cure))
    if model.model_id in {variant.model_id for variant in stable}:
        raise Conflict(f"The deployment serves version {model.version} already. Change its weights instead.")
    if len(stable) >= MAX_VARIANTS:
        raise Conflict(f"The endpoint has {MAX_VARIANTS} variants, the most that SageMaker takes. Deploy fewer first.")
    return Variant(variant_name(model.version, stable), model.model_id, model.version)
