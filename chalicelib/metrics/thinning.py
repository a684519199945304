"""Few points that look like many: of each stretch of steps its least and its greatest value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from chalicelib.metrics.point import MetricPoint

LEAST = 10
"""Points that anything can be thinned out to: the ends, and one stretch with all that may be kept of it."""


def thin(points: Sequence[MetricPoint], most: int) -> list[MetricPoint]:
    """At most so many of a series, in order.

    Kept are the first and the last point, and of each of equally long stretches of steps the least and the greatest value,
    and where there are any the first NaN and infinities of either sign: nothing that stands out is thinned away, which
    a mean would do. All kept points are points of the series.

    Args:
        points: of one metric, in order.
        most: at least `LEAST`.
    """
    if len(points) <= most:
        return list(points)
    stretches = (most - 2) // 2
    while True:
        kept = _kept(points, stretches)
        if len(kept) <= most:
            return kept
        # Values that are no numbers took places too: fewer stretches for all.
        stretches = min(stretches - 1, stretches * most // len(kept))


def _kept(points: Sequence[MetricPoint], stretches: int) -> list[MetricPoint]:
    first, last = points[0].step, points[-1].step
    length = last - first + 1
    places = {0, len(points) - 1}
    start = 0
    while start < len(points):
        stretch = (points[start].step - first) * stretches // length
        end = start
        while end < len(points) and (points[end].step - first) * stretches // length == stretch:
            end += 1
        places |= _outstanding(points, range(start, end))
        start = end
    return [points[place] for place in sorted(places)]


def _outstanding(points: Sequence[MetricPoint], places: Iterable[int]) -> set[int]:
    least: int | None = None
    greatest: int | None = None
    odd: dict[str, int] = {}
    for place in places:
        value = points[place].value
        if not math.isfinite(value):
            odd.setdefault(str(value), place)
        else:
            if least is None or value < points[least].value:
                least = place
            if greatest is None or value > points[greatest].value:
                greatest = place
    return {place for place in (least, greatest, *odd.values()) if place is not None}
