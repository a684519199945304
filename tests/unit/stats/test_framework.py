"""What a job adds to the counters of its framework, and which days a question is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from chalicelib.errors import InvalidRequest
from chalicelib.jobs.job import Allocation, Backend, Job, JobStatus, TimeLimit
from chalicelib.quotas.quota import Amounts, Reservation
from chalicelib.stats.framework import MAX_DAYS, SUBMITTED, Period, Totals, ended

NOW = datetime(2026, 3, 15, 23, 30, tzinfo=UTC)
_ALLOCATION = Allocation(Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 20, Decimal("0.115"), "list", "2026-01-01")
JOB = Job(
    *("acme", "j-1", "alice", "churn", "sklearn", {}, _ALLOCATION, NOW, NOW),
    TimeLimit(3600),
    Reservation("2026-03", Amounts()),
)


def over(status: JobStatus, seconds: float | None, gpu_seconds: int = 0) -> Job:
    """A job that ended so; None: before it started."""
    started = None if seconds is None else NOW
    end = NOW + timedelta(seconds=seconds or 0)
    return replace(JOB, status=status, started_at=started, completed_at=end, used=Amounts(gpu_seconds=gpu_seconds))


class TestTotals:
    def test_of_jobs_are_their_sums(self) -> None:
        jobs = [
            over(JobStatus.COMPLETED, 10.0, 3600),
            over(JobStatus.COMPLETED, 20.5, 900),
            over(JobStatus.FAILED, 2.5),
            over(JobStatus.FAILED, None),
            over(JobStatus.CANCELLED, None),
        ]
        found = Totals.sum([SUBMITTED] * 6 + [ended(job) for job in jobs])
        assert (found.jobs, found.completed, found.failed, found.cancelled) == (6, 2, 2, 1)
        assert found.mean_seconds == pytest.approx((10.0 + 20.5 + 2.5) / 3)
        assert found.gpu_hours == 1.25

    def test_of_jobs_that_never_ran_have_no_mean(self) -> None:
        assert Totals.sum([SUBMITTED, ended(over(JobStatus.FAILED, None))]).mean_seconds is None

    def test_take_times_as_records_keep_them(self) -> None:
        job = replace(
            over(JobStatus.COMPLETED, 1.0),
            started_at=NOW + timedelta(microseconds=1900),
            completed_at=NOW + timedelta(microseconds=4100),
        )
        assert ended(job).milliseconds == 4 - 1

    def test_never_count_less_than_no_time(self) -> None:
        assert ended(replace(over(JobStatus.FAILED, 0.0), completed_at=NOW - timedelta(seconds=3))).milliseconds == 0


class TestPeriod:
    def test_is_the_month_until_today_where_nothing_is_said(self) -> None:
        assert Period.of(None, None, NOW) == Period(date(2026, 3, 1), date(2026, 3, 15))

    def test_begins_with_the_month_in_which_it_ends(self) -> None:
        assert Period.of(None, "2026-02-10", NOW) == Period(date(2026, 2, 1), date(2026, 2, 10))

    def test_may_be_a_day_and_a_leap_year(self) -> None:
        assert Period.of("2026-03-02", "2026-03-02", NOW) == Period(date(2026, 3, 2), date(2026, 3, 2))
        leap = Period.of("2028-01-01", "2028-12-31", NOW)
        assert (leap.last - leap.first).days + 1 == MAX_DAYS

    @pytest.mark.parametrize(
        ("first", "last", "field"),
        [
            ("2026-03-02", "2026-03-01", "from"),
            ("2027-01-01", "2028-01-02", "from"),
            ("2026-02-30", None, "from"),
            ("20260301", None, "from"),
            ("2026-W10-1", None, "from"),
            ("", None, "from"),
            (None, "yesterday", "to"),
            (None, "2026-03-01T12:00:00Z", "to"),
            (None, "٢٠٢٦-03-01", "to"),
        ],
    )
    def test_that_is_none_is_refused_by_its_field(self, first: str | None, last: str | None, field: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            Period.of(first, last, NOW)
        assert [problem.field for problem in refused.value.problems] == [field]
