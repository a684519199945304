"""Thompson sampling's weights: each variant gets the probability that it is the best one, and never less than a floor.

Thompson, Biometrika 25 (1933), 285-294. The posterior of a mean is taken as normal, and the probability is integrated, not
drawn, so that the same numbers give the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chalicelib.experiments.statistics.normal import tail

_POINTS = 400
_REACH = 8.0


def weights(estimates: Sequence[tuple[float, float]], floor: float) -> tuple[float, ...]:
    """
    Args:
        estimates: mean (greater is better) and its variance, of each variant.
        floor: the least weight; at most one part of as many as there are variants.
    """
    best = probability_of_best(estimates)
    share = 1 - floor * len(estimates)
    return tuple(floor + share * each for each in best)


def probability_of_best(estimates: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """`∫ φ_i(x) Π_(j≠i) Φ_j(x) dx` for each variant, by the trapezoidal rule over ±8 standard errors of that variant."""
    step = 2 * _REACH / _POINTS
    found = []
    for index, (mean, variance) in enumerate(estimates):
        others = [each for position, each in enumerate(estimates) if position != index]
        total = 0.0
        for point in range(_POINTS + 1):
            u = -_REACH + step * point
            x = mean + u * math.sqrt(variance)
            below = math.prod(tail((m - x) / math.sqrt(v)) for m, v in others)
            total += math.exp(-0.5 * u * u) * below
        found.append(total)
    whole = sum(found)
    return tuple(each / whole for each in found)
