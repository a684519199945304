"""From sums to estimates: the mean of one variant, and the variance of one unit around it.

The sums are exact decimals, and so are the differences between them, where floating point would lose what matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from chalicelib.experiments.metric import Counters, Metric, MetricType


@dataclass(frozen=True)
class Estimate:
    """
    Attributes:
        n: units.
        mean: of the metric.
        unit_variance: so that the variance of `mean` is `unit_variance / n`.
        events: of a share: units with the event.
    """

    n: int
    mean: float
    unit_variance: float
    events: int | None = None

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.unit_variance / self.n


def estimates(metric: Metric, variants: Sequence[Counters]) -> list[Estimate | None]:
    """One for each variant; None where there is too little for a variance."""
    if metric.is_share:
        return [_share(sums) for sums in variants]
    if metric.type is MetricType.RATIO:
        return [_ratio(sums) for sums in variants]
    if metric.covariate:
        return _adjusted(variants)
    return [_mean(sums) for sums in variants]


def _share(sums: Counters) -> Estimate | None:
    n = int(sums.get("n", 0))
    if n == 0:
        return None
    events = int(sums.get("successes", sums.get("over", 0)))
    p = events / n
    return Estimate(n, p, p * (1 - p), events)


def _mean(sums: Counters) -> Estimate | None:
    n = int(sums.get("n", 0))
    if n < 2:
        return None
    mean, variance = _central(sums, "sum", "sum_squares")
    return Estimate(n, float(mean), float(variance))


def _ratio(sums: Counters) -> Estimate | None:
    """The ratio of two means, with the variance that the delta method gives it.

    Deng, Knoblich and Lu, "Applying the delta method in metric analytics", arXiv 1803.06336, equation 4:
    `(var(y) - 2·r·cov(x, y) + r²·var(x)) / (n·x̄²)`.
    """
    n = int(sums.get("n", 0))
    if n < 2 or not sums.get("denominator_sum"):
        return None
    y, var_y = _central(sums, "sum", "sum_squares")
    x, var_x = _central(sums, "denominator_sum", "denominator_sum_squares")
    ratio = y / x
    variance = (var_y - 2 * ratio * _covariance(sums, "denominator_sum") + ratio * ratio * var_x) / (x * x)
    return Estimate(n, float(ratio), max(0.0, float(variance)))


def _adjusted(variants: Sequence[Counters]) -> list[Estimate | None]:
    """CUPED: what a covariate from before the experiment explains is taken off, so that less noise is left.

    Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment
    data" (WSDM 2013): `ȳ - θ(x̄ - x̄_all)` with `θ = cov(x, y) / var(x)`, both pooled within the variants.
    """
    known = [sums for sums in variants if int(sums.get("n", 0)) >= 2]
    if not known:
        return [None for _ in variants]
    degrees = sum(int(sums["n"]) - 1 for sums in known)
    var_x = sum(_central(s, "covariate_sum", "covariate_sum_squares")[1] * (int(s["n"]) - 1) for s in known) / degrees
    cov = sum(_covariance(s, "covariate_sum") * (int(s["n"]) - 1) for s in known) / degrees
    theta = cov / var_x if var_x else Fraction(0)
    x_all = sum(_exact(s, "covariate_sum") for s in known) / sum(int(s["n"]) for s in known)
    found: list[Estimate | None] = []
    for sums in variants:
        n = int(sums.get("n", 0))
        if n < 2:
            found.append(None)
            continue
        y, own_y = _central(sums, "sum", "sum_squares")
        x, own_x = _central(sums, "covariate_sum", "covariate_sum_squares")
        variance = own_y - 2 * theta * _covariance(sums, "covariate_sum") + theta * theta * own_x
        found.append(Estimate(n, float(y - theta * (x - x_all)), max(0.0, float(variance))))
    return found


def _central(sums: Counters, first: str, second: str) -> tuple[Fraction, Fraction]:
    """Mean and unbiased variance."""
    n = int(sums["n"])
    total = _exact(sums, first)
    return total / n, max(Fraction(0), (_exact(sums, second) - total * total / n) / (n - 1))


def _covariance(sums: Counters, other: str) -> Fraction:
    n = int(sums["n"])
    return (_exact(sums, "product_sum") - _exact(sums, "sum") * _exact(sums, other) / n) / (n - 1)


def _exact(sums: Counters, name: str) -> Fraction:
    return Fraction(Decimal(sums.get(name, 0)))
