"""Jobs on spot machines on both backends, and what is learned from them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.costs.bill import usd
from chalicelib.errors import RefusedValue
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Checkpointing, attempt_name, attempt_prefix
from chalicelib.jobs.spot import History, Intervals
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs


class TestSpot:
    """Managed spot: SageMaker itself goes on after an interruption; what is counted is what it says it bills."""

    @pytest.fixture
    def spot(self, jobs: Jobs) -> str:
        request = jobs.request(spot=True, max_runtime_seconds=3600, max_wait_seconds=7200)
        return jobs.service.submit(ALICE, request, None).job_id

    def test_asks_for_spot_and_says_how_long_it_may_wait(self, jobs: Jobs, spot: str, job_id: str) -> None:
        request, other = (jobs.lifecycle.plan("acme", each)["request"] for each in (spot, job_id))
        assert request["EnableManagedSpotTraining"] is True
        assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
        assert other["EnableManagedSpotTraining"] is False
        assert "MaxWaitTimeInSeconds" not in other["StoppingCondition"]

    def test_counts_what_is_billed_once_and_learns_from_interruptions(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        took = {"training_seconds": 1000, "billable_seconds": 400, "interruptions": 2}
        jobs.backends.sagemaker.says(attempt_name(spot, 1), BackendState.COMPLETED, **took)
        for _ in range(3):
            job = jobs.finishing.finish("acme", spot, None)
        assert job.used is not None
        assert job.used.cpu_seconds == 400 * job.allocation.cpu_cores
        history = jobs.store.spot_history("acme", job.allocation.instance_type)
        assert (history.interruptions, history.seconds) == (2, 1000)

    def test_never_runs_longer_than_it_said_however_little_is_billed(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        took = {"training_seconds": 3000, "billable_seconds": 1200}
        jobs.backends.sagemaker.says(
            attempt_name(spot, 1), BackendState.FAILED, reason="InternalServerError: lost", **took
        )
        assert jobs.lifecycle.assess("acme", spot, 1, None)["next"] == "retry"
        condition = jobs.lifecycle.plan("acme", spot)["request"]["StoppingCondition"]
        assert condition == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 7200}

    def test_never_waits_longer_than_it_said_over_all_attempts(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        jobs.backends.sagemaker.says(attempt_name(spot, 1), BackendState.FAILED, reason="InternalServerError: lost")
        jobs.clock.advance(5000)
        assert jobs.lifecycle.assess("acme", spot, 1, None)["next"] == "retry"
        condition = jobs.lifecycle.plan("acme", spot)["request"]["StoppingCondition"]
        assert condition == {"MaxRuntimeInSeconds": 2200, "MaxWaitTimeInSeconds": 2200}

    def test_says_that_no_instance_was_to_be_had_in_time(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        ended = {"timed_out": True, "secondary_status": "MaxWaitTimeExceeded"}
        jobs.backends.sagemaker.says(attempt_name(spot, 1), BackendState.STOPPED, **ended)
        assert jobs.lifecycle.assess("acme", spot, 1, None)["next"] == "finish"
        reason = jobs.finishing.finish("acme", spot, None).failure_reason
        assert reason == "The job did not end within 7200 seconds on spot (max_wait_seconds)."


class TestCheckpoints:
    def test_lie_where_the_user_wants_them_on_both_backends(self, jobs: Jobs) -> None:
        folder = f"s3://{BUCKET}/{ALICE.prefix}checkpoints/resnet"
        for backend in ("sagemaker", "batch"):
            request = jobs.request(checkpoint_path=folder, environment={"backend": backend})
            job = jobs.service.submit(ALICE, request, None)
            planned = jobs.lifecycle.plan("acme", job.job_id)["request"]
            if backend == "sagemaker":
                assert planned["CheckpointConfig"]["S3Uri"] == folder + "/"
            else:
                spec = jobs.objects.read_json(f"{attempt_prefix('acme', job.job_id, 1)}spec.json")
                assert spec
                assert spec["checkpoints"] == {"uri": folder + "/"}

    def test_are_learned_from_once_where_nothing_came_between(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        first = jobs.clock()
        jobs.store.set_checkpointing("acme", job_id, Checkpointing(first, first + timedelta(seconds=600), 7, 1, 10))
        jobs.backends.sagemaker.says(attempt_name(job_id, 1), BackendState.COMPLETED)
        for _ in range(2):
            jobs.finishing.finish("acme", job_id, None)
        assert jobs.store.checkpoint_intervals("acme", "churn") == Intervals(6, 600)
        planned = jobs.service.plan(ALICE, jobs.request(spot=True)).spot
        assert planned
        assert planned.interval_seconds == 100

    def test_of_a_job_that_was_tried_again_are_not_learned_from(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(attempt_name(job_id, 1), BackendState.FAILED, reason="InternalServerError: lost")
        jobs.lifecycle.assess("acme", job_id, 1, None)
        first = jobs.clock()
        jobs.store.set_checkpointing("acme", job_id, Checkpointing(first, first + timedelta(seconds=600), 7, 1, 10))
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(attempt_name(job_id, 2), BackendState.COMPLETED)
        jobs.finishing.finish("acme", job_id, None)
        assert jobs.store.checkpoint_intervals("acme", "churn") == Intervals()


class TestSpotOnBatch:
    """Batch has no managed spot: each lost machine ends an attempt, and the job goes on in the next."""

    HOST_GONE = "Host EC2 (instance i-0123456789abcdef0) terminated."

    @pytest.fixture
    def on_spot(self, jobs: Jobs) -> str:
        return submit_on_spot(jobs)

    def test_goes_to_the_spot_queue_and_costs_what_spot_costs(self, jobs: Jobs, on_spot: str) -> None:
        planned = jobs.lifecycle.plan("acme", on_spot)
        assert planned["request"]["jobQueue"].endswith("-cpu-spot")
        job, (attempt,) = jobs.store.require("acme", on_spot), jobs.store.attempts("acme", on_spot)
        assert attempt.allocation
        assert attempt.allocation.price_per_hour_usd == job.allocation.price_per_hour_usd * Decimal("0.4")
        assert "on spot 40% of it" in attempt.allocation.price_source
        assert jobs.lifecycle.plan("acme", on_spot) == planned

    def test_is_tried_again_as_often_as_it_loses_its_machine(self, jobs: Jobs, on_spot: str) -> None:
        for number in range(1, 13):
            jobs.lifecycle.plan("acme", on_spot)
            took = {"training_seconds": 60, "billable_seconds": 60}
            jobs.backends.batch.says(attempt_name(on_spot, number), BackendState.FAILED, reason=self.HOST_GONE, **took)
            answer = jobs.lifecycle.assess("acme", on_spot, number, None)
            assert (answer["next"], answer["attempt"]) == ("retry", number + 1)
            assert answer["wait_seconds"] <= 5

    def test_is_reserved_at_the_price_on_demand_and_settled_at_that_of_spot(self, jobs: Jobs, on_spot: str) -> None:
        jobs.lifecycle.plan("acme", on_spot)
        took = {"training_seconds": 1000, "billable_seconds": 1000}
        jobs.backends.batch.says(attempt_name(on_spot, 1), BackendState.COMPLETED, **took)
        ended = jobs.finishing.finish("acme", on_spot, None)
        (attempt,) = jobs.store.attempts("acme", on_spot)
        assert ended.used
        assert attempt.allocation
        assert ended.used.cost_usd == usd(attempt.allocation, 1000) < usd(ended.allocation, 1000)
        assert ended.used.cpu_seconds == 2 * 1000

    def test_adds_its_losses_to_what_is_known_of_the_instance_type_once(self, jobs: Jobs, on_spot: str) -> None:
        took = {"training_seconds": 600, "billable_seconds": 600}
        jobs.lifecycle.plan("acme", on_spot)
        jobs.backends.batch.says(attempt_name(on_spot, 1), BackendState.FAILED, reason=self.HOST_GONE, **took)
        jobs.lifecycle.assess("acme", on_spot, 1, None)
        jobs.lifecycle.plan("acme", on_spot)
        jobs.backends.batch.says(attempt_name(on_spot, 2), BackendState.COMPLETED, **took)
        for _ in range(2):
            job = jobs.finishing.finish("acme", on_spot, None)
        assert jobs.store.spot_history("acme", job.allocation.instance_type) == History(1, 1200)

    def test_ends_when_its_wait_is_over_and_says_so(self, jobs: Jobs, on_spot: str) -> None:
        jobs.lifecycle.plan("acme", on_spot)
        jobs.clock.advance(7_190)
        jobs.backends.batch.says(attempt_name(on_spot, 1), BackendState.FAILED, reason=self.HOST_GONE)
        assert jobs.lifecycle.assess("acme", on_spot, 1, None)["next"] == "finish"
        ended = jobs.finishing.finish("acme", on_spot, None)
        assert "did not end within 7200 seconds on spot (max_wait_seconds)" in str(ended.failure_reason)

    def test_that_cannot_be_expected_to_end_is_refused(self, jobs: Jobs) -> None:
        with pytest.raises(RefusedValue, match="is expected to take"):
            submit_on_spot(jobs, max_runtime_seconds=86_400, expected_runtime_seconds=85_000, max_wait_seconds=90_000)


def submit_on_spot(jobs: Jobs, **config: Any) -> str:
    values = {"spot": True, "max_runtime_seconds": 3600, "max_wait_seconds": 7200, **config}
    return jobs.service.submit(ALICE, jobs.request(environment={"backend": "batch"}, **values), None).job_id
