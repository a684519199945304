"""Points packed into a text come out as they went in."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.metrics.chunk import POINTS, Chunk, chunks_of, in_order
from chalicelib.metrics.point import HALF, MetricPoint, ordered_bits

AT = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
LATEST = 4_102_444_800_000

points = st.lists(
    st.builds(
        lambda value, step, epoch, at: MetricPoint("loss", value, step, epoch, datetime.fromtimestamp(at / 1000, UTC)),
        st.floats(),
        st.integers(-HALF, HALF - 1),
        st.none() | st.integers(-HALF + 1, HALF - 1),
        st.integers(-LATEST, LATEST),
    ),
    min_size=1,
    max_size=40,
)


def shown(found: list[MetricPoint]) -> list[tuple[object, ...]]:
    """NaN is not equal to itself, so values are compared as text."""
    return [(point.name, repr(point.value), point.step, point.epoch, point.timestamp) for point in found]


@given(points)
def test_every_number_comes_back(given_points: list[MetricPoint]) -> None:
    ordered = in_order(given_points)
    assert shown(Chunk.of(ordered).points("loss")) == shown(ordered)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_the_bits_of_values_are_in_the_order_of_values(one: float, other: float) -> None:
    if one < other:
        assert ordered_bits(one) < ordered_bits(other)
    assert ordered_bits(math.nan) < ordered_bits(one)


def test_the_same_points_have_the_same_key_and_others_another() -> None:
    one = [MetricPoint("loss", 0.5, step, None, AT) for step in range(3)]
    assert Chunk.of(one).key == Chunk.of(list(one)).key
    assert Chunk.of(one).key != Chunk.of(one[:2]).key


def test_keys_are_in_the_order_of_first_steps() -> None:
    steps = [-HALF, -10, -1, 0, 1, 9, 10, HALF - 1]
    keys = [Chunk.of([MetricPoint("loss", 0.5, step, None, AT)]).key for step in steps]
    assert keys == sorted(keys)


def test_only_the_last_chunk_of_many_points_is_not_full() -> None:
    many = [MetricPoint("loss", 0.5, step, None, AT) for step in range(2 * POINTS + 1)]
    assert [chunk.count for chunk in chunks_of(many)] == [POINTS, POINTS, 1]


def test_a_full_chunk_of_a_long_training_takes_some_ten_bytes_a_point() -> None:
    many = [
        MetricPoint("loss", 1 / (step + 1), step, None, datetime.fromtimestamp(step / 7, UTC)) for step in range(POINTS)
    ]
    assert len(Chunk.of(many).body) < 16 * POINTS
