"""The reason for a decision, in one plain sentence."""

from __future__ import annotations

from chalicelib.experiments.experiment import Method, Plan
from chalicelib.experiments.metric import Metric
from chalicelib.experiments.report import Comparison, Split
from chalicelib.experiments.statistics.effects import LEAST_EVENTS, LEAST_SAMPLES, Effect


def breached(found: Comparison) -> str:
    allowed = found.metric.max_relative_change
    limit = f"the {allowed * 100:.3g} % that it may be worse" if allowed else "0, and it may not be worse at all"
    return (
        f"{found.variant} is rolled back: its {found.metric.name} {_against(found)}, "
        f"and the always-valid interval of the change, {_interval(found, found.always_valid)}, lies beyond {limit}."
    )


def worse(found: Comparison) -> str:
    return (
        f"{found.variant} is rolled back: its {found.metric.name} {_against(found)}, "
        f"and the always-valid interval of the change, {_interval(found, found.always_valid)}, is on the wrong side of 0."
    )


def better(found: Comparison, method: Method, number: int) -> str:
    passed = "the group-sequential boundary" if method is Method.GROUP_SEQUENTIAL else "the always-valid boundary"
    return (
        f"{found.variant} is promoted: its {found.metric.name} {_against(found)}, interval {_interval(found, found.bound)}; "
        f"at look {number} z = {_two(found.z)} passes {passed} of {_two(found.bound)}."
    )


def exhausted(found: Comparison, plan: Plan) -> str:
    z = "" if found.z is None or found.bound is None else f": z = {_two(found.z)} stays within ±{_two(found.bound)}"
    return (
        f"All {plan.samples:,} samples per variant are in, and no difference of {found.variant} in "
        f"{found.metric.name} is shown{z}; its interval is {_interval(found, found.margin)}."
    )


def undecided(found: Comparison, plan: Plan, number: int) -> str:
    if found.effect is None:
        return f"{found.variant} is not decided: there are no outcomes of {found.metric.name} for both variants yet."
    share = f"{found.effect.samples:,.0f} of {plan.samples:,} samples per variant are in"
    if found.z is None:
        return f"{found.variant} is not decided: {share}; {_too_little(found.metric, found.effect)}."
    if found.bound is None:
        return f"{found.variant} is not decided: {share}, too few more than at the last look for another test."
    within = f"z = {_two(found.z)} stays within ±{_two(found.bound)}"
    return f"{found.variant} is not decided: at look {number} {within}; {share}."


def mismatch(split: Split) -> str:
    units = " to ".join(f"{each:,}" for each in split.units)
    shares = " to ".join(f"{each:.3g}" for each in split.shares)
    return (
        f"Units are split {units}, which {shares} would hardly ever give (p = {split.p_value:.2g}): nothing is promoted "
        "until assignment or counting is mended."
    )


def _too_little(metric: Metric, effect: Effect) -> str:
    if min(effect.control.n, effect.variant.n) < LEAST_SAMPLES:
        return f"at least {LEAST_SAMPLES} of each variant are needed"
    if metric.is_share:
        return f"at least {LEAST_EVENTS} units with the event and {LEAST_EVENTS} without are needed"
    return "all values are the same"


def _against(found: Comparison) -> str:
    if found.effect is None:
        return "is not known yet"
    control, variant = found.effect.control.mean, found.effect.variant.mean
    change = "" if found.effect.relative is None else f" ({found.effect.relative * 100:+.3g} %)"
    what = "share over the threshold " if found.metric.threshold is not None else ""
    return (
        f"{what}is {_value(found.metric, variant)} against {_value(found.metric, control)} of {found.control}{change}"
    )


def _interval(found: Comparison, margin: float | None) -> str:
    if found.effect is None or margin is None:
        return "not known yet"
    relative = found.effect.relative_interval(margin)
    if relative is not None:
        return f"{relative[0] * 100:+.3g} % to {relative[1] * 100:+.3g} %"
    low, high = found.effect.interval(margin)
    return f"{low:+.3g} to {high:+.3g} in itself"


def _value(metric: Metric, value: float) -> str:
    return f"{value * 100:.3g} %" if metric.is_share else f"{value:.4g}"


def _two(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
