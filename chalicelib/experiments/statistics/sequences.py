"""Intervals that may be looked at at any time: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
arXiv 2103.06476, Theorem 2.2: with probability 1 - α, at all times t at once, the mean lies within

    σ̂_t · √( 2(tρ² + 1) / (t²ρ²) · log( √(tρ² + 1) / α ) )

of the estimate. In units of the standard error σ̂_t/√t, and with v = tρ², that is `√( (1 + 1/v) · (log(1 + v) - 2 log α) )`.
Whatever rule stops the experiment, the probability that the interval ever misses stays α, as n grows; so there is a least n.
"""

from __future__ import annotations

import math

TIGHTEST = 0.5
"""The part of the planned samples at which the primary metric's interval is the narrowest: between finding large effects
early and small ones late."""


def margin(samples: float, tightest_at: float, alpha: float) -> float:
    """Half the width of the interval, in standard errors.

    Args:
        samples: per variant.
        tightest_at: the number of samples at which the interval is to be about as narrow as it can be; fixed before the
            experiment. It does not bear on the validity.
    """
    v = _time_at_optimum(alpha) * samples / tightest_at
    return math.sqrt((1 + 1 / v) * (math.log1p(v) - 2 * math.log(alpha)))


def margin_of_each(one: float, other: float, tightest_at: float, alpha: float) -> float:
    """The same for a contrast of two means, whatever decides how many samples each of them gets: even the samples of others.

    Each mean has an interval in its own number of samples, with half of α. Both hold at once, so a contrast with standard
    errors s and t lies within `m·s + n·t` of its estimate, which is at most `√(m² + n²)·√(s² + t²)`.
    """
    return math.hypot(*(margin(samples, tightest_at, alpha / 2) for samples in (one, other)))


def _time_at_optimum(alpha: float) -> float:
    """tρ² where the interval is about the narrowest: `-2 log α + log(1 - 2 log α)`, appendix B.2 of the paper."""
    return -2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))
