"""Metrics and progress on their way to the service."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest

from tests.unit.trainer.fakes import FakeConsole
from trainer.patterns import Patterns
from trainer.reporter import Point, Reporter


@pytest.fixture
def console() -> FakeConsole:
    return FakeConsole()


@pytest.fixture
def reporter(console: FakeConsole) -> Iterator[Reporter]:
    reporter = Reporter(console, {"epochs": 10, "max_steps": "nonsense"})
    yield reporter
    reporter.close()


def rows(console: FakeConsole) -> list[list[object]]:
    return [row for line in console.of("metrics") for row in line["points"]]


class TestPoints:
    def test_values_that_json_lacks_are_named(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.points([Point("m", value, step, 1) for step, value in enumerate((math.nan, math.inf, -math.inf, 1.5))])
        reporter.close()
        assert [row[1] for row in rows(console)] == ["NaN", "Infinity", "-Infinity", 1.5]

    def test_lines_stay_short(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.points([Point("n" * 240, 1.0, step, 1) for step in range(1000)])
        reporter.close()
        lines = console.of("metrics")
        assert sum(len(line["points"]) for line in lines) == 1000
        assert max(len(line["points"]) for line in lines) <= 100
        assert max(len(json.dumps(line)) for line in lines) < 16 * 1024

    def test_the_same_point_counts_once(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.points([Point("m", 1.0, 0, 1), Point("m", 1.0, 0, 1), Point("m", 2.0, 0, 1)])
        reporter.points([Point("m", 1.0, 0, 1)])
        reporter.close()
        assert [row[1] for row in rows(console)] == [1.0, 2.0]

    def test_the_latest_value_is_the_highest_steps(self, reporter: Reporter) -> None:
        reporter.points([Point("m", 3.0, 2, 9), Point("m", 1.0, 1, 10)])
        assert reporter.latest() == {"m": 3.0}

    def test_a_point_carries_the_epoch_that_is_known(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.points([Point("a", 1.0, 0, 1)])
        reporter.progress(epoch=4)
        reporter.points([Point("b", 1.0, 0, 1), Point("c", 1.0, 0, 1, epoch=9)])
        reporter.close()
        assert [(row[0], row[3]) for row in rows(console)] == [("a", None), ("b", 4), ("c", 9)]


class TestProgress:
    def test_percent_follows_from_epochs(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.points([Point("epoch", 3.7, 0, 1)])
        reporter.close()
        assert console.of("progress")[-1] == {
            "t": "progress", "epoch": 3, "epochs": 10, "step": None, "steps": None, "percent": 30.0,
        }  # fmt: skip

    def test_what_does_not_change_is_not_said_again(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.progress(epoch=1, epochs=10)
        with console.arrived:
            assert console.arrived.wait_for(lambda: bool(console.of("progress")), 5)
        reporter.progress(epoch=1, epochs=10)
        reporter.close()
        assert len(console.of("progress")) == 1

    @pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
    def test_an_impossible_epoch_is_no_progress(self, console: FakeConsole, reporter: Reporter, value: float) -> None:
        reporter.points([Point("epoch", value, 0, 1)])
        reporter.close()
        assert console.of("progress") == []


class TestPrintedLines:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("progress: epoch 3/10", {"epoch": 3, "epochs": 10, "percent": 30.0}),
            ("[INFO] Progress: step 120/1000, epoch 1/2", {"step": 120, "steps": 1000, "epoch": 1, "epochs": 2}),
            ("progress: 42.5%", {"percent": 42.5}),
            ("progress: epoch 1/4, 10%", {"epoch": 1, "epochs": 4, "percent": 10.0}),
            ("progress: 100 %", {"percent": 100.0}),
        ],
    )
    def test_the_documented_form_is_progress(
        self, console: FakeConsole, reporter: Reporter, line: str, expected: dict[str, float]
    ) -> None:
        Patterns([], reporter=reporter, log=lambda _: None, console=console).observe(line)
        reporter.close()
        (progress,) = console.of("progress")
        assert {name: progress[name] for name in expected} == expected

    @pytest.mark.parametrize(
        "line", ["progress: fine", "progress: 420%", "no progress epoch 3/10", "progress: epoch x/y"]
    )
    def test_anything_else_is_not(self, console: FakeConsole, reporter: Reporter, line: str) -> None:
        Patterns([], reporter=reporter, log=lambda _: None, console=console).observe(line)
        reporter.close()
        assert console.of("progress") == []

    def test_lines_are_searched_only_when_something_may_be_found(
        self, console: FakeConsole, reporter: Reporter
    ) -> None:
        plain = Patterns([], reporter=reporter, log=lambda _: None, console=console)
        assert not plain.wants(b"loss=1\n")
        assert plain.wants(b"x\nProgress: 3%\n")


class TestTotals:
    def test_of_each_line_say_how_many_points_there_were_with_it(
        self, console: FakeConsole, reporter: Reporter
    ) -> None:
        reporter.points([Point("m", 1.0, step, 1000 + step) for step in range(250)])
        reporter.points([Point("m", 1.0, 0, 1000)])  # taken before
        reporter.close()
        lines = console.of("metrics")
        told = 0
        for line in lines:
            told += len(line["points"])
            assert line["total"] == told
        assert (told, lines[-1]["latest"]) == (250, 1249)
        assert len({line["since"] for line in lines}) == 1

    def test_never_have_a_time_that_nobody_can_read(self, console: FakeConsole, reporter: Reporter) -> None:
        reporter.points([Point("m", 1.0, 0, 5), Point("m", 1.0, 1, 10**18), Point("m", 1.0, 2, 4)])
        reporter.close()
        assert [(line["total"], line["latest"]) for line in console.of("metrics")] == [(2, 5)]
