"""What a look found, metric by metric, and as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.experiments.experiment import Experiment, Method
from chalicelib.experiments.metric import Metric
from chalicelib.experiments.statistics.effects import Effect
from chalicelib.experiments.statistics.mismatch import LEVEL


@dataclass(frozen=True)
class Comparison:
    """One metric of one variant, against the control.

    Attributes:
        effect: None while there is too little of one of them.
        confidence: of the intervals, after the correction for several variants and metrics.
        z: the difference in standard errors; None while nothing may be decided.
        excess: of a guardrail: by how many standard errors it is worse than is allowed.
        bound: how far `z`, or `excess`, has to go at this look; None when the look is not an analysis of its own.
        always_valid: half the width of the always-valid interval, in standard errors.
        information: as a fraction of what is planned.
    """

    metric: Metric
    control: str
    variant: str
    effect: Effect | None
    confidence: float
    is_guardrail: bool = False
    z: float | None = None
    excess: float | None = None
    bound: float | None = None
    always_valid: float | None = None
    information: float | None = None
    is_better: bool = False
    is_worse: bool = False

    @property
    def margin(self) -> float | None:
        """Half the width of the interval that is shown: the repeated confidence interval, or else the always-valid one."""
        return self.bound if self.bound is not None else self.always_valid

    def drawn(self) -> list[float]:
        """Effect, and the two ends of the always-valid interval; nothing while there is no effect yet."""
        if self.effect is None or self.always_valid is None:
            return []
        return [_short(each) for each in (self.effect.difference, *self.effect.interval(self.always_valid))]

    def document(self, method: Method) -> dict[str, Any]:
        document: dict[str, Any] = {
            "name": self.metric.name,
            "type": self.metric.type.value,
            "role": "guardrail" if self.is_guardrail else "primary",
            "direction": self.metric.direction.value,
            "variant": self.variant,
            "control": self.control,
            "confidence": _short(self.confidence),
            "is_better": self.is_better,
            "is_worse": self.is_worse,
        }
        if self.is_guardrail:
            document["max_relative_change"] = self.metric.max_relative_change
        effect, margin = self.effect, self.margin
        if effect is None or margin is None or self.always_valid is None:
            return document
        sequential = method is Method.GROUP_SEQUENTIAL and not self.is_guardrail and self.bound is not None
        relative = effect.relative_interval(margin)
        return document | {
            "n": {self.control: effect.control.n, self.variant: effect.variant.n},
            "value": {self.control: _short(effect.control.mean), self.variant: _short(effect.variant.mean)},
            "effect": _short(effect.difference),
            "interval": [_short(each) for each in effect.interval(margin)],
            "interval_method": "group_sequential" if sequential else "always_valid",
            "relative_effect": None if effect.relative is None else _short(effect.relative),
            "relative_interval": None if relative is None else [_short(each) for each in relative],
            "always_valid_interval": [_short(each) for each in effect.interval(self.always_valid)],
            "z": None if self.z is None else _short(self.z),
            "excess": None if self.excess is None else _short(self.excess),
            "boundary": None if self.bound is None else _short(self.bound),
            "information": None if self.information is None else _short(self.information),
        }


@dataclass(frozen=True)
class Split:
    """How units fell on the variants, beside how they were to.

    Attributes:
        p_value: valid at any time; None while a variant has none, or where shares are not fixed.
    """

    units: tuple[int, ...]
    shares: tuple[float, ...]
    p_value: float | None

    @property
    def is_mismatch(self) -> bool:
        return self.p_value is not None and self.p_value < LEVEL


def report(
    experiment: Experiment,
    comparisons: Sequence[Comparison],
    split: Split,
    exposures: Mapping[str, int],
    weights: Mapping[str, float] | None,
) -> dict[str, Any]:
    """What a look found, as the answer shows it."""
    names = experiment.variants
    return {
        "units": dict(zip(names, split.units, strict=True)),
        "exposures": {variant: exposures.get(variant, 0) for variant in names},
        "metrics": [each.document(experiment.plan.method) for each in comparisons],
        "split": {
            "expected": {name: _short(share) for name, share in zip(names, split.shares, strict=True)},
            "p_value": None if split.p_value is None else _short(split.p_value),
            "is_mismatch": split.is_mismatch,
        },
        "suggested_weights": None if weights is None else {name: _short(each) for name, each in weights.items()},
    }


def _short(value: float) -> float:
    """Six digits: a document is read by people too."""
    return float(f"{value:.6g}")
