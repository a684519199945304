"""A thinned series is short, in order, and shows all that stands out."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.metrics.chunk import in_order
from chalicelib.metrics.point import HALF, MetricPoint
from chalicelib.metrics.thinning import LEAST, thin

AT = datetime(2026, 3, 1, tzinfo=UTC)

series = st.lists(
    st.builds(
        lambda value, step: MetricPoint("loss", value, step, None, AT), st.floats(), st.integers(-HALF, HALF - 1)
    ),
    min_size=1,
    max_size=200,
).map(in_order)


def line(values: list[float]) -> list[MetricPoint]:
    return [MetricPoint("loss", value, step, None, AT) for step, value in enumerate(values)]


@given(series, st.integers(LEAST, 60))
def test_at_most_so_many_points_are_kept_all_of_the_series_and_in_its_order(
    points: list[MetricPoint], most: int
) -> None:
    kept = thin(points, most)
    assert 0 < len(kept) <= most
    places = [next(place for place, point in enumerate(points) if point is one) for one in kept]
    assert places == sorted(set(places))
    assert (kept[0], kept[-1]) == (points[0], points[-1]) or math.isnan(kept[0].value) or math.isnan(kept[-1].value)


@given(series, st.integers(LEAST, 60))
def test_the_least_and_the_greatest_value_and_what_is_no_number_are_kept(points: list[MetricPoint], most: int) -> None:
    kept = thin(points, most)
    finite = [point.value for point in points if math.isfinite(point.value)]
    if finite:
        assert min(finite) == min(point.value for point in kept if math.isfinite(point.value))
        assert max(finite) == max(point.value for point in kept if math.isfinite(point.value))
    odd = {str(point.value) for point in points if not math.isfinite(point.value)}
    assert odd == {str(point.value) for point in kept if not math.isfinite(point.value)}


def test_a_short_series_is_left_as_it_is() -> None:
    points = line([1.0, math.nan, 2.0])
    assert thin(points, LEAST) is not points
    assert [point.step for point in thin(points, LEAST)] == [0, 1, 2]


def test_a_single_spike_among_a_hundred_thousand_points_is_seen() -> None:
    values = [1.0] * 100_000
    values[54_321], values[77_777] = 9.0, -9.0
    kept = {point.step for point in thin(line(values), 100)}
    assert {54_321, 77_777, 0, 99_999} <= kept


def test_points_are_spread_over_the_steps() -> None:
    kept = [point.step for point in thin(line([float(step % 7) for step in range(10_000)]), 202)]
    gaps = [later - earlier for earlier, later in pairwise(kept)]
    assert max(gaps) <= 2 * 10_000 / 100
