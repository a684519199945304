"""Series of metrics that grow, however their points come."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.errors import InvalidRequest
from chalicelib.metrics.chunk import POINTS, in_order
from chalicelib.metrics.point import MetricPoint
from chalicelib.metrics.reading import Position
from chalicelib.metrics.store import MetricStore
from chalicelib.table import Table
from tests.faults import Shows

AT = datetime(2026, 3, 1, tzinfo=UTC)


def line(steps: Sequence[int], name: str = "loss", later: int = 0) -> list[MetricPoint]:
    moment = AT + timedelta(hours=later)
    return [MetricPoint(name, 1 / (abs(step) + 1), step, None, moment + timedelta(seconds=step)) for step in steps]


def put(store: MetricStore, points: Sequence[MetricPoint], size: int) -> None:
    for start in range(0, len(points), size):
        store.put("acme", "job", points[start : start + size])


def read(store: MetricStore, name: str | None = "loss", limit: int = 500) -> list[MetricPoint]:
    """All pages."""
    found: list[MetricPoint] = []
    after = None
    while True:
        page = store.read("acme", "job", name=name, limit=limit, after=after)
        assert len(page.points) <= limit
        found += page.points
        if page.cursor is None:
            return found
        after = Position.from_text(page.cursor.encode(), name)


def kinds(store: MetricStore, name: str = "loss") -> Counter[str]:
    partitions = (f"acme#job#{name}", f"acme#job#{name}#full")
    return Counter(item["sk"].partition("#")[0] for pk in partitions for item in store.table.all_of(pk))


class TestALongSeries:
    def test_is_read_in_order_and_whole_whatever_the_pages(self, store: MetricStore) -> None:
        points = line(range(5000))
        put(store, points, 60)
        assert kinds(store)["full"] >= 3
        assert sum(item["count"] for item in store.table.all_of("acme#job#loss", "tail#")) < 2 * POINTS
        for limit in (137, 1000, 10_000):
            assert read(store, limit=limit) == points

    def test_that_an_attempt_begins_again_in_the_middle_has_both(self, store: MetricStore) -> None:
        first, second = line(range(3000)), line(range(2000, 5000), later=5)
        put(store, first, 100)
        put(store, second, 100)
        assert read(store, limit=333) == in_order([*first, *second])

    def test_that_comes_in_any_order_is_in_order(self, store: MetricStore) -> None:
        points = line(range(-1500, 2500))
        shuffled = random.Random(7).sample(points, len(points))  # noqa: S311
        put(store, shuffled, 200)
        assert read(store, limit=777) == points

    def test_that_comes_twice_is_there_once(self, store: MetricStore) -> None:
        points = line(range(3000))
        for size in (100, 100, 70):
            put(store, points, size)
        assert read(store) == points

    def test_is_there_once_when_its_tail_could_not_be_deleted(self, store: MetricStore) -> None:
        class Dying(Table):
            def delete_all(self, keys: Sequence[tuple[str, str]]) -> None:
                raise ConnectionError("the process died")

        dying = replace(store, table=Dying(store.table.client, store.table.name))
        points = line(range(3000))
        died = 0
        for start in range(0, len(points), 100):
            try:
                dying.put("acme", "job", points[start : start + 100])
            except ConnectionError:
                died += 1
        assert died
        assert read(store) == points
        assert [point.step for point in store.chart("acme", "job", "loss", 10_000)] == list(range(3000))

    def test_goes_on_after_a_page_while_it_grows(self, store: MetricStore) -> None:
        points = line(range(4000))
        put(store, points[:1500], 100)
        page = store.read("acme", "job", name="loss", limit=1200)
        assert page.cursor is not None
        put(store, points[1500:], 100)
        after = Position.from_text(page.cursor.encode(), "loss")
        rest = store.read("acme", "job", name="loss", limit=10_000, after=after)
        assert [*page.points, *rest.points] == points


class TestAllMetrics:
    def test_are_read_one_after_the_other(self, store: MetricStore) -> None:
        names = ["accuracy", "loss", "loss#2", "los", "ü", "%"]
        points = [point for name in names for point in line(range(50), name)]
        put(store, points, 300)
        found = read(store, None, limit=70)
        assert len(found) == 300
        assert {point.name for point in found} == set(names)
        changes = [(a.name, b.name) for a, b in pairwise(found) if a.name != b.name]
        assert len(changes) == len(names) - 1

    def test_have_a_latest_value_each_by_step_then_time_then_value(self, store: MetricStore) -> None:
        late, early = AT + timedelta(seconds=9), AT
        for points in (
            [MetricPoint("a", 1.0, 5, 2, early), MetricPoint("b", 1.0, 5, None, late)],
            [MetricPoint("a", 2.0, 4, 2, late), MetricPoint("b", 2.0, 5, None, early)],
            [MetricPoint("a", math.nan, 5, 2, early), MetricPoint("b", 3.0, 5, None, late)],
        ):
            store.put("acme", "job", points)
        assert [(point.name, point.value, point.step) for point in store.latest("acme", "job")] == [
            ("a", 1.0, 5),
            ("b", 3.0, 5),
        ]

    def test_are_deleted_whole(self, store: MetricStore) -> None:
        put(store, [*line(range(1500)), *line(range(30), "accuracy")], 300)
        store.put("acme", "other", line(range(3)))
        store.delete("acme", "job")
        assert read(store, None) == []
        assert kinds(store) == Counter()
        assert len(store.read("acme", "other", name=None, limit=10).points) == 3

    def test_expire_where_the_installation_says_so(self, store: MetricStore) -> None:
        store = replace(store, days=lambda: 7, now=lambda: AT)
        put(store, line(range(1100)), 1100)
        partitions = ("acme#job", "acme#job#loss", "acme#job#loss#full")
        items = [item for pk in partitions for item in store.table.all_of(pk)]
        assert {item.get("expires_at") for item in items} == {int((AT + timedelta(days=7)).timestamp())}


class TestAChart:
    def test_of_a_long_series_is_made_of_briefs_and_shows_what_stands_out(self, store: MetricStore) -> None:
        points = line(range(20 * POINTS))
        spike = replace(points[12_345], value=99.0)
        hole = replace(points[7_000], value=math.nan)
        points[12_345], points[7_000] = spike, hole
        put(store, points, POINTS)
        reads: list[str] = []
        store.table.client.meta.events.register("before-call.dynamodb.Query", lambda **_: reads.append("query"))
        chart = store.chart("acme", "job", "loss", 200)
        assert len(chart) <= 200
        assert len(reads) <= 3
        assert spike in chart
        assert any(math.isnan(point.value) and point.step == 7_000 for point in chart)
        assert [point.step for point in chart] == sorted(point.step for point in chart)
        assert (chart[0], chart[-1]) == (points[0], points[-1])

    def test_of_a_very_long_series_is_made_of_outlines(self, store: MetricStore) -> None:
        points = line(range(70 * POINTS))
        spike, late_spike = replace(points[2_222], value=99.0), replace(points[4_100], value=-99.0)
        points[2_222], points[4_100] = spike, late_spike
        # A part comes after what lies behind it was outlined.
        put(store, points[: 3 * POINTS] + points[5 * POINTS :], POINTS)
        outlined = kinds(store)["outline"]
        assert outlined > 0
        put(store, points[3 * POINTS : 5 * POINTS], POINTS)
        assert kinds(store)["outline"] == outlined + 2
        read: list[int] = []
        store.table.client.meta.events.register(
            "after-call.dynamodb.Query", lambda parsed, **_: read.append(len(parsed["Items"]))
        )
        chart = store.chart("acme", "job", "loss", 200)
        assert sum(read) < 60
        assert {spike, late_spike} <= set(chart)
        assert (chart[0], chart[-1]) == (points[0], points[-1])

    def test_of_nothing_is_empty(self, store: MetricStore) -> None:
        assert store.chart("acme", "job", "loss", 100) == []


class TestACursor:
    @pytest.mark.parametrize(
        "change", [{"p": -(2**63) - 1}, {"s": ""}, {"s": "x" * 2000}, {"p": 2**63}, {"v": "7"}, {"z": 1}]
    )
    def test_that_was_changed_is_refused(self, store: MetricStore, change: dict[str, Any]) -> None:
        put(store, line(range(30)), 30)
        cursor = store.read("acme", "job", name="loss", limit=7).cursor
        assert cursor is not None
        with pytest.raises(InvalidRequest):
            Position.from_text(replace(cursor, key={**cursor.key, **change}).encode(), "loss")

    def test_of_another_metric_is_refused(self, store: MetricStore) -> None:
        put(store, line(range(30)), 30)
        cursor = store.read("acme", "job", name="loss", limit=7).cursor
        assert cursor is not None
        with pytest.raises(InvalidRequest):
            Position.from_text(cursor.encode(), "accuracy")


def test_writes_are_spread_over_partitions(store: MetricStore, shows: Shows) -> None:
    written: Counter[str] = Counter()

    def count(params: dict[str, Any], **_: Any) -> None:
        for request in params["RequestItems"]["metrics"]:
            ((_, given),) = request.items()
            written[given.get("Item", given.get("Key"))["pk"]["S"]] += len(str(given))

    store.table.client.meta.events.register("provide-client-params.dynamodb.BatchWriteItem", count)
    names = [f"metric-{number}" for number in range(20)]
    for start in range(0, 5000, 500):
        store.put("acme", "job", [point for name in names for point in line(range(start, start + 500), name)])
    mean = sum(written.values()) / len(written)
    busiest = max(written.values()) / mean
    shows(18, f"100,000 points of 20 metrics: {len(written)} partitions, the busiest has {busiest:.2f} × the mean")
    assert len(written) >= len(names)
    assert busiest < 2
