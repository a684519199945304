"""Group-sequential boundaries: how far a z-statistic has to go at each look, when looks may come at any time.

The statistic of the looks is Brownian motion seen at the information that they have: `S = z·√I` has independent, normal
increments, of variance `I_k - I_(k-1)`. A two-sided test at level α may reject at look k with probability
`α(t_k) - α(t_(k-1))`, where `α(t)` is a spending function of the information fraction t, so neither the number of the looks
nor their times have to be known before: Lan and DeMets, Biometrika 70 (1983), 659-663.

The boundary is found by numerical integration, one look from the one before: Armitage, McPherson and Rowe, Journal of the
Royal Statistical Society A 132 (1969), 235-244; Jennison and Turnbull, "Group Sequential Methods" (2000), chapter 19. What
is kept between looks is the density of S among the paths that have not crossed, on fixed nodes: a look costs the same,
however many there were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chalicelib.experiments.statistics.normal import tail, upper_quantile

LEAST_STEP = 1 / 400
"""The least growth of the information fraction that makes an analysis of its own: what the nodes resolve."""

FARTHEST = 8.0
"""A boundary that is not lower than this is given as this: a path that gets there by chance is one in 10^15."""

_NODES = 96
_BISECTIONS = 48
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Analysis:
    """One look at which the test may reject.

    Attributes:
        information: as a fraction of what is planned; above 1 when there was more.
        bound: |z| from which on it rejects.
        density: of S at the nodes of [0, bound·√information], among the paths that have not crossed. It is even.
    """

    information: float
    bound: float
    density: tuple[float, ...]

    @property
    def width(self) -> float:
        return self.bound * math.sqrt(self.information)


def spent(fraction: float, alpha: float) -> float:
    """What a two-sided test at level α may have spent by an information fraction.

    The O'Brien-Fleming type of Lan and DeMets (1983), for each of the two sides: `2·(1 - Φ(z_(α/4) / √t))`.
    """
    if fraction <= 0:
        return 0.0
    return 4 * tail(upper_quantile(alpha / 4) / math.sqrt(min(fraction, 1.0)))


@lru_cache(maxsize=256)
def next_analysis(before: Analysis | None, information: float, alpha: float) -> Analysis | None:
    """The boundary of a look, from that of the look before.

    Args:
        information: of this look, as a fraction of what is planned. What is over 1 is over-running: everything that is left
            of α is spent at it, and the correlation is that of the true information.

    Returns:
        None when the look has come too soon after the one before to be an analysis, or after the last one.
    """
    reached = before.information if before else 0.0
    is_too_soon = information < 1 and information - reached < LEAST_STEP * (1 - _ROUNDING)
    if reached >= 1 or is_too_soon or information <= reached:
        return None
    may_spend = spent(information, alpha) - spent(reached, alpha)
    root = math.sqrt(information)
    if before is None:
        bound = min(FARTHEST, upper_quantile(may_spend / 2)) if may_spend > 0 else FARTHEST
        nodes, _ = _grid(bound * root)
        density = [math.exp(-0.5 * y * y / information) / math.sqrt(2 * math.pi * information) for y in nodes]
        return Analysis(information, bound, tuple(density))
    deviation = math.sqrt(information - reached)
    nodes, weights = _grid(before.width)
    mass = [(x, weight * g) for x, weight, g in zip(nodes, weights, before.density, strict=True)]
    bound = _bound(mass, root, deviation, may_spend)
    following, _ = _grid(bound * root)
    scale = 1 / (deviation * math.sqrt(2 * math.pi))
    rate = -0.5 / (deviation * deviation)
    exp = math.exp
    density = [
        scale * sum(m * (exp(rate * (y - x) * (y - x)) + exp(rate * (y + x) * (y + x))) for x, m in mass)
        for y in following
    ]
    return Analysis(information, bound, tuple(density))


def analyses(fractions: Sequence[float], alpha: float) -> Iterator[Analysis]:
    """The boundaries of looks at these information fractions."""
    before = None
    for fraction in fractions:
        found = next_analysis(before, fraction, alpha)
        if found is not None:
            yield found
            before = found


@lru_cache(maxsize=32)
def planned(looks: int, alpha: float) -> tuple[Analysis, ...]:
    """The boundaries of equally spaced looks."""
    return tuple(analyses([look / looks for look in range(1, looks + 1)], alpha))


def crossing(looks: Sequence[Analysis], drift: float) -> float:
    """The probability to cross the upper boundary at one of the looks.

    Args:
        drift: the mean of z when the information is what is planned; 0 gives half of α.
    """
    total, before = 0.0, None
    for look in looks:
        height, root = look.width, math.sqrt(look.information)
        if before is None:
            total += tail((height - drift * look.information) / root)
        else:
            step = look.information - before.information
            deviation = math.sqrt(step)
            nodes, weights = _grid(before.width)
            for x, weight, g in zip(nodes, weights, before.density, strict=True):
                for u in (x, -x):
                    # The density under a drift is the one without, times the ratio of the likelihoods.
                    ratio = math.exp(drift * u - 0.5 * drift * drift * before.information)
                    total += weight * g * ratio * tail((height - u - drift * step) / deviation)
        before = look
    return total


def _bound(mass: Sequence[tuple[float, float]], root: float, deviation: float, may_spend: float) -> float:
    """The bound at which the two tails beyond it have the probability that may be spent."""

    def beyond(bound: float) -> float:
        height = bound * root
        return 2 * sum(m * (tail((height - x) / deviation) + tail((height + x) / deviation)) for x, m in mass)

    if beyond(FARTHEST) >= may_spend:
        return FARTHEST
    low, high = 0.0, FARTHEST
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if beyond(middle) > may_spend:
            low = middle
        else:
            high = middle
    return high


def _grid(width: float) -> tuple[list[float], list[float]]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, width]."""
    nodes, weights = _gauss_legendre(_NODES)
    half = 0.5 * width
    return [half * (x + 1) for x in nodes], [half * w for w in weights]


@lru_cache(maxsize=2)
def _gauss_legendre(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights on [-1, 1]: roots of the Legendre polynomial by Newton's method (Abramowitz and Stegun 25.4.29)."""
    nodes, weights = [], []
    for index in range(count):
        x = math.cos(math.pi * (count - index - 0.25) / (count + 0.5))
        slope, step = 1.0, 1.0
        while abs(step) > 1e-15:
            previous, value = 1.0, x
            for order in range(2, count + 1):
                previous, value = value, ((2 * order - 1) * x * value - (order - 1) * previous) / order
            slope = count * (x * value - previous) / (x * x - 1)
            step = value / slope
            x -= step
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * slope * slope))
    return tuple(nodes), tuple(weights)
