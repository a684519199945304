"""What a spot job is expected to take, held against a simulation of interruptions and against the limits."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chalicelib.errors import RefusedValue
from chalicelib.jobs.request import TrainingConfig
from chalicelib.jobs.spot import (
    Assumptions,
    Forecast,
    History,
    Intervals,
    assumptions,
    check,
    forecast,
    max_wait_seconds,
)

HOUR = 3600
GIVEN = Assumptions(0.5, 100, 180, 300, 0.4, "this test", "2026-01-01")


def _config(**values: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"script_path": "s3://b/a.py", "dataset_path": "s3://b/d", **values})


def _forecast(given: Assumptions = GIVEN, history: History | None = None, **values: Any) -> Forecast:
    return forecast(_config(spot=True, **values), None, 24 * HOUR, history or History(), given)


def _simulated(work: int, interval: int, given: Assumptions, rng: random.Random) -> tuple[float, int]:
    """Seconds on instances and interruptions of one job that meets interruptions at random."""
    rate = given.interruptions_per_hour / HOUR
    spent, interruptions, done = 0.0, 0, 0
    next_one = rng.expovariate(rate)
    needed = 0.0
    while done < work:
        segment = min(interval, work - done)
        if next_one >= needed + segment:
            next_one -= needed + segment
            spent += needed + segment
            done += segment
            needed = 0.0
        else:
            spent += next_one
            interruptions += 1
            needed = given.restart_seconds
            next_one = rng.expovariate(rate)
    return spent, interruptions


class TestForecast:
    @pytest.mark.parametrize("interval", [600, 1800, 4 * HOUR])
    def test_is_what_a_simulation_takes_on_average(self, interval: int) -> None:
        found = _forecast(expected_runtime_seconds=4 * HOUR, checkpoint_interval_seconds=interval)
        rng = random.Random(7)  # noqa: S311
        runs = [_simulated(4 * HOUR, interval, GIVEN, rng) for _ in range(4000)]
        mean = sum(spent for spent, _ in runs) / len(runs)
        interruptions = sum(count for _, count in runs) / len(runs)
        assert found.instance_seconds == pytest.approx(mean, rel=0.06)
        assert found.interruptions == pytest.approx(interruptions, rel=0.06)
        assert found.wall_seconds == pytest.approx(mean + (interruptions + 1) * 300, rel=0.06)

    def test_without_interruptions_is_the_work(self) -> None:
        calm = Assumptions(0.0, 100, 180, 300, 0.4, "this test", "2026-01-01")
        found = _forecast(calm, expected_runtime_seconds=HOUR)
        assert (found.instance_seconds, found.interruptions, found.billed_seconds) == (HOUR, 0, 0.4 * HOUR)

    def test_has_a_bound_where_the_job_would_never_end(self) -> None:
        found = _forecast(Assumptions(60, 1, 180, 300, 0.4, "x", "y"), expected_runtime_seconds=20 * 24 * HOUR)
        assert found.instance_seconds == 10 * 365 * 24 * HOUR

    def test_learns_from_what_jobs_met(self) -> None:
        assert GIVEN.rate(History()) == 0.5
        assert GIVEN.rate(History(0, 100 * HOUR)) == 0.25
        assert GIVEN.rate(History(900, 900 * HOUR)) == pytest.approx(0.95)

    def test_takes_what_the_user_says_before_what_was_learned_before_the_limit(self) -> None:
        said, learned, unknown = (
            forecast(_config(spot=True, **more), past, 24 * HOUR, History(), GIVEN)
            for more, past in (({"expected_runtime_seconds": 60}, 120), ({}, 120), ({}, None))
        )
        assert [each.work_seconds for each in (said, learned, unknown)] == [60, 120, 24 * HOUR]
        assert [each.is_known for each in (said, learned, unknown)] == [True, True, False]

    def test_counts_on_checkpoints_that_earlier_runs_wrote_where_the_job_says_nothing(self) -> None:
        hours = {"expected_runtime_seconds": 10 * HOUR}
        few, enough = Intervals(4, 2400), Intervals(60, 36_000)
        said, none, learned = (
            forecast(_config(spot=True, **hours, **more), None, 24 * HOUR, History(), GIVEN, seen)
            for more, seen in (({"checkpoint_interval_seconds": 60}, enough), ({}, few), ({}, enough))
        )
        assert [each.interval_seconds for each in (said, none, learned)] == [60, None, 600]
        assert learned.interval_basis == "the mean of 60 intervals in earlier runs of this name"
        assert learned.instance_seconds < 12 * HOUR < none.instance_seconds

    def test_takes_the_operators_rate_before_the_tables_and_says_so(self) -> None:
        usual, set_by_operator = (assumptions("ml.m5.large", rates) for rates in (None, {"ml.m5.large": 0.5}))
        assert (usual.interruptions_per_hour, set_by_operator.interruptions_per_hour) == (0.05, 0.5)
        assert set_by_operator.source.startswith("interruptions as set by the operator")
        assert assumptions("ml.p3.2xlarge", {"ml.m5.large": 0.5}) == assumptions("ml.p3.2xlarge")


class TestCheck:
    def test_refuses_a_job_that_cannot_be_expected_to_end_with_the_numbers(self) -> None:
        found = _forecast(expected_runtime_seconds=10 * HOUR)
        with pytest.raises(RefusedValue) as refused:
            check(found, 12 * HOUR, 24 * HOUR)
        problems = refused.value.problems
        assert [problem.field for problem in problems] == ["config.max_runtime_seconds", "config.max_wait_seconds"]
        assert "is 43200, but the job is expected to take 302." in problems[0].message
        assert "10.00 h of work, 0.500 interruptions an hour, no checkpoints counted on" in problems[0].message

    def test_admits_the_same_job_with_checkpoints(self) -> None:
        found = _forecast(expected_runtime_seconds=10 * HOUR, checkpoint_interval_seconds=600)
        check(found, 12 * HOUR, 24 * HOUR)

    def test_does_not_refuse_what_it_knows_nothing_of(self) -> None:
        check(_forecast(), 60, 60)


class TestLimits:
    def test_waits_twice_as_long_as_it_may_run_unless_it_is_said(self) -> None:
        assert max_wait_seconds({"max_runtime_seconds": 60}) == 120
        assert max_wait_seconds({"max_runtime_seconds": 60, "max_wait_seconds": 90}) == 90

    def test_assumes_something_of_every_instance_type(self) -> None:
        assert assumptions("ml.m5.large").interruptions_per_hour > 0
