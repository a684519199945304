"""The agent's structured log lines become records; anything else is left alone."""

from __future__ import annotations

import base64
import gzip
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.jobs import views
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus, Progress, Run
from chalicelib.jobs.reports import lines_of, parse
from chalicelib.metrics.point import MetricPoint
from chalicelib.metrics.reading import Position
from tests.functional.jobs.conftest import ALICE, Jobs

AT = 1_772_366_400_000


def _line(
    job_id: str, kind: str, *, token: str = "token-1", tenant: str = "acme", number: int = 1, **values: Any
) -> str:
    return "#aimatrix " + json.dumps({"j": f"{tenant}#{job_id}", "n": number, "k": token, "t": kind, **values})


@pytest.fixture
def job_id(jobs: Jobs) -> str:
    made = jobs.service.submit(ALICE, jobs.request(), None).job_id
    jobs.lifecycle.plan("acme", made)
    return made


def _points(jobs: Jobs, job_id: str) -> tuple[MetricPoint, ...]:
    return jobs.metrics.read("acme", job_id, name=None, limit=1000, after=None).points


class TestReports:
    def test_take_metrics_run_progress_and_start(self, jobs: Jobs, job_id: str) -> None:
        refused = jobs.reports.take(
            [
                _line(job_id, "run", experiment_id="7", run_id="abc"),
                _line(job_id, "started", at=AT, arguments="document"),
                _line(job_id, "metrics", points=[["loss", 0.5, 1, None, AT], ["loss", 0.25, 2, 1, AT + 1]]),
                _line(job_id, "progress", epoch=1, epochs=4),
                _line(job_id, "progress", epoch=2),
            ]
        )
        report = jobs.store.report("acme", job_id)
        assert refused == 0
        assert report.run == Run("7", "abc")
        assert report.progress == Progress(epoch=2, epochs=4)
        assert report.progress.percentage() == 50
        assert [(point.value, point.step, point.epoch) for point in _points(jobs, job_id)] == [
            (0.5, 1, None),
            (0.25, 2, 1),
        ]
        assert jobs.service.get(ALICE, job_id).status is JobStatus.RUNNING

    def test_keep_why_a_script_ended_for_the_case_that_nothing_else_does(self, jobs: Jobs, job_id: str) -> None:
        jobs.reports.take([_line(job_id, "exit", code=1, signal=None, reason="OSError: File too large")])
        jobs.backends.sagemaker.says(
            f"aimatrix-{job_id}-1", BackendState.FAILED, reason="AlgorithmError: , exit code: 1"
        )
        jobs.lifecycle.assess("acme", job_id, 1, None)
        assert jobs.finishing.finish("acme", job_id, None).failure_reason == "OSError: File too large"

    def test_delivered_twice_change_nothing(self, jobs: Jobs, job_id: str) -> None:
        line = _line(job_id, "metrics", points=[["loss", 0.5, 1, None, AT]])
        jobs.reports.take([line, line])
        jobs.reports.take([line])
        assert len(_points(jobs, job_id)) == 1

    def test_keep_nan_and_infinities(self, jobs: Jobs, job_id: str) -> None:
        values = ["NaN", "Infinity", "-Infinity"]
        jobs.reports.take(
            [_line(job_id, "metrics", points=[["m", value, step, None, AT] for step, value in enumerate(values)])]
        )
        found = [point.value for point in _points(jobs, job_id)]
        assert math.isnan(found[0])
        assert found[1:] == [math.inf, -math.inf]

    @pytest.mark.parametrize("change", [{"token": "guessed"}, {"tenant": "umbrella"}, {"number": 2}, {"token": ""}])
    def test_of_an_attempt_they_do_not_belong_to_are_refused(
        self, jobs: Jobs, job_id: str, change: dict[str, Any]
    ) -> None:
        refused = jobs.reports.take([_line(job_id, "metrics", points=[["loss", 0.5, 1, None, AT]], **change)])
        assert refused == 1
        assert _points(jobs, job_id) == ()

    @pytest.mark.parametrize(
        "bad",
        [
            "#aimatrix not json",
            "#aimatrix []",
            "#aimatrix {}",
            '#aimatrix {"j": 1, "n": 1, "k": "x", "t": "metrics"}',
            "just printed",
        ],
    )
    def test_that_are_malformed_do_not_hold_up_their_neighbours(self, jobs: Jobs, job_id: str, bad: str) -> None:
        good = _line(job_id, "metrics", points=[["loss", 0.5, 1, None, AT]])
        assert jobs.reports.take([bad, good]) == 1
        assert len(_points(jobs, job_id)) == 1

    @pytest.mark.parametrize(
        "point",
        [
            ["loss"],
            ["", 1, 1, None, AT],
            ["x" * 300, 1, 1, None, AT],
            ["m", "abc", 1, None, AT],
            ["m", 1, 2**63, None, AT],
        ],
    )
    def test_with_an_impossible_point_are_refused(self, jobs: Jobs, job_id: str, point: list[Any]) -> None:
        assert jobs.reports.take([_line(job_id, "metrics", points=[point])]) == 1
        assert _points(jobs, job_id) == ()

    @pytest.mark.parametrize("name", ["\U0001f600" * 250, "%" * 250, "#" * 250, "ü" * 250])
    def test_with_the_longest_names_are_kept_and_found(self, jobs: Jobs, job_id: str, name: str) -> None:
        points = [[name, 1.0, step, None, AT] for step in (1, -(2**63), 2**63 - 1)]
        assert jobs.reports.take([_line(job_id, "metrics", points=points)]) == 0
        found = jobs.metrics.read("acme", job_id, name=name, limit=10, after=None).points
        assert [(point.name, point.step) for point in found] == [(name, -(2**63)), (name, 1), (name, 2**63 - 1)]

    @pytest.mark.parametrize("bad", [["\ud800", 1, 1, None, AT], ["late", 1, 1, None, 10**30], ["", 1, 1, None, AT], 7])
    def test_one_wrong_point_takes_no_other_with_it(self, jobs: Jobs, job_id: str, bad: Any) -> None:
        good = [["loss", 1.0, 1, None, AT], ["loss", 0.5, 2, None, AT]]
        assert jobs.reports.take([_line(job_id, "metrics", points=[good[0], bad, good[1]])]) == 1
        assert [point.step for point in _points(jobs, job_id)] == [1, 2]

    def test_never_wake_a_finished_job(self, jobs: Jobs, job_id: str) -> None:
        jobs.finishing.finish("acme", job_id, "over")
        jobs.reports.take([_line(job_id, "started", at=AT)])
        assert jobs.service.get(ALICE, job_id).status is JobStatus.FAILED


