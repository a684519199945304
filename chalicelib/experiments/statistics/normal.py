"""Tails of the normal distribution."""

from __future__ import annotations

import math
from statistics import NormalDist

_STANDARD = NormalDist()
_ROOT_2 = math.sqrt(2)


def tail(z: float) -> float:
    """P(Z > z), accurate far out too."""
    return 0.5 * math.erfc(z / _ROOT_2)


def quantile(p: float) -> float:
    """The z below which a share of p lies."""
    return _STANDARD.inv_cdf(p)


def upper_quantile(p: float) -> float:
    """The z above which a share of p lies, accurate for small p too."""
    return -_STANDARD.inv_cdf(p)
