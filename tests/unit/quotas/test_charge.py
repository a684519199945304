"""What a job may take at most and what it took: to the second and to the millionth of a dollar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.costs.bill import bill
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job, TimeLimit
from chalicelib.quotas import charge
from chalicelib.quotas.quota import Amounts, month_of, start_of_next_month

CPU = Allocation(Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 20, Decimal("0.115"), "list", "2026-01-01")
GPUS = replace(CPU, instance_type="ml.p4d.24xlarge", gpu_count=8, gpu_type="a100", cpu_cores=96)
WITH_DISK = replace(CPU, disk_price_per_hour_usd=Decimal("0.00575342"))
NOW = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)


def job(allocation: Allocation) -> Job:
    return Job(
        tenant="acme",
        job_id="j",
        user="alice",
        name="churn",
        framework="pytorch",
        config={},
        allocation=allocation,
        created_at=NOW,
        updated_at=NOW,
        time_limit=TimeLimit(3600),
        reservation=charge.reservation(allocation, 3600, NOW),
    )


def attempt(billable_seconds: int) -> Attempt:
    return Attempt("acme", "j", 1, "t", Backend.SAGEMAKER, NOW, billable_seconds=billable_seconds)


class TestReservation:
    def test_is_the_time_limit_and_the_grace_to_stop_in(self) -> None:
        held = charge.reservation(CPU, 3600, NOW)
        assert held.most == Amounts(0, 2 * 3720, Decimal("0.118834"), 20 * 10**9)
        assert held.held() == {"jobs": 1, "storage_bytes": 20 * 10**9}

    def test_counts_the_disk_where_it_is_charged(self) -> None:
        assert charge.reservation(WITH_DISK, 3600, NOW).most.cost_usd == Decimal("0.124779")

    def test_holds_all_gpus_of_the_instance(self) -> None:
        held = charge.reservation(GPUS, 3600, NOW)
        assert held.held()["gpus_a100"] == 8
        assert held.most.gpu_seconds == 8 * 3720

    def test_belongs_to_the_month_of_its_submission(self) -> None:
        assert charge.reservation(CPU, 3600, NOW).month == "2026-11"
        assert charge.reservation(CPU, 3600, NOW + timedelta(seconds=1)).month == "2026-12"

    @given(st.integers(0, 3_000_000), st.integers(0, 3_000_000))
    def test_is_never_less_than_what_a_job_within_its_limit_takes(self, limit: int, seconds: int) -> None:
        held = charge.reservation(GPUS, limit, NOW).most
        took = charge.used(bill(job(GPUS), [attempt(min(seconds, limit + charge.STOP_GRACE_SECONDS))]), 0)
        assert took.gpu_seconds <= held.gpu_seconds
        assert took.cpu_seconds <= held.cpu_seconds
        assert took.cost_usd <= held.cost_usd


class TestSecondsFor:
    @given(st.decimals("0.01", "10000", places=2))
    def test_never_buys_more_time_than_the_money_pays_for(self, usd: Decimal) -> None:
        seconds = charge.seconds_for(CPU, usd)
        if seconds >= 0:
            assert charge.cost(CPU, seconds + charge.STOP_GRACE_SECONDS) <= usd

    def test_is_below_zero_when_the_money_does_not_even_pay_for_the_stop(self) -> None:
        assert charge.seconds_for(CPU, Decimal("0.001")) < 0


class TestMonths:
    @pytest.mark.parametrize(
        ("month", "following"),
        [("2026-11", datetime(2026, 12, 1, tzinfo=UTC)), ("2026-12", datetime(2027, 1, 1, tzinfo=UTC))],
    )
    def test_follow_one_another(self, month: str, following: datetime) -> None:
        assert start_of_next_month(month) == following

    def test_are_those_of_utc(self) -> None:
        assert month_of(datetime.fromisoformat("2026-12-01T00:30:00+02:00")) == "2026-11"
