"""What became of a framework's jobs: counted in the transactions that record and end them, once, and for good."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.errors import QuotaExceeded
from chalicelib.identity.caller import Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job
from chalicelib.quotas.quota import Limits
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, VIEWER
from tests.functional.stats.conftest import Stats

GPU: dict[str, Any] = {"resource_requirements": {"gpu_count": 1, "gpu_type": "t4"}}
DEPLOYER = Caller("acme", "dora", frozenset({"MODEL_DEPLOYER"}))


def shown(stats: Stats, query: str = "") -> dict[str, dict[str, Any]]:
    found = stats.ask(f"frameworks{query}", VIEWER).json["frameworks"]
    return {each.pop("framework"): each for each in found}


def counts(stats: Stats, framework: str = "sklearn", query: str = "") -> tuple[int, ...]:
    """Total, completed, failed, cancelled."""
    found = shown(stats, query).get(framework)
    names = ("total_jobs", "completed_jobs", "failed_jobs", "cancelled_jobs")
    return tuple(found[name] for name in names) if found else ()


class TestTotals:
    def test_are_what_the_records_say(self, stats: Stats) -> None:
        jobs: list[Job] = [
            stats.ended(seconds=100, **GPU),
            stats.ended(BOB, seconds=50, **GPU),
            stats.ended(seconds=7, state=BackendState.FAILED),
        ]
        never_ran = stats.submitted(BOB)
        stats.jobs.service.cancel(BOB, never_ran.job_id)
        stats.jobs.finishing.finish("acme", never_ran.job_id, None)
        stats.running()
        stats.submitted(framework="pytorch")
        took = [job.elapsed_seconds(stats.jobs.clock()) or 0 for job in jobs]
        gpu_seconds = sum(job.used.gpu_seconds for job in jobs if job.used)
        assert (took, gpu_seconds) == ([100, 50, 7], 150)
        assert shown(stats) == {
            "pytorch": {"total_jobs": 1, "completed_jobs": 0, "failed_jobs": 0, "cancelled_jobs": 0, "gpu_hours": 0.0},
            "sklearn": {
                "total_jobs": 5,
                "completed_jobs": 2,
                "failed_jobs": 1,
                "cancelled_jobs": 1,
                "mean_duration_seconds": round(sum(took) / 3, 3),
                "gpu_hours": round(gpu_seconds / 3600, 6),
            },
        }

    def test_count_a_job_on_the_day_of_its_submission_whenever_it_ends(self, stats: Stats) -> None:
        stats.jobs.clock.moment = datetime(2026, 3, 31, 23, 59, 50, tzinfo=UTC)
        stats.ended(seconds=7000)
        assert counts(stats, query="?from=2026-03-31&to=2026-03-31") == (1, 1, 0, 0)
        assert counts(stats, query="?from=2026-04-01&to=2026-04-30") == ()
        assert counts(stats) == ()  # by now it is April

    def test_are_of_both_days_and_those_between(self, stats: Stats) -> None:
        for day in (1, 2, 3, 4):
            stats.jobs.clock.moment = datetime(2026, 3, day, 12, tzinfo=UTC)
            stats.ended()
        asked = stats.ask("frameworks?from=2026-03-02&to=2026-03-03", VIEWER).json
        assert (asked["from"], asked["to"]) == ("2026-03-02", "2026-03-03")
        assert counts(stats, query="?from=2026-03-02&to=2026-03-03") == (2, 2, 0, 0)
        assert counts(stats, query="?to=2026-03-03") == (3, 3, 0, 0)

    def test_add_up_days_that_are_not_alike(self, stats: Stats) -> None:
        stats.jobs.clock.moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
        stats.ended(seconds=60)
        stats.ended(state=BackendState.FAILED)
        stats.jobs.clock.moment = datetime(2026, 3, 2, 12, tzinfo=UTC)
        stats.ended(seconds=180)
        stats.ended(framework="xgboost")
        stats.submitted()
        assert counts(stats) == (4, 2, 1, 0)

    def test_are_for_those_who_see_everybodys_jobs_of_their_tenant(self, stats: Stats) -> None:
        stats.submitted()
        answers = [stats.ask("frameworks", caller).status for caller in (ALICE, DEPLOYER, VIEWER, ADMIN)]
        assert answers == [403, 403, 200, 200]
        assert stats.ask("frameworks", STRANGER).json["frameworks"] == []

    def test_refuse_what_is_no_period(self, stats: Stats) -> None:
        answer = stats.ask("frameworks?from=2026-03-09&to=2026-03-01", VIEWER)
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "from")
        assert stats.ask("frameworks?since=2026-03-09", VIEWER).status == 400

    def test_of_any_period_cost_one_query(self, stats: Stats) -> None:
        for day in range(1, 6):
            stats.jobs.clock.moment = datetime(2026, 3, day, tzinfo=UTC)
            stats.ended()
        answer, calls = stats.counted("frameworks?from=2025-04-01&to=2026-03-31", VIEWER)
        assert answer.json["frameworks"][0]["total_jobs"] == 5
        assert calls == {"Query": 1}


class TestOnce:
    def test_a_submission_that_is_repeated_counts_once(self, stats: Stats) -> None:
        request = stats.jobs.request()
        for _ in range(3):
            stats.jobs.service.submit(ALICE, request, "key-1")
        assert counts(stats) == (1, 0, 0, 0)

    def test_a_submission_that_is_refused_does_not_count(self, stats: Stats) -> None:
        stats.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=0))
        with pytest.raises(QuotaExceeded):
            stats.submitted()
        assert shown(stats) == {}

    def test_an_end_that_is_repeated_counts_once(self, stats: Stats) -> None:
        job = stats.ended(**GPU)
        before = shown(stats)
        for _ in range(3):
            stats.jobs.finishing.finish("acme", job.job_id, "once more")
        assert shown(stats) == before
        assert counts(stats) == (1, 1, 0, 0)

    def test_a_deleted_job_stays_counted(self, stats: Stats) -> None:
        job = stats.ended(**GPU)
        before = shown(stats)
        stats.jobs.deletion.delete(ADMIN, job.job_id)
        assert shown(stats) == before
