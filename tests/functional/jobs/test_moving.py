"""A job that goes on elsewhere: its reservation changed exactly, its money bounded, each attempt billed for itself."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.capacity.pool import Pool
from chalicelib.costs.bill import bill, usd
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Backend, Job, JobStatus
from chalicelib.quotas.quota import Limits, Owner, month_of
from chalicelib.quotas.service import owners
from tests.faults import Shows
from tests.functional.jobs.conftest import ALICE, Jobs

KILLED = "AlgorithmError: , exit code: 137"
# Two cores with 16 GB at first, four with 32 next.
MEMORY = {"gpu_count": 0, "cpu_cores": 2, "memory_gb": 12}
NO_CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry."


def submit(jobs: Jobs, **config: Any) -> Job:
    return jobs.service.submit(ALICE, jobs.request(**config), None)


def fail(jobs: Jobs, job: Job, number: int, reason: str, seconds: int = 0) -> dict[str, Any]:
    """Plan an attempt, let it end so, and assess it."""
    jobs.lifecycle.plan("acme", job.job_id)
    name = f"aimatrix-{job.job_id}-{number}"
    took = {"training_seconds": seconds, "billable_seconds": seconds} if seconds else {}
    jobs.backends.sagemaker.says(name, BackendState.FAILED, reason=reason, **took)
    return jobs.lifecycle.assess("acme", job.job_id, number, None)


def complete(jobs: Jobs, job: Job, number: int, seconds: int, backend: Backend = Backend.SAGEMAKER) -> Job:
    jobs.lifecycle.plan("acme", job.job_id)
    runs = jobs.backends.sagemaker if backend is Backend.SAGEMAKER else jobs.backends.batch
    took = {"training_seconds": seconds, "billable_seconds": seconds}
    runs.says(f"aimatrix-{job.job_id}-{number}", BackendState.COMPLETED, **took)
    return jobs.finishing.finish("acme", job.job_id, None)


def counted(jobs: Jobs, owner: Owner, counter: str) -> Any:
    return jobs.quotas.store.account(owner, month_of(jobs.clock())).count(counter)


def limit(jobs: Jobs, owner: Owner, **limits: Any) -> None:
    (before,) = jobs.quotas.store.limits(owner)
    write = jobs.quotas.store.set_limits(owner, before, Limits(**limits), "root", jobs.clock())
    jobs.quotas.store.write_limits(write)


def holds(jobs: Jobs, job: Job) -> None:
    """Every counter is what the one job has reserved."""
    for owner in owners("acme", "alice"):
        for counter, amount in {**job.reservation.held(), **job.reservation.most.monthly()}.items():
            assert counted(jobs, owner, counter) == amount, (owner, counter)


class TestLargerInstance:
    def test_runs_the_next_attempt_with_the_reservation_changed_in_the_same_transaction(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"larger_instance": True}, max_runtime_seconds=3600)
        assert fail(jobs, job, 1, KILLED, seconds=600) == {"next": "retry", "attempt": 2, "wait_seconds": 0}
        moved = jobs.store.require("acme", job.job_id)
        assert (moved.allocation.instance_type, moved.attempts) == ("ml.r5.large", 2)
        spent, worst = usd(job.allocation, 600), (3600 - 600 + 120) * moved.allocation.price_per_hour_usd / 3600
        assert moved.reservation.most.cost_usd >= spent + worst
        assert moved.reservation.most.cpu_seconds == 2 * 600 + 2 * 3120
        holds(jobs, moved)
        request = jobs.lifecycle.plan("acme", job.job_id)["request"]
        assert request["ResourceConfig"]["InstanceType"] == "ml.r5.large"
        assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 3000

    def test_twice_moves_once(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"larger_instance": True})
        fail(jobs, job, 1, KILLED, seconds=600)
        moved = jobs.store.require("acme", job.job_id)
        again = jobs.lifecycle.assess("acme", job.job_id, 1, None)
        assert (again["next"], again["attempt"]) == ("retry", 2)
        assert jobs.store.require("acme", job.job_id) == moved
        holds(jobs, moved)

    def test_bills_each_attempt_as_what_it_ran_on(self, jobs: Jobs, shows: Shows) -> None:
        job = submit(jobs, retry={"larger_instance": True})
        fail(jobs, job, 1, KILLED, seconds=600)
        ended = complete(jobs, job, 2, seconds=900)
        attempts = jobs.store.attempts("acme", job.job_id)
        first, second = (each.allocation for each in attempts)
        assert first
        assert second
        assert (first.instance_type, second.instance_type) == ("ml.m5.large", "ml.r5.large")
        total = usd(first, 600) + usd(second, 900)
        assert ended.used
        assert (ended.status, ended.used.cost_usd) == (JobStatus.COMPLETED, total)
        assert ended.used.cpu_seconds == 2 * 600 + 2 * 900
        lines = bill(ended, attempts).lines
        assert [line.allocation.instance_type for line in lines] == ["ml.m5.large", "ml.r5.large"]
        for owner in owners("acme", "alice"):
            assert counted(jobs, owner, "cost_usd") == total
            assert counted(jobs, owner, "jobs") == 0
        shows(
            10, f"out of memory, then a larger instance: USD {total} over two types; every counter as the records say"
        )

    def test_over_quota_is_refused_with_the_numbers_and_nothing_is_changed(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"larger_instance": True}, max_runtime_seconds=3600)
        limit(jobs, Owner("acme", "alice"), max_usd_per_month=Decimal("0.13"))
        assert fail(jobs, job, 1, KILLED, seconds=600)["next"] == "finish"
        ended = jobs.finishing.finish("acme", job.job_id, None)
        assert ended.allocation == job.allocation
        assert ended.status is JobStatus.FAILED
        assert "ml.r5.large" in str(ended.failure_reason)
        assert "max_usd_per_month is 0.13" in str(ended.failure_reason)
        assert counted(jobs, Owner("acme"), "cpu_seconds") == 2 * 600

    def test_over_the_jobs_own_budget_is_refused(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"larger_instance": True}, max_cost_usd=0.04, resource_requirements=MEMORY)
        assert fail(jobs, job, 1, KILLED, seconds=600)["next"] == "finish"
        reason = jobs.finishing.finish("acme", job.job_id, None).failure_reason
        assert "max_cost_usd leaves less than a minute" in str(reason)

    def test_gets_what_the_budget_pays_for_on_it(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"larger_instance": True}, max_cost_usd=0.1, max_runtime_seconds=86400)
        fail(jobs, job, 1, KILLED, seconds=600)
        moved = jobs.store.require("acme", job.job_id)
        assert moved.time_limit.set_by == "max_cost_usd"
        assert moved.time_limit.seconds < job.time_limit.seconds
        assert moved.reservation.most.cost_usd <= Decimal("0.1")

    def test_shortens_to_the_months_money_where_the_job_says_so(self, jobs: Jobs) -> None:
        limit(jobs, Owner("acme", "alice"), max_usd_per_month=Decimal("0.2"))
        job = submit(jobs, retry={"larger_instance": True}, over_budget="shorten", max_runtime_seconds=86400)
        assert fail(jobs, job, 1, KILLED, seconds=600)["next"] == "retry"
        moved = jobs.store.require("acme", job.job_id)
        assert moved.time_limit.set_by == "max_usd_per_month"
        assert counted(jobs, Owner("acme", "alice"), "cost_usd") <= Decimal("0.2")

    def test_is_not_taken_unasked(self, jobs: Jobs) -> None:
        assert fail(jobs, submit(jobs), 1, KILLED, seconds=600)["next"] == "finish"

    def test_of_a_job_that_was_cancelled_meanwhile_is_not_taken(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"larger_instance": True})
        jobs.lifecycle.plan("acme", job.job_id)
        jobs.service.cancel(ALICE, job.job_id)
        jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.FAILED, reason=KILLED)
        assert jobs.lifecycle.assess("acme", job.job_id, 1, None)["next"] == "finish"


class TestOtherTypeAndBackend:
    def test_goes_on_on_the_next_cheapest_type_at_once(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"other_instance_type": True})
        assert fail(jobs, job, 1, NO_CAPACITY)["wait_seconds"] == 0
        assert fail(jobs, job, 2, NO_CAPACITY)["wait_seconds"] == 0
        types = [each.allocation for each in jobs.store.attempts("acme", job.job_id)]
        types.append(jobs.store.require("acme", job.job_id).allocation)
        assert len({each.instance_type for each in types if each}) == 3

    def test_goes_to_batch_and_is_billed_as_batch(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"other_backend": True})
        fail(jobs, job, 1, NO_CAPACITY)
        planned = jobs.lifecycle.plan("acme", job.job_id)
        assert planned["next"] == "batch"
        assert planned["request"]["jobQueue"].endswith("-cpu")
        ended = complete(jobs, job, 2, 300, Backend.BATCH)
        assert ended.status is JobStatus.COMPLETED
        assert ended.used
        assert ended.used.cost_usd == usd(ended.allocation, 300)
        assert [each.backend for each in jobs.store.attempts("acme", job.job_id)] == [Backend.SAGEMAKER, Backend.BATCH]

    def test_waits_where_it_is_when_the_other_type_is_over_a_limit_and_says_so(self, jobs: Jobs) -> None:
        job = submit(jobs, retry={"other_instance_type": True}, max_runtime_seconds=3600)
        limit(jobs, Owner("acme", "alice"), max_usd_per_month=job.reservation.most.cost_usd)
        answer = fail(jobs, job, 1, NO_CAPACITY)
        assert answer["next"] == "retry"
        assert answer["wait_seconds"] > 0
        first, second = jobs.store.attempts("acme", job.job_id)
        assert "max_usd_per_month" in str(first.reason)
        assert second.allocation == job.allocation


class TestPool:
    def test_is_left_and_the_next_one_entered(self, jobs: Jobs) -> None:
        jobs.admission.store.create_pool(Pool("sagemaker/cpu", 4, jobs.clock()))
        job = submit(jobs, retry={"larger_instance": True}, resource_requirements=MEMORY)
        fail(jobs, job, 1, KILLED, seconds=600)
        pool = jobs.admission.store.pool("sagemaker/cpu")
        assert pool
        assert pool.in_use == 0
        assert jobs.lifecycle.plan("acme", job.job_id)["next"] == "sagemaker"
        pool = jobs.admission.store.pool("sagemaker/cpu")
        assert pool
        assert pool.in_use == 4
        complete(jobs, job, 2, 60)
        pool = jobs.admission.store.pool("sagemaker/cpu")
        assert pool
        assert pool.in_use == 0

    def test_that_has_no_room_for_the_larger_instance_lets_it_wait(self, jobs: Jobs) -> None:
        jobs.admission.store.create_pool(Pool("sagemaker/cpu", 4, jobs.clock()))
        job = submit(jobs, retry={"larger_instance": True}, resource_requirements=MEMORY)
        other = submit(jobs)
        assert jobs.lifecycle.plan("acme", other.job_id)["next"] == "sagemaker"
        fail(jobs, job, 1, KILLED, seconds=600)
        assert jobs.lifecycle.plan("acme", job.job_id)["next"] == "wait"
        waiting = jobs.store.require("acme", job.job_id)
        assert "Waits for 4 of the 4 vCPUs" in str(waiting.waiting_reason)


def test_an_attempt_that_was_recorded_before_the_move_runs_on_what_the_job_has_now(jobs: Jobs) -> None:
    job = submit(jobs, retry={"larger_instance": True})
    fail(jobs, job, 1, KILLED, seconds=600)
    (first,) = jobs.store.attempts("acme", job.job_id)
    jobs.store.put_attempt(replace(first, number=2, cause=None, reason=None, token="token-9"))
    jobs.lifecycle.plan("acme", job.job_id)
    second = jobs.store.attempt("acme", job.job_id, 2)
    assert second
    assert second.allocation
    assert (second.allocation.instance_type, second.token) == ("ml.r5.large", "token-9")


@pytest.mark.parametrize("field", ["other_instance_type", "other_backend"])
def test_a_job_on_batch_is_told_that_it_never_lacks_capacity(jobs: Jobs, field: str) -> None:
    with pytest.raises(Exception, match="waits for a machine itself"):
        submit(jobs, environment={"backend": "batch"}, retry={field: True})
