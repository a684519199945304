"""A refusal says which limit, its value, the use, the request, what would fit, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.errors import QuotaExceeded
from chalicelib.jobs.job import Allocation, Backend
from chalicelib.quotas import charge, refusal
from chalicelib.quotas.quota import Account, Limits, Owner, Reservation, shortfalls
from chalicelib.quotas.refusal import Held

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CPU = Allocation(Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 20, Decimal("0.115"), "list", "2026-01-01")
GPU = replace(CPU, instance_type="ml.g4dn.xlarge", gpu_count=1, gpu_type="t4", cpu_cores=4)
ALICE = Owner("acme", "alice")
HOUR = charge.reservation(CPU, 3600, NOW)


def refused(
    limits: Limits,
    allocation: Allocation = CPU,
    wanted: Reservation | None = None,
    now: dict[str, Any] | None = None,
    of_month: dict[str, Any] | None = None,
    held: Sequence[Held] = (),
) -> QuotaExceeded:
    wanted = wanted or charge.reservation(allocation, 3600, NOW)
    account = Account(ALICE, limits, "2026-11", now or {}, of_month or {})
    return refusal.of(list(shortfalls(account, wanted)), allocation, wanted, lambda _: held, NOW)


class TestRefusal:
    def test_names_limit_use_and_request(self) -> None:
        error = refused(Limits(max_concurrent_jobs=5), now={"jobs": 5})
        (entry,) = error.extra["limits"]
        assert entry == {
            "scope": "user",
            "limit": "max_concurrent_jobs",
            "unit": "jobs",
            "limit_value": 5,
            "used": 5,
            "requested": 1,
            "fits_at": None,
        }
        assert "your limit max_concurrent_jobs is 5, of which 5 are used or reserved" in error.detail

    def test_says_when_enough_open_jobs_are_expected_to_have_ended(self) -> None:
        held = [Held(charge.reservation(GPU, 60, NOW), NOW + timedelta(hours=hours)) for hours in (3, 1, 2)]
        wanted = charge.reservation(replace(GPU, gpu_count=2), 3600, NOW)
        error = refused(Limits(max_gpus={"t4": 4}), GPU, wanted, now={"gpus_t4": 4}, held=held)
        assert error.retry_at == NOW + timedelta(hours=2)

    def test_of_a_months_limit_says_the_first_of_the_next_and_the_time_that_still_fits(self) -> None:
        error = refused(Limits(max_cpu_hours_per_month=10), of_month={"cpu_seconds": 9 * 3600})
        assert error.retry_at == datetime(2026, 12, 1, tzinfo=UTC)
        (problem,) = error.problems
        assert problem.field == "config.max_runtime_seconds"
        assert f"at most {3600 // 2 - charge.STOP_GRACE_SECONDS}" in problem.cure
        fitting = charge.reservation(CPU, 3600 // 2 - charge.STOP_GRACE_SECONDS, NOW)
        account = Account(ALICE, Limits(max_cpu_hours_per_month=10), "2026-11", {}, {"cpu_seconds": 9 * 3600})
        assert not list(shortfalls(account, fitting))

    def test_of_what_can_never_fit_names_no_time(self) -> None:
        error = refused(Limits(max_usd_per_month=Decimal("0.01")))
        assert error.retry_at is None
        assert error.extra["fits_at"] is None

    def test_of_several_limits_fits_when_the_last_one_does(self) -> None:
        limits = Limits(max_concurrent_jobs=1, max_usd_per_month=Decimal(1))
        held = [Held(HOUR, NOW + timedelta(hours=1))]
        error = refused(limits, now={"jobs": 1}, of_month={"cost_usd": Decimal(1)}, held=held)
        assert [entry["limit"] for entry in error.extra["limits"]] == ["max_concurrent_jobs", "max_usd_per_month"]
        assert error.retry_at == datetime(2026, 12, 1, tzinfo=UTC)

    def test_of_storage_names_the_disk_that_fits(self) -> None:
        error = refused(Limits(max_storage_gb=100), CPU, now={"storage_bytes": 75 * 10**9, "used_storage_bytes": 0})
        assert error.problems == () or "disk_gb 25" in error.problems[0].cure

    @pytest.mark.parametrize("lowered", [0, 3])
    def test_of_a_limit_that_was_lowered_below_the_use_still_speaks_sense(self, lowered: int) -> None:
        error = refused(Limits(max_concurrent_jobs=lowered), now={"jobs": 5})
        (entry,) = error.extra["limits"]
        assert (entry["limit_value"], entry["used"]) == (lowered, 5)
