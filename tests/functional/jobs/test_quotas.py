"""A job's way through its owner's and its tenant's quota: reserved with its record, settled with its end, never twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, RefusedValue
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus, attempt_prefix
from chalicelib.models.model import Archive, Model
from chalicelib.quotas.check import Report
from chalicelib.quotas.quota import Account, Limits, Owner, month_of
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, Jobs

LIMITS = Limits(max_concurrent_jobs=2)


def account(jobs: Jobs, user: str | None = "alice", month: str | None = None) -> Account:
    return jobs.quotas.store.account(Owner("acme", user), month or month_of(jobs.clock()))


def checked(jobs: Jobs) -> Report:
    report, rest = jobs.accounts.check(ADMIN)
    assert rest is None
    return report


def ended(jobs: Jobs, job_id: str, seconds: int = 100, state: BackendState = BackendState.COMPLETED) -> None:
    """Take a job through one attempt to its end."""
    answer = jobs.lifecycle.plan("acme", job_id)
    number = answer["attempt"]
    jobs.backends.sagemaker.says(f"aimatrix-{job_id}-{number}", state, billable_seconds=seconds)
    jobs.lifecycle.assess("acme", job_id, number, None)
    jobs.finishing.finish("acme", job_id, None)


@pytest.fixture(autouse=True)
def _no_difference_after_anything(jobs: Jobs) -> Iterator[None]:
    yield
    assert checked(jobs).differences == ()


class TestReserve:
    def test_holds_the_worst_case_for_user_and_tenant(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=3600), None)
        for owner in (account(jobs), account(jobs, None)):
            assert owner.count("jobs") == 1
            assert owner.count("cpu_seconds") == job.allocation.cpu_cores * 3720
            assert owner.count("cost_usd") == job.reservation.most.cost_usd
            assert owner.used("cost_usd") == 0

    def test_refuses_over_a_users_limit_and_leaves_nothing_behind(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, "alice", LIMITS)
        for _ in range(2):
            jobs.service.submit(ALICE, jobs.request(), None)
        with pytest.raises(QuotaExceeded) as refused:
            jobs.service.submit(ALICE, jobs.request(), "key")
        assert refused.value.extra["limits"][0]["limit"] == "max_concurrent_jobs"
        assert account(jobs).count("jobs") == 2
        assert len(jobs.machine.started) == 2
        assert jobs.store.submission("acme", "alice", "key") is None

    def test_refuses_over_the_tenants_limit_whoever_asks(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, None, Limits(max_concurrent_jobs=1))
        jobs.service.submit(ALICE, jobs.request(), None)
        with pytest.raises(QuotaExceeded) as refused:
            jobs.service.submit(BOB, jobs.request(BOB), None)
        assert refused.value.extra["limits"][0]["scope"] == "tenant"
        assert account(jobs, "bob").count("jobs") == 0

    def test_counts_each_tenant_apart(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, None, Limits(max_concurrent_jobs=1))
        jobs.service.submit(ALICE, jobs.request(), None)
        assert jobs.service.submit(STRANGER, jobs.request(STRANGER), None).tenant == "umbrella"

    def test_says_when_the_first_open_job_is_expected_to_end(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=1))
        first = jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=600), None)
        with pytest.raises(QuotaExceeded) as refused:
            jobs.service.submit(ALICE, jobs.request(), None)
        assert refused.value.retry_at is not None
        assert (refused.value.retry_at - first.created_at).total_seconds() == 600

    def test_a_lowered_limit_keeps_new_jobs_out_and_lets_the_old_ones_run(self, jobs: Jobs) -> None:
        kept = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=0))
        with pytest.raises(QuotaExceeded):
            jobs.service.submit(ALICE, jobs.request(), None)
        ended(jobs, kept.job_id)
        assert jobs.service.get(ALICE, kept.job_id).status is JobStatus.COMPLETED

    def test_a_repeated_key_finds_its_job_although_the_quota_is_full_by_now(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=1))
        request = jobs.request()
        first = jobs.service.submit(ALICE, request, "key")
        assert jobs.service.submit(ALICE, request, "key").job_id == first.job_id

    def test_keeps_to_a_number_of_gpus_by_type(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, "alice", Limits(max_gpus={"t4": 1}))
        t4 = {"gpu_count": 1, "gpu_type": "t4", "cpu_cores": 4, "memory_gb": 8}
        jobs.service.submit(ALICE, jobs.request(resource_requirements=t4), None)
        with pytest.raises(QuotaExceeded, match=r"max_gpus\.t4"):
            jobs.service.submit(ALICE, jobs.request(resource_requirements=t4), None)
        v100 = {**t4, "gpu_type": "v100"}
        assert jobs.service.submit(ALICE, jobs.request(resource_requirements=v100), None)

    def test_refuses_a_longer_run_than_is_allowed(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, "alice", Limits(max_runtime_seconds=600))
        with pytest.raises(InvalidRequest, match="max_runtime_seconds"):
            jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=601), None)


class TestSettle:
    def test_gives_back_what_was_not_used(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        ended(jobs, job.job_id, seconds=100)
        for owner in (account(jobs), account(jobs, None)):
            assert owner.count("jobs") == 0
            assert owner.count("cpu_seconds") == owner.used("cpu_seconds") == 100 * job.allocation.cpu_cores
            assert owner.count("cost_usd") == owner.used("cost_usd") > 0

    def test_happens_once_however_often_the_job_is_finished(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        for _ in range(3):
            ended(jobs, job.job_id)
        assert account(jobs).count("jobs") == 0
        assert account(jobs).count("cpu_seconds") == 100 * job.allocation.cpu_cores

    def test_counts_all_attempts_and_gives_the_last_what_is_left_of_the_time(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=1000), None)
        jobs.lifecycle.plan("acme", job.job_id)
        name = f"aimatrix-{job.job_id}-1"
        jobs.backends.sagemaker.says(
            name, BackendState.FAILED, reason="InternalServerError: lost", billable_seconds=300
        )
        jobs.lifecycle.assess("acme", job.job_id, 1, None)
        second = jobs.lifecycle.plan("acme", job.job_id)
        assert second["request"]["StoppingCondition"]["MaxRuntimeInSeconds"] == 700
        ended(jobs, job.job_id, seconds=50)
        assert account(jobs).used("cpu_seconds") == 350 * job.allocation.cpu_cores

    def test_ends_the_job_when_too_little_time_is_left_for_another_attempt(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=1000), None)
        jobs.lifecycle.plan("acme", job.job_id)
        name = f"aimatrix-{job.job_id}-1"
        jobs.backends.sagemaker.says(
            name, BackendState.FAILED, reason="InternalServerError: lost", billable_seconds=950
        )
        assert jobs.lifecycle.assess("acme", job.job_id, 1, None)["next"] == "finish"
        reason = jobs.finishing.finish("acme", job.job_id, None).failure_reason
        assert reason is not None
        assert "limit of 1000 seconds" in reason

    def test_charges_the_month_of_submission_when_the_clock_jumps_over_its_end(self, jobs: Jobs) -> None:
        jobs.clock.moment = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.clock.moment = datetime(2027, 1, 2, tzinfo=UTC)
        ended(jobs, job.job_id)
        assert account(jobs, month="2026-11").used("cpu_seconds") == 100 * job.allocation.cpu_cores
        assert account(jobs, month="2027-01").count("cpu_seconds") == 0
        assert account(jobs).count("jobs") == 0

    def test_counts_what_lies_in_the_store(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        manifest = {"schema": 1, "artifacts": [{"name": "m", "size_bytes": 1234}]}
        jobs.objects.write_json(f"{attempt_prefix('acme', job.job_id, 1)}manifest.json", manifest)
        ended(jobs, job.job_id)
        assert account(jobs).count("storage_bytes") == account(jobs).used("storage_bytes") == 1234

    def test_of_a_job_that_never_ran_is_free(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.service.cancel(ALICE, job.job_id)
        jobs.finishing.finish("acme", job.job_id, None)
        assert account(jobs).count("cost_usd") == 0


class TestMoney:
    def test_a_budget_shortens_the_time_and_names_itself_when_it_ends_the_job(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(max_cost_usd=0.01), None)
        assert job.time_limit.set_by == "max_cost_usd"
        assert job.reservation.most.cost_usd <= Decimal("0.01")
        planned = jobs.lifecycle.plan("acme", job.job_id)["request"]
        assert planned["StoppingCondition"]["MaxRuntimeInSeconds"] == job.time_limit.seconds
        jobs.backends.sagemaker.says(
            f"aimatrix-{job.job_id}-1", BackendState.STOPPED, timed_out=True, billable_seconds=job.time_limit.seconds
        )
        jobs.lifecycle.assess("acme", job.job_id, 1, None)
        reason = jobs.finishing.finish("acme", job.job_id, None).failure_reason
        assert reason is not None
        assert reason.startswith("The job reached its budget of USD 0.01 (max_cost_usd)")

    def test_a_budget_that_pays_for_no_minute_is_refused_with_the_least_that_does(self, jobs: Jobs) -> None:
        with pytest.raises(RefusedValue, match="max_cost_usd"):
            jobs.service.submit(ALICE, jobs.request(max_cost_usd=0.0001), None)

    def test_over_the_months_money_is_refused_or_shortened_as_asked(self, jobs: Jobs) -> None:
        jobs.accounts.set_limits(ADMIN, "alice", Limits(max_usd_per_month=Decimal("0.05")))
        with pytest.raises(QuotaExceeded, match="max_usd_per_month"):
            jobs.service.submit(ALICE, jobs.request(), None)
        job = jobs.service.submit(ALICE, jobs.request(over_budget="shorten"), None)
        assert job.time_limit.set_by == "max_usd_per_month"
        assert account(jobs).count("cost_usd") <= Decimal("0.05")
        with pytest.raises(QuotaExceeded, match="max_usd_per_month"):
            jobs.service.submit(ALICE, jobs.request(over_budget="shorten"), None)


class TestDeletion:
    def finished(self, jobs: Jobs, **more: Any) -> str:
        job = jobs.service.submit(ALICE, jobs.request(**more), None)
        manifest = {"schema": 1, "artifacts": [{"name": "m", "size_bytes": 1234}]}
        jobs.objects.write_json(f"{attempt_prefix('acme', job.job_id, 1)}manifest.json", manifest)
        ended(jobs, job.job_id)
        return job.job_id

    def test_gives_back_storage_and_keeps_the_charge(self, jobs: Jobs) -> None:
        job_id = self.finished(jobs)
        before = account(jobs).count("cost_usd")
        jobs.deletion.delete(ADMIN, job_id)
        assert account(jobs).count("storage_bytes") == 0
        assert account(jobs).count("cost_usd") == before
        assert jobs.objects.read_json(f"{attempt_prefix('acme', job_id, 1)}manifest.json") is None
        with pytest.raises(NotFound):
            jobs.service.get(ADMIN, job_id)

    def test_happens_once(self, jobs: Jobs) -> None:
        job_id = self.finished(jobs)
        jobs.deletion.delete(ADMIN, job_id)
        with pytest.raises(NotFound):
            jobs.deletion.delete(ADMIN, job_id)
        assert account(jobs).count("storage_bytes") == 0

    def test_is_refused_while_the_job_is_open_or_a_model_needs_its_files(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        with pytest.raises(Conflict, match="cancel it first"):
            jobs.deletion.delete(ADMIN, job.job_id)
        model = Model(
            tenant="acme",
            model_id="m-1",
            user="alice",
            name="churn",
            version="1",
            framework="sklearn",
            archive=Archive("s3://x/model.tar.gz", 1, None),
            created_at=jobs.clock(),
            updated_at=jobs.clock(),
            kind="sklearn",
            servable=True,
        )
        jobs.deletion.models.create(model)
        jobs.lifecycle.set_model("acme", job.job_id, "m-1")
        ended(jobs, job.job_id)
        with pytest.raises(Conflict, match="m-1"):
            jobs.deletion.delete(ADMIN, job.job_id)
        jobs.deletion.models.delete(model)
        jobs.deletion.delete(ADMIN, job.job_id)

    def test_sees_no_other_tenants_job(self, jobs: Jobs) -> None:
        with pytest.raises(NotFound):
            jobs.deletion.delete(STRANGER, self.finished(jobs))
