"""Whether a version keeps its gates, judged from numbers. Pure.

Error rates and latencies are both shares of requests, of those that failed and of those that took too long. A share is held
against its bound by a confidence sequence: with probability 1 - `FALSE_ALARM` no share that keeps its bound is ever taken
for one that does not, however often one looks and however few requests there are. So a single error at low traffic stops
nothing, and a bad version is found after some dozen requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.experiments.experiment import Decision, Verdict
from chalicelib.rollouts.drift import ENOUGH, Drift
from chalicelib.rollouts.rollout import Finding, Gate, GateType, Judgement

NOT_LOOKED_AT = Drift(0, 0)
FALSE_ALARM = 0.01
"""The probability that a gate is ever found breached by a version that keeps it."""


@dataclass(frozen=True)
class Reading:
    """What is known of a version since it first got requests.

    Attributes:
        is_served: whether the endpoint is as the deployment's active revision wants it.
        requests, errors: how many it was sent, and how many of them it failed to answer, through no fault of the caller's.
        slow: by gate, how many took longer than its bound.
        alarms: by gate, the state of its alarm; None where there is no such alarm.
        values: by gate, the last value of its metric; None where there is none.
        verdicts: by gate, how it stands with its experiment; None where there is no such experiment.
        drift: how far its answers are from those of the version before.
    """

    is_served: bool = True
    requests: int = 0
    errors: int = 0
    slow: Mapping[Gate, int] = field(default_factory=dict)
    alarms: Mapping[Gate, str | None] = field(default_factory=dict)
    values: Mapping[Gate, float | None] = field(default_factory=dict)
    verdicts: Mapping[Gate, Verdict | None] = field(default_factory=dict)
    drift: Drift = NOT_LOOKED_AT


def judge(gate: Gate, reading: Reading) -> Judgement:
    match gate.type:
        case GateType.ERROR_RATE:
            return _of_share(gate, reading.errors, reading.requests, gate.maximum or 0.0, "failed")
        case GateType.LATENCY:
            allowed = 1 - (gate.percentile or 0.0) / 100
            slow, said = reading.slow.get(gate, 0), f"took more than {gate.maximum:g} ms"
            return _of_share(gate, slow, reading.requests, allowed, said)
        case GateType.ALARM:
            return _of_alarm(gate, reading.alarms.get(gate))
        case GateType.METRIC:
            return _of_metric(gate, reading.values.get(gate))
        case GateType.EXPERIMENT:
            return _of_experiment(gate, reading.verdicts.get(gate))
        case GateType.DRIFT:
            return _of_drift(gate, reading.drift, gate.maximum or 0.0)


def name_of(gate: Gate) -> str:
    """In words, unique among the gates of a rollout that differ."""
    match gate.type:
        case GateType.ERROR_RATE:
            return f"error rate <= {gate.maximum:g}"
        case GateType.LATENCY:
            return f"p{gate.percentile:g} latency <= {gate.maximum:g} ms"
        case GateType.DRIFT:
            return f"drift <= {gate.maximum:g}"
        case GateType.METRIC:
            bounds = ((">=", gate.minimum), ("<=", gate.maximum))
            return (
                f"metric {gate.name} {' and '.join(f'{sign} {value:g}' for sign, value in bounds if value is not None)}"
            )
        case _:
            return f"{gate.type.value} {gate.name}"


def is_above(hits: int, trials: int, bound: float) -> bool:
    """Whether a share is surely greater than a bound, at whatever moment one asks.

    The martingale of a beta-binomial mixture, of prior Beta(1/2, 1/2), against the bound: Robbins, "Statistical methods
    related to the law of the iterated logarithm" (1970); Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences" (2021), section 4. It exceeds 1/α with probability α at most, over all times.
    """
    if hits <= bound * trials:
        return False
    evidence = (
        math.lgamma(hits + 0.5)
        + math.lgamma(trials - hits + 0.5)
        - math.lgamma(trials + 1)
        - math.log(math.pi)
        - hits * math.log(bound)
        - (trials - hits) * math.log1p(-bound)
    )
    return evidence >= -math.log(FALSE_ALARM)


def _of_share(gate: Gate, hits: int, requests: int, allowed: float, what: str) -> Judgement:
    if requests == 0:
        return Judgement(name_of(gate), Finding.WAITING, "No request has come yet.")
    hits = min(hits, requests)
    share = f"{hits:,} of {requests:,} requests ({hits / requests:.2%}) {what}; {allowed:.4g} of them may"
    if is_above(hits, requests, allowed):
        return Judgement(name_of(gate), Finding.BREACHED, f"{share}, and that is surely more.")
    return Judgement(name_of(gate), Finding.PASSED, f"{share}.")


def _of_alarm(gate: Gate, state: str | None) -> Judgement:
    match state:
        case None:
            return Judgement(name_of(gate), Finding.WAITING, f"There is no alarm {gate.name}.")
        case "ALARM":
            return Judgement(name_of(gate), Finding.BREACHED, f"The alarm {gate.name} is in state ALARM.")
        case "OK":
            return Judgement(name_of(gate), Finding.PASSED, f"The alarm {gate.name} is in state OK.")
    return Judgement(name_of(gate), Finding.WAITING, f"The alarm {gate.name} has too little data.")


def _of_metric(gate: Gate, value: float | None) -> Judgement:
    if value is None:
        return Judgement(name_of(gate), Finding.WAITING, f"The metric {gate.name} has no value yet.")
    if gate.maximum is not None and value > gate.maximum:
        said = f"{gate.name} is {value:g}, more than {gate.maximum:g}."
        return Judgement(name_of(gate), Finding.BREACHED, said)
    if gate.minimum is not None and value < gate.minimum:
        said = f"{gate.name} is {value:g}, less than {gate.minimum:g}."
        return Judgement(name_of(gate), Finding.BREACHED, said)
    return Judgement(name_of(gate), Finding.PASSED, f"{gate.name} is {value:g}.")


def _of_experiment(gate: Gate, verdict: Verdict | None) -> Judgement:
    if verdict is None:
        return Judgement(name_of(gate), Finding.WAITING, f"There is no experiment {gate.name}.")
    match verdict.decision:
        case Decision.ROLLBACK:
            return Judgement(name_of(gate), Finding.BREACHED, verdict.reason)
        case Decision.PROMOTE if gate.promotes:
            return Judgement(name_of(gate), Finding.PROMOTES, verdict.reason)
    return Judgement(name_of(gate), Finding.PASSED, verdict.reason)


def _of_drift(gate: Gate, drift: Drift, allowed: float) -> Judgement:
    if not drift.is_known:
        said = f"{drift.new:,} answers of the new version and {drift.old:,} of the old one were captured"
        return Judgement(name_of(gate), Finding.WAITING, f"{said}; to compare them takes {ENOUGH} of each.")
    where = f"at most {drift.where:g}" if isinstance(drift.where, float) else repr(drift.where[:80])
    shares = f"{drift.new_share:.1%} of the new version's answers are {where}, {drift.old_share:.1%} of the old one's"
    found = f"{shares}: a distance of {drift.distance:.3f} ± {drift.margin:.3f}"
    if drift.distance - drift.margin > allowed:
        return Judgement(name_of(gate), Finding.BREACHED, f"{found}, surely more than {allowed:g}.")
    return Judgement(name_of(gate), Finding.PASSED, f"{found}; up to {allowed:g} is allowed.")
