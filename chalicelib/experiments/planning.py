"""The power calculation that an experiment begins with, as a document."""

from __future__ import annotations

import math
from typing import Any

from chalicelib.experiments.experiment import EffectKind, Method, Plan
from chalicelib.experiments.metric import Metric, MetricType
from chalicelib.experiments.statistics import power

BASELINES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""What is shown where the baseline of a proportion is not known."""


def sample_size(plan: Plan, variants: int) -> dict[str, Any]:
    """How many samples per variant the smallest effect worth finding takes, and what the planned number can find.

    Without a baseline a proportion is reckoned for several; a mean needs its standard deviation.
    """
    document: dict[str, Any] = {"max_samples_per_variant": plan.samples}
    if plan.minimum_effect is None:
        return document | {"per_variant": None, "note": "Give minimum_effect to have the sample size reckoned."}
    if plan.primary.is_share and _baseline(plan.primary) is None:
        note = "Give primary_metric.baseline to have it reckoned for yours."
        return document | {
            "per_variant": None,
            "note": note,
            "by_baseline": [
                {"baseline": baseline, "per_variant": needed}
                for baseline in BASELINES
                if (needed := _needed(plan, baseline, None, variants)) is not None
            ],
        }
    baseline = _baseline(plan.primary)
    deviation = plan.primary.standard_deviation
    needed = _needed(plan, baseline, deviation, variants)
    if needed is None:
        return document | {"per_variant": None, "note": _missing(plan)}
    effect, of_control, of_variant = _expected(plan, baseline, deviation)
    return document | {
        "per_variant": needed,
        "total": needed * variants,
        "baseline": baseline,
        "effect": float(f"{effect:.6g}"),
        "power": plan.power,
        "expected_power": round(_expected_power(plan, effect, of_control + of_variant, plan.alpha / (variants - 1)), 4),
        "note": None if needed <= plan.samples else "max_samples_per_variant is less than it takes.",
    }


def needed_samples(plan: Plan, variants: int) -> int | None:
    """Samples per variant; None where something is missing that it takes to reckon them."""
    return _needed(plan, _baseline(plan.primary), plan.primary.standard_deviation, variants)


def _needed(plan: Plan, baseline: float | None, deviation: float | None, variants: int) -> int | None:
    if plan.minimum_effect is None:
        return None
    if plan.primary.is_share and baseline is None:
        return None
    if not plan.primary.is_share and deviation is None:
        return None
    if plan.minimum_effect_kind is EffectKind.RELATIVE and not baseline:
        return None
    effect, of_control, of_variant = _expected(plan, baseline, deviation)
    if plan.primary.is_share and not 0 < (baseline or 0) + effect < 1:
        return None
    alpha = plan.alpha / (variants - 1)
    once = power.fixed_samples(of_control, of_variant, effect, alpha, plan.power)
    if plan.method is Method.ALWAYS_VALID:
        return math.ceil(once * power.always_valid_inflation(alpha, plan.power))
    return math.ceil(once * power.inflation(plan.looks, alpha, plan.power))


def _expected_power(plan: Plan, effect: float, variance: float, alpha: float) -> float:
    drift = abs(effect) / math.sqrt(variance / plan.samples)
    if plan.method is Method.ALWAYS_VALID:
        return power.always_valid_power(drift, alpha)
    return power.sequential_power(drift, plan.looks, alpha)


def _expected(plan: Plan, baseline: float | None, deviation: float | None) -> tuple[float, float, float]:
    """The effect, and the variances of a unit of the control and of the variant."""
    assert plan.minimum_effect is not None  # noqa: S101  asked before
    size = plan.minimum_effect
    if plan.minimum_effect_kind is EffectKind.RELATIVE:
        size *= abs(baseline or 0)
    effect = plan.primary.direction.sign * size
    if plan.primary.is_share:
        p = baseline or 0.0
        return effect, p * (1 - p), (p + effect) * (1 - p - effect)
    assert deviation is not None  # noqa: S101  asked before
    return effect, deviation**2, deviation**2


def _baseline(metric: Metric) -> float | None:
    """A quantile metric is the share beyond its threshold: `p95 of at most 300` expects one twentieth."""
    if metric.type is MetricType.QUANTILE and metric.baseline is None and metric.quantile is not None:
        return 1 - metric.quantile
    return metric.baseline


def _missing(plan: Plan) -> str:
    if plan.primary.is_share:
        return "The baseline and minimum_effect together leave the range from 0 to 1."
    if plan.primary.standard_deviation is None:
        return "Give primary_metric.standard_deviation to have the sample size reckoned."
    return "Give primary_metric.baseline to have the sample size reckoned for a relative minimum_effect."
