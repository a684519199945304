"""What an experiment measures, and the counters that are kept of it: frozen values, no I/O.

A counter is a sum over units, so that batches add up in any order and a result never needs the units again:

    type        counters                                       of
    proportion  n, successes                                   units, and those with the event
    mean        n, sum, sum_squares                            a number y per unit
     … with a   covariate_sum, covariate_sum_squares,          and a number x of the same unit from before the experiment
     covariate  product_sum
    ratio       n, sum, sum_squares, denominator_sum,          two numbers y and x per unit; the ratio is Σy/Σx
                denominator_sum_squares, product_sum
    quantile    n, over                                        units, and those beyond a fixed threshold
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import Enum

Counters = Mapping[str, int | Decimal]
"""Sums by name. Sums of measurements are Decimal: they add up exactly, in any order."""


class MetricType(Enum):
    PROPORTION = "proportion"
    MEAN = "mean"
    RATIO = "ratio"
    QUANTILE = "quantile"


class Direction(Enum):
    """Which way is better."""

    INCREASE = "increase"
    DECREASE = "decrease"

    @property
    def sign(self) -> int:
        return 1 if self is Direction.INCREASE else -1


class Missing(Enum):
    """What a unit without an outcome counts as, where units are reported singly."""

    ZERO = "zero"
    IGNORED = "ignored"


_MEAN = ("n", "sum", "sum_squares")
_COVARIATE = ("covariate_sum", "covariate_sum_squares", "product_sum")
_DENOMINATOR = ("denominator_sum", "denominator_sum_squares", "product_sum")
MOST_VALUE = 1_000_000
"""The greatest measurement, either way: sums of squares then stay within the 38 digits that DynamoDB keeps."""

_QUANTUM = Decimal("1e-8")
_SQUARE_QUANTUM = Decimal("1e-16")
_EXACT = Context(prec=60)


@dataclass(frozen=True)
class Metric:
    """
    Attributes:
        direction: which way is better; for a guardrail too.
        baseline: what the control is expected to have, for the power calculation.
        standard_deviation: of one unit, expected: of a mean or a ratio.
        covariate: whether units bring a number from before the experiment, for CUPED.
        quantile, threshold: of a quantile metric: `p95 of at most 300` is 0.95 and 300.
        max_relative_change: of a guardrail: how much worse than the control is still allowed, 0.1 being 10 %.
    """

    name: str
    type: MetricType
    direction: Direction
    baseline: float | None = None
    standard_deviation: float | None = None
    covariate: bool = False
    quantile: float | None = None
    threshold: float | None = None
    missing: Missing = Missing.IGNORED
    max_relative_change: float = 0.0

    @property
    def counters(self) -> tuple[str, ...]:
        """The names of what is summed up of it."""
        match self.type:
            case MetricType.PROPORTION:
                return ("n", "successes")
            case MetricType.QUANTILE:
                return ("n", "over")
            case MetricType.RATIO:
                return (*_MEAN, *_DENOMINATOR)
        return (*_MEAN, *_COVARIATE) if self.covariate else _MEAN

    @property
    def is_share(self) -> bool:
        """Whether its value is a share of units, between 0 and 1."""
        return self.type in {MetricType.PROPORTION, MetricType.QUANTILE}

    def of_unit(self, value: float, second: float | None) -> Counters:
        """The counters of a single unit.

        Args:
            second: the denominator of a ratio, or the covariate of a mean.
        """
        if self.type is MetricType.PROPORTION:
            return {"n": 1, "successes": int(value != 0)}
        if self.type is MetricType.QUANTILE:
            assert self.threshold is not None  # noqa: S101  a rule of creation
            return {"n": 1, "over": int(value > self.threshold)}
        y = exact(value)
        sums: dict[str, int | Decimal] = {"n": 1, "sum": y, "sum_squares": _EXACT.multiply(y, y)}
        if second is None:
            return sums
        x = exact(second)
        names = _DENOMINATOR if self.type is MetricType.RATIO else _COVARIATE
        return sums | dict(zip(names, (x, _EXACT.multiply(x, x), _EXACT.multiply(x, y)), strict=True))


def exact(value: float) -> Decimal:
    """A measurement, or a sum of them, as it is counted: to eight decimal places."""
    return _EXACT.normalize(_EXACT.quantize(Decimal(repr(value)), _QUANTUM))


def exact_square(value: float) -> Decimal:
    """A sum of squares or products as it is counted: to sixteen decimal places."""
    return _EXACT.normalize(_EXACT.quantize(Decimal(repr(value)), _SQUARE_QUANTUM))


def added(some: Counters, more: Counters) -> dict[str, int | Decimal]:
    """Two sums as one, exactly."""
    return {name: _plus(some.get(name, 0), more.get(name, 0)) for name in {**some, **more}}


def _plus(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return _EXACT.normalize(_EXACT.add(Decimal(one), Decimal(other)))
