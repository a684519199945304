"""The statistic `PR(:n)` of CloudWatch: what part of a metric's values is at most n, in percent.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html. ministack has percentiles, and
not their inverse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import cloudwatch

_RANK = re.compile(r"PR\((?P<least>[0-9.]*):(?P<most>[0-9.]*)\)")


def install() -> None:
    cloudwatch._stat_value = RankedToo(cloudwatch._stat_value)


class RankedToo:
    """ministack's statistics, and this one."""

    def __init__(self, others: Callable[..., Any]) -> None:
        self._others = others

    def __call__(self, stats: Any, stat_name: str, points: Sequence[Any] | None = None) -> Any:
        asked = _RANK.fullmatch(stat_name or "")
        if asked is None:
            return self._others(stats, stat_name, points)
        samples = cloudwatch._percentile_samples(points or [])
        if not samples:
            return None
        return rank(samples, _bound(asked["least"]), _bound(asked["most"]))


def rank(samples: Sequence[tuple[float, float]], least: float | None, most: float | None) -> float:
    """The part of the values between two bounds, in percent.

    Args:
        samples: values, and how often each came.
        least, most: None is no bound. CloudWatch leaves the lower one out and takes the upper one in.
    """
    whole = sum(weight for _, weight in samples)
    within = sum(
        weight for value, weight in samples if (least is None or value > least) and (most is None or value <= most)
    )
    return 100 * within / whole


def _bound(text: str) -> float | None:
    return float(text) if text else None
