"""What a job costs by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from chalicelib.costs.bill import running_usd
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job, TimeLimit
from chalicelib.quotas import charge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MADE = NOW - timedelta(hours=10)
GIVEN = Allocation(Backend.SAGEMAKER, "ml.p3", 1, 1, "v100", 8, 61, 100, Decimal("3.6"), "invented", "2026-01-01")
JOB = Job(
    tenant="acme",
    job_id="job-1",
    user="alice",
    name="churn",
    framework="pytorch",
    config={},
    allocation=GIVEN,
    created_at=MADE,
    updated_at=MADE,
    time_limit=TimeLimit(36_000),
    reservation=charge.reservation(GIVEN, 36_000, MADE),
    started_at=NOW - timedelta(hours=9),
)


def attempt(number: int, **more: datetime | int) -> Attempt:
    return replace(Attempt("acme", "job-1", number, "token", Backend.SAGEMAKER, MADE), **more)  # type: ignore[arg-type]


class TestRunningCost:
    def test_counts_what_ended_as_it_is_billed_and_what_runs_since_it_has_its_instance(self) -> None:
        attempts = [attempt(1, billable_seconds=600), attempt(2, started_at=NOW - timedelta(seconds=100))]
        assert running_usd(JOB, attempts, NOW) == Decimal("0.7")

    def test_counts_nothing_for_the_time_in_the_queue(self) -> None:
        assert running_usd(JOB, [attempt(1, billable_seconds=600)], NOW) == Decimal("0.6")
        assert running_usd(JOB, [attempt(1, billable_seconds=600), attempt(2)], NOW) == Decimal("0.6")

    def test_knows_the_start_from_the_agent_before_the_backend_says_so(self) -> None:
        assert running_usd(JOB, [attempt(1)], NOW) == Decimal("32.4")

    def test_is_never_less_than_nothing(self) -> None:
        assert running_usd(JOB, [attempt(1, started_at=NOW + timedelta(seconds=5))], NOW) == 0
