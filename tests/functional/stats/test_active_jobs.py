"""Jobs that wait or run, with what they have measured: read from two indexes and an item a job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, VIEWER
from tests.functional.stats.conftest import Stats

AT = 1_772_366_400_000
AT_TEXT = "2026-03-01T12:00:00"


def told(
    job_id: str, *values: float, total: int, latest: int = AT, since: int = 1, token: str = "token-1", **more: Any
) -> str:
    """A line of metrics, as the agent prints it."""
    points = [["loss", value, step, None, latest] for step, value in enumerate(values)]
    line = {"j": f"acme#{job_id}", "n": 1, "k": token, "t": "metrics", "points": points}
    return "#aimatrix " + json.dumps({**line, "since": since, "total": total, "latest": latest, **more})


def counted(stats: Stats, job_id: str) -> tuple[int, str | None]:
    (job,) = (each for each in stats.ask("active-jobs").json["jobs"] if each["job_id"] == job_id)
    return job["metric_count"], job.get("last_metric_timestamp")


class TestList:
    def test_has_who_waits_then_who_runs_and_nobody_who_has_ended(self, stats: Stats) -> None:
        stats.ended()
        running = stats.running()
        stats.jobs.clock.advance(1)
        waiting = stats.submitted()
        shown = stats.ask("active-jobs").json["jobs"]
        assert [(job["job_id"], job["status"]) for job in shown] == [
            (waiting.job_id, "pending"),
            (running.job_id, "running"),
        ]
        assert (shown[1]["framework"], shown[1]["config"]["dataset_path"], shown[1]["metric_count"]) == (
            *("sklearn", running.config["dataset_path"], 0),
        )
        assert "last_metric_timestamp" not in shown[1]

    def test_is_ones_own_without_the_permission_for_everybodys(self, stats: Stats) -> None:
        own, other = stats.running(ALICE).job_id, stats.submitted(BOB).job_id
        seen = {
            caller.user: [job["job_id"] for job in stats.ask("active-jobs", caller).json["jobs"]]
            for caller in (ALICE, BOB, VIEWER, ADMIN)
        }
        assert seen == {"alice": [own], "bob": [other], "vera": [other, own], "root": [other, own]}
        assert [job["job_id"] for job in stats.ask("active-jobs?user_id=alice", ADMIN).json["jobs"]] == [own]
        assert stats.ask("active-jobs?user_id=bob", ALICE).json["jobs"] == []
        assert stats.ask("active-jobs", STRANGER).json["jobs"] == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
    def test_goes_on_by_cursor_over_both_lists(self, stats: Stats, limit: int) -> None:
        made = [stats.submitted().job_id for _ in range(3)] + [stats.running().job_id for _ in range(2)]
        seen: list[str] = []
        cursor = ""
        while True:
            page = stats.ask(f"active-jobs?limit={limit}{cursor}").json
            assert len(page["jobs"]) <= limit
            seen += [job["job_id"] for job in page["jobs"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert sorted(seen) == sorted(made)

    def test_does_not_follow_a_cursor_that_it_did_not_give(self, stats: Stats) -> None:
        stats.submitted()
        for cursor in ("eHg", "eyJzdGF0dXMiOiJmYWlsZWQifQ", "eyJwayI6ImEifQ", "eyJzdGF0dXMiOiJwZW5kaW5nIiwieCI6MX0"):
            answer = stats.ask(f"active-jobs?cursor={cursor}")
            assert (answer.status, answer.json["errors"][0]["field"]) == (400, "cursor"), cursor

    def test_reads_two_indexes_and_an_item_a_job_however_many_points_there_are(self, stats: Stats) -> None:
        for _ in range(2):
            stats.submitted()
        ran = [stats.running() for _ in range(2)]
        stats.jobs.reports.take(
            [told(job.job_id, *range(500), total=500, token=f"token-{n}") for n, job in enumerate(ran, 1)]
        )
        answer, calls = stats.counted("active-jobs")
        assert [job["metric_count"] for job in answer.json["jobs"]] == [0, 0, 500, 500]
        assert calls == {"Query": 2, "BatchGetItem": 1}
        _, calls = stats.counted("active-jobs?limit=2")
        assert calls == {"Query": 1, "BatchGetItem": 1}

    def test_of_nobody_reads_no_metrics(self, stats: Stats) -> None:
        answer, calls = stats.counted("active-jobs")
        assert (answer.json["jobs"], calls) == ([], {"Query": 2})


class TestMetricCount:
    def test_is_what_was_told_however_often_and_in_whatever_order(self, stats: Stats) -> None:
        job_id = stats.running().job_id
        lines = [
            told(job_id, 0.5, 0.4, total=2, latest=AT + 1000),
            told(job_id, 0.3, total=3, latest=AT + 2000),
        ]
        stats.jobs.reports.take(lines)
        for delivery in (lines, lines[::-1], lines[:1]):
            stats.jobs.reports.take(delivery)
        assert counted(stats, job_id) == (3, f"{AT_TEXT[:-2]}02.000Z")

    def test_is_that_of_all_points_that_are_kept(self, stats: Stats) -> None:
        job_id = stats.running().job_id
        for step in range(4):
            points = [["loss", 0.1, step, None, AT + step], ["auc", 0.9, step, None, AT + step]]
            stats.jobs.reports.take([told(job_id, total=2 * (step + 1), latest=AT + step, points=points)])
        kept = stats.jobs.metrics.read("acme", job_id, name=None, limit=100).points
        assert counted(stats, job_id) == (len(kept), f"{AT_TEXT}.003Z")

    def test_goes_on_where_an_attempt_lost_its_machine(self, stats: Stats) -> None:
        job_id = stats.running().job_id
        before, after = told(job_id, 1, 2, total=2, since=1), told(job_id, 3, total=1, since=2, latest=AT + 500)
        stats.jobs.reports.take([before])
        stats.jobs.reports.take([after, before])
        stats.jobs.reports.take([before])
        assert counted(stats, job_id) == (3, f"{AT_TEXT}.500Z")

    @pytest.mark.parametrize("wrong", [{"total": "x"}, {"since": None}, {"latest": 10**30}, {"total": -5}])
    def test_that_is_malformed_takes_no_points_with_it(self, stats: Stats, wrong: dict[str, Any]) -> None:
        job_id = stats.running().job_id
        points = [["loss", 0.5, 0, None, AT]]
        stats.jobs.reports.take([told(job_id, points=points, **{"total": 1, **wrong})])
        assert counted(stats, job_id)[0] == 0
        assert len(stats.jobs.metrics.read("acme", job_id, name=None, limit=10).points) == 1

    def test_goes_with_its_job(self, stats: Stats) -> None:
        job_id = stats.running().job_id
        stats.jobs.reports.take([told(job_id, 0.5, total=1)])
        stats.jobs.metrics.delete("acme", job_id)
        assert counted(stats, job_id) == (0, None)