class TestCheckpoints:
    MINUTE = 60_000

    def _told(self, jobs: Jobs, job_id: str, *minutes: int) -> dict[str, Any] | None:
        lines = [_line(job_id, "checkpoint", at=AT + minute * self.MINUTE, files=minute, bytes=7) for minute in minutes]
        assert jobs.reports.take([_line(job_id, "started", at=AT), *lines]) == 0
        job = jobs.service.get(ALICE, job_id)
        seen = jobs.store.report("acme", job_id).checkpointing
        now = datetime.fromtimestamp(AT / 1000, UTC) + timedelta(minutes=30)
        return views.checkpoint(job, seen, now)

    def test_are_counted_once_however_often_they_are_told(self, jobs: Jobs, job_id: str) -> None:
        self._told(jobs, job_id, 10, 20)
        shown = self._told(jobs, job_id, 10, 20, 30, 30)
        assert shown is not None
        assert (shown["count"], shown["files"], shown["interval_seconds"], shown["is_overdue"]) == (3, 30, 600.0, False)

    def test_that_stop_coming_are_overdue(self, jobs: Jobs, job_id: str) -> None:
        shown = self._told(jobs, job_id, 1, 2, 3)
        assert shown is not None
        assert (shown["interval_seconds"], shown["is_overdue"]) == (60.0, True)

    def test_of_which_too_few_are_known_are_never_overdue(self, jobs: Jobs, job_id: str) -> None:
        shown = self._told(jobs, job_id, 1, 2)
        assert shown is not None
        assert (shown["interval_seconds"], shown["is_overdue"]) == (None, False)

    def test_that_were_promised_and_never_came_are_overdue(self, jobs: Jobs) -> None:
        made = jobs.service.submit(ALICE, jobs.request(checkpoint_interval_seconds=120), None).job_id
        jobs.lifecycle.plan("acme", made)
        shown = self._told(jobs, made)
        assert shown is not None
        assert (shown["last_at"], shown["count"], shown["is_overdue"]) == (None, 0, True)

    def test_that_nobody_spoke_of_are_not_shown(self, jobs: Jobs, job_id: str) -> None:
        assert self._told(jobs, job_id) is None

    @pytest.mark.parametrize(
        "values", [{}, {"at": "x", "files": 1, "bytes": 1}, {"at": 10**30, "files": 1, "bytes": 1}]
    )
    def test_that_are_malformed_are_refused(self, jobs: Jobs, job_id: str, values: dict[str, Any]) -> None:
        assert jobs.reports.take([_line(job_id, "checkpoint", **values)]) == 1

    def test_of_an_absurd_size_are_cut_down(self, jobs: Jobs, job_id: str) -> None:
        assert jobs.reports.take([_line(job_id, "checkpoint", at=AT, files=10**60, bytes=-(10**60))]) == 0
        seen = jobs.store.report("acme", job_id).checkpointing
        assert seen is not None
        assert (seen.files, seen.size_bytes) == (2**60, 0)


class TestMetricStore:
    def test_reads_one_metric_in_order_of_steps_also_negative_ones(self, jobs: Jobs, job_id: str) -> None:
        points = [["loss", step / 10, step, None, AT] for step in (10, 2, -1)] + [
            ["loss#2", 9, 0, None, AT],
            ["los", 9, 0, None, AT],
        ]
        jobs.reports.take([_line(job_id, "metrics", points=points)])
        found = jobs.metrics.read("acme", job_id, name="loss", limit=10, after=None).points
        assert [point.step for point in found] == [-1, 2, 10]

    def test_goes_on_where_a_page_ended(self, jobs: Jobs, job_id: str) -> None:
        jobs.reports.take([_line(job_id, "metrics", points=[["loss", step, step, None, AT] for step in range(60)])])
        first = jobs.metrics.read("acme", job_id, name="loss", limit=40, after=None)
        assert first.cursor is not None
        after = Position.from_text(first.cursor.encode(), "loss")
        rest = jobs.metrics.read("acme", job_id, name="loss", limit=40, after=after)
        assert [point.step for point in (*first.points, *rest.points)] == list(range(60))
        assert rest.cursor is None


class TestLinesOf:
    def test_unpacks_a_subscription_event(self) -> None:
        document = {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "timestamp": AT, "message": "hello"}]}
        data = base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()
        assert lines_of({"awslogs": {"data": data}}) == ["hello"]

    def test_ignores_cloudwatchs_own_test_message(self) -> None:
        document = {"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "CWL CONTROL MESSAGE"}]}
        data = base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()
        assert lines_of({"awslogs": {"data": data}}) == []


def test_a_line_that_only_looks_structured_is_none() -> None:
    assert parse("#aimatrix") is None
    assert parse(" #aimatrix {}") is None
