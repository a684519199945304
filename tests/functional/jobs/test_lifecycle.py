"""What the state machine asks for, step by step, and what must hold when steps are repeated, lost or late."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from chalicelib.capacity.pool import Pool
from chalicelib.costs.bill import usd
from chalicelib.costs.estimate import Runtimes
from chalicelib.errors import RefusedValue
from chalicelib.jobs.finishing import StillRunning
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Attempt, Backend, Checkpointing, JobStatus, attempt_prefix
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.spot import History, Intervals
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs


@pytest.fixture
def job_id(jobs: Jobs) -> str:
    return jobs.service.submit(ALICE, jobs.request(), None).job_id


def _name(job_id: str, number: int = 1) -> str:
    return f"aimatrix-{job_id}-{number}"


def _leave_manifest(jobs: Jobs, job_id: str, **values: Any) -> None:
    jobs.objects.write_json(f"{attempt_prefix('acme', job_id, 1)}manifest.json", {"schema": 1, **values})


class TestPlan:
    def test_gives_the_request_and_leaves_the_spec_for_the_agent(self, jobs: Jobs, job_id: str) -> None:
        jobs.upload(ALICE, "requirements.txt", b"rich\n")
        answer = jobs.lifecycle.plan("acme", job_id)
        spec = jobs.objects.read_json(f"{attempt_prefix('acme', job_id, 1)}spec.json")
        assert (answer["next"], answer["attempt"]) == ("sagemaker", 1)
        assert answer["request"]["TrainingJobName"] == _name(job_id)
        assert answer["request"]["Environment"]["AIMATRIX_SPEC_URI"].endswith("/attempt-1/spec.json")
        assert spec is not None
        assert spec["requirements"]["uri"].endswith("/requirements.txt")
        assert spec["inference"] is None
        assert "checkpoints" not in spec
        assert (spec["dataset"]["objects"], spec["dataset"]["bytes"]) == (1, 8)

    def test_repeated_gives_the_same_attempt_with_the_same_token(self, jobs: Jobs, job_id: str) -> None:
        first, second = (jobs.lifecycle.plan("acme", job_id) for _ in range(2))
        assert first == second
        assert [attempt.token for attempt in jobs.store.attempts("acme", job_id)] == ["token-1"]

    def test_counts_an_attempt_that_a_crash_left_uncounted(self, jobs: Jobs, job_id: str) -> None:
        jobs.store.put_attempt(Attempt("acme", job_id, 1, "token-0", Backend.SAGEMAKER, jobs.clock()))
        jobs.lifecycle.plan("acme", job_id)
        assert jobs.service.get(ALICE, job_id).attempts == 1
        jobs.backends.sagemaker.says(_name(job_id), BackendState.COMPLETED)
        assert jobs.finishing.finish("acme", job_id, None).status is JobStatus.COMPLETED

    def test_plans_for_batch_with_a_definition_of_the_image(self, jobs: Jobs) -> None:
        request = jobs.request(environment={"backend": "batch", "docker_image": "team/image:1"})
        job = jobs.service.submit(ALICE, request, None)
        answer = jobs.lifecycle.plan("acme", job.job_id)
        assert answer["next"] == "batch"
        assert answer["request"]["jobDefinition"] == "definition-of-team/image:1"
        spec = jobs.objects.read_json(f"{attempt_prefix('acme', job.job_id, 1)}spec.json")
        assert spec is not None
        assert spec["checkpoints"] == {"uri": f"s3://{BUCKET}/tenants/acme/jobs/{job.job_id}/checkpoints/"}

    @pytest.mark.parametrize("gpu_type", ["t4", "v100", "a100", "h100"])
    def test_plans_for_the_batch_queue_of_the_type_of_gpu(self, jobs: Jobs, gpu_type: str) -> None:
        wanted = {"gpu_count": 1, "gpu_type": gpu_type, "cpu_cores": 4, "memory_gb": 8}
        request = jobs.request(environment={"backend": "batch"}, resource_requirements=wanted)
        job = jobs.service.submit(ALICE, request, None)
        planned = jobs.lifecycle.plan("acme", job.job_id)["request"]
        assert planned["jobQueue"].endswith(f":job-queue/aimatrix-training-{gpu_type}")
        assert {"type": "GPU", "value": "1"} in planned["containerOverrides"]["resourceRequirements"]
        assert [attempt.queue for attempt in jobs.store.attempts("acme", job.job_id)] == [planned["jobQueue"]]

    def test_plans_for_the_batch_queue_of_no_gpu_whatever_type_is_named(self, jobs: Jobs) -> None:
        wanted = {"gpu_count": 0, "gpu_type": "a100", "cpu_cores": 4, "memory_gb": 8}
        request = jobs.request(environment={"backend": "batch"}, resource_requirements=wanted)
        job = jobs.service.submit(ALICE, request, None)
        assert jobs.lifecycle.plan("acme", job.job_id)["request"]["jobQueue"].endswith("/aimatrix-training-cpu")

    def test_gives_the_next_attempt_a_queue_too(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(environment={"backend": "batch"}), None)
        jobs.lifecycle.plan("acme", job.job_id)
        jobs.backends.batch.says(_name(job.job_id), BackendState.FAILED, reason="Host EC2 (instance i-1) terminated.")
        assert jobs.lifecycle.assess("acme", job.job_id, 1, None)["next"] == "retry"
        first, second = jobs.store.attempts("acme", job.job_id)
        assert first.queue is not None
        assert first.queue == second.queue

    def test_of_a_job_that_was_cancelled_meanwhile_creates_nothing(self, jobs: Jobs, job_id: str) -> None:
        jobs.service.cancel(ALICE, job_id)
        assert jobs.lifecycle.plan("acme", job_id)["next"] == "finish"
        assert jobs.store.attempts("acme", job_id) == []

    def test_waits_for_an_attempt_that_another_machine_started(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.RUNNING)
        jobs.clock.advance(1000)
        assert jobs.lifecycle.plan("acme", job_id) == {"next": "assess", "attempt": 1}
        assert jobs.lifecycle.assess("acme", job_id, 1, None) == {"next": "await", "attempt": 1, "wait_seconds": 100}

    def test_goes_to_the_end_of_an_attempt_that_ended_unseen(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.COMPLETED)
        assert jobs.lifecycle.plan("acme", job_id) == {"next": "assess", "attempt": 1}


class TestAssess:
    def test_registers_what_completed(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.COMPLETED)
        assert jobs.lifecycle.assess("acme", job_id, 1, None)["next"] == "register"

    @pytest.mark.parametrize(
        ("reason", "longest"),
        [
            ("InternalServerError: the host was lost", 2),
            ("CapacityError: Unable to provision requested ML compute capacity", 30),
        ],
    )
    def test_tries_again_what_the_script_did_not_cause(
        self, jobs: Jobs, job_id: str, reason: str, longest: int
    ) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.FAILED, reason=reason)
        answer = jobs.lifecycle.assess("acme", job_id, 1, "States.TaskFailed: it failed")
        assert (answer["next"], answer["attempt"]) == ("retry", 2)
        assert longest / 2 <= answer["wait_seconds"] <= longest
        assert jobs.lifecycle.assess("acme", job_id, 1, None) == answer
        assert jobs.lifecycle.plan("acme", job_id)["request"]["TrainingJobName"] == _name(job_id, 2)
        assert jobs.service.get(ALICE, job_id).attempts == 2

    def test_does_not_try_again_for_ever(self, jobs: Jobs, job_id: str) -> None:
        for number in range(1, 5):
            jobs.lifecycle.plan("acme", job_id)
            jobs.backends.sagemaker.says(_name(job_id, number), BackendState.FAILED, reason="InternalServerError")
            answer = jobs.lifecycle.assess("acme", job_id, number, None)
        assert answer["next"] == "finish"

    def test_tries_a_failing_script_again_when_the_user_asks_for_it(self, jobs: Jobs) -> None:
        request = jobs.request(retry={"on": ["script"], "max_attempts": 2})
        job_id = jobs.service.submit(ALICE, request, None).job_id
        answers = []
        for number in (1, 2):
            jobs.lifecycle.plan("acme", job_id)
            reason = "AlgorithmError: flaky, exit code: 3"
            jobs.backends.sagemaker.says(_name(job_id, number), BackendState.FAILED, reason=reason)
            answers.append(jobs.lifecycle.assess("acme", job_id, number, None)["next"])
        assert answers == ["retry", "finish"]
        assert [attempt.cause for attempt in jobs.store.attempts("acme", job_id)] == ["script", "script"]

    def test_does_not_try_again_what_the_user_has_left_out(self, jobs: Jobs) -> None:
        job_id = jobs.service.submit(ALICE, jobs.request(retry={"on": ["capacity"]}), None).job_id
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.FAILED, reason="InternalServerError: lost")
        assert jobs.lifecycle.assess("acme", job_id, 1, None)["next"] == "finish"

    def test_does_not_repeat_a_failing_script(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.FAILED, reason="AlgorithmError: ..., exit code: 3")
        _leave_manifest(jobs, job_id, reason="ValueError: no rows left")
        assert jobs.lifecycle.assess("acme", job_id, 1, None)["next"] == "finish"
        job = jobs.finishing.finish("acme", job_id, None)
        assert (job.status, job.failure_reason) == (JobStatus.FAILED, "ValueError: no rows left")

    def test_does_not_repeat_what_was_refused(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        error = "SageMaker.AmazonSageMakerException: 1 validation error detected"
        assert jobs.lifecycle.assess("acme", job_id, 1, error)["next"] == "finish"
        assert jobs.finishing.finish("acme", job_id, None).failure_reason == error

    def test_does_not_retry_a_cancelled_job(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.service.cancel(ALICE, job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.FAILED, reason="InternalServerError")
        assert jobs.lifecycle.assess("acme", job_id, 1, None)["next"] == "finish"

    def test_says_that_the_limit_was_reached(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.STOPPED, timed_out=True)
        jobs.lifecycle.assess("acme", job_id, 1, None)
        reason = jobs.finishing.finish("acme", job_id, None).failure_reason
        assert reason is not None
        assert "max_runtime_seconds" in reason


class TestFinish:
    def test_completes_with_artifacts_and_remembers_how_long_it_took(self, jobs: Jobs, job_id: str) -> None:
        artifact = {"name": "model.tar.gz", "type": "model", "path": "s3://x", "size_bytes": 1, "checksum": "00"}
        jobs.lifecycle.plan("acme", job_id)
        jobs.lifecycle.running("acme", job_id, jobs.clock(), "Training")
        jobs.clock.advance(60)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.COMPLETED)
        _leave_manifest(jobs, job_id, artifacts=[artifact])
        job = jobs.finishing.finish("acme", job_id, None)
        assert (job.status, job.artifacts) == (JobStatus.COMPLETED, (artifact,))
        past = jobs.store.runtimes("acme", "churn", job.allocation.instance_type)
        assert past.read(past.table.get_many(past.keys)) == Runtimes(1, 60, 3600)

    def test_happens_once_whatever_comes_later(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.COMPLETED)
        first = jobs.finishing.finish("acme", job_id, None)
        jobs.clock.advance(5)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.FAILED, reason="late")
        again = jobs.finishing.finish("acme", job_id, "States.Timeout: late")
        jobs.lifecycle.running("acme", job_id, jobs.clock(), "Training")
        jobs.lifecycle.observe("acme", job_id, 1)
        assert first == again == jobs.store.get("acme", job_id)

    def test_of_a_cancelled_job_is_cancelled_and_stops_what_still_runs(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.service.cancel(ALICE, job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.RUNNING)
        with pytest.raises(StillRunning):
            jobs.finishing.finish("acme", job_id, "States.Timeout: the machine gave up")
        assert jobs.backends.sagemaker.stopped == [_name(job_id)]
        jobs.backends.sagemaker.says(_name(job_id), BackendState.STOPPED, billable_seconds=30)
        job = jobs.finishing.finish("acme", job_id, "States.Timeout: the machine gave up")
        assert (job.status, job.failure_reason) == (JobStatus.CANCELLED, None)
        assert job.used is not None
        assert job.used.cpu_seconds == 30 * job.allocation.cpu_cores

    def test_before_any_attempt_keeps_the_error(self, jobs: Jobs, job_id: str) -> None:
        job = jobs.finishing.finish("acme", job_id, "Lambda.Unknown: the plan failed")
        assert (job.status, job.failure_reason) == (JobStatus.FAILED, "Lambda.Unknown: the plan failed")


class TestObserve:
    def test_sees_that_a_job_runs(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.STARTING, secondary_status="Downloading")
        jobs.lifecycle.observe("acme", job_id, 1)
        pending = jobs.service.get(ALICE, job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.RUNNING, secondary_status="Training")
        jobs.lifecycle.observe("acme", job_id, 1)
        running = jobs.service.get(ALICE, job_id)
        assert (pending.status, pending.secondary_status) == (JobStatus.PENDING, "Downloading")
        assert (running.status, running.secondary_status) == (JobStatus.RUNNING, "Training")
        assert running.started_at == jobs.clock()

    def test_stops_a_job_that_was_created_while_it_was_being_cancelled(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.service.cancel(ALICE, job_id)
        assert jobs.backends.sagemaker.stopped == []
        jobs.backends.sagemaker.says(_name(job_id), BackendState.STARTING, secondary_status="Starting")
        jobs.lifecycle.observe("acme", job_id, 1)
        assert jobs.backends.sagemaker.stopped == [_name(job_id)]

    def test_remembers_where_batch_writes_the_log(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(environment={"backend": "batch"}), None)
        jobs.lifecycle.plan("acme", job.job_id)
        jobs.backends.batch.says(_name(job.job_id), BackendState.RUNNING, log_stream="def/default/1")
        jobs.lifecycle.observe("acme", job.job_id, 1)
        attempt = jobs.store.attempt("acme", job.job_id, 1)
        assert attempt is not None
        assert attempt.log_stream == "def/default/1"

    def test_does_nothing_for_an_attempt_it_does_not_know(self, jobs: Jobs, job_id: str) -> None:
        before = jobs.service.get(ALICE, job_id)
        jobs.lifecycle.observe("acme", job_id, 7)
        jobs.lifecycle.observe("umbrella", job_id, 1)
        assert jobs.service.get(ALICE, job_id) == before


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
        jobs.backends.sagemaker.says(_name(spot), BackendState.COMPLETED, **took)
        for _ in range(3):
            job = jobs.finishing.finish("acme", spot, None)
        assert job.used is not None
        assert job.used.cpu_seconds == 400 * job.allocation.cpu_cores
        history = jobs.store.spot_history("acme", job.allocation.instance_type)
        assert (history.interruptions, history.seconds) == (2, 1000)

    def test_never_runs_longer_than_it_said_however_little_is_billed(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        took = {"training_seconds": 3000, "billable_seconds": 1200}
        jobs.backends.sagemaker.says(_name(spot), BackendState.FAILED, reason="InternalServerError: lost", **took)
        assert jobs.lifecycle.assess("acme", spot, 1, None)["next"] == "retry"
        condition = jobs.lifecycle.plan("acme", spot)["request"]["StoppingCondition"]
        assert condition == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 7200}

    def test_never_waits_longer_than_it_said_over_all_attempts(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        jobs.backends.sagemaker.says(_name(spot), BackendState.FAILED, reason="InternalServerError: lost")
        jobs.clock.advance(5000)
        assert jobs.lifecycle.assess("acme", spot, 1, None)["next"] == "retry"
        condition = jobs.lifecycle.plan("acme", spot)["request"]["StoppingCondition"]
        assert condition == {"MaxRuntimeInSeconds": 2200, "MaxWaitTimeInSeconds": 2200}

    def test_says_that_no_instance_was_to_be_had_in_time(self, jobs: Jobs, spot: str) -> None:
        jobs.lifecycle.plan("acme", spot)
        ended = {"timed_out": True, "secondary_status": "MaxWaitTimeExceeded"}
        jobs.backends.sagemaker.says(_name(spot), BackendState.STOPPED, **ended)
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
        jobs.backends.sagemaker.says(_name(job_id), BackendState.COMPLETED)
        for _ in range(2):
            jobs.finishing.finish("acme", job_id, None)
        assert jobs.store.checkpoint_intervals("acme", "churn") == Intervals(6, 600)
        planned = jobs.service.plan(ALICE, jobs.request(spot=True)).spot
        assert planned
        assert planned.interval_seconds == 100

    def test_of_a_job_that_was_tried_again_are_not_learned_from(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.FAILED, reason="InternalServerError: lost")
        jobs.lifecycle.assess("acme", job_id, 1, None)
        first = jobs.clock()
        jobs.store.set_checkpointing("acme", job_id, Checkpointing(first, first + timedelta(seconds=600), 7, 1, 10))
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id, 2), BackendState.COMPLETED)
        jobs.finishing.finish("acme", job_id, None)
        assert jobs.store.checkpoint_intervals("acme", "churn") == Intervals()


class TestPreempted:
    """A low job gives way to a critical one and goes on after it: nothing is lost, nothing counted twice."""

    GPU: ClassVar = {"gpu_count": 1, "gpu_type": "t4", "cpu_cores": 2, "memory_gb": 8}

    @pytest.fixture
    def both(self, jobs: Jobs) -> tuple[str, str]:
        """A low job that was preempted, and the critical one that waits for its place."""
        jobs.admission.store.create_pool(Pool("sagemaker/t4", 1, jobs.clock(), preempt_low=True))
        low, critical = (
            jobs.service.submit(ALICE, self._request(jobs, priority), None).job_id for priority in ("low", "critical")
        )
        assert jobs.lifecycle.plan("acme", low)["next"] == "sagemaker"
        jobs.backends.sagemaker.says(_name(low), BackendState.RUNNING)
        jobs.lifecycle.observe("acme", low, 1)
        jobs.objects.write_json(f"tenants/acme/jobs/{low}/checkpoints/epoch-1.json", {})
        jobs.clock.advance(600)
        assert jobs.lifecycle.plan("acme", critical) == {"next": "wait", "attempt": 1}
        jobs.admission.begin_to_wait("acme", critical, "token of the critical one")
        assert jobs.backends.sagemaker.stopped == [_name(low)]
        jobs.backends.sagemaker.says(_name(low), BackendState.STOPPED, billable_seconds=610)
        return low, critical

    def test_waits_for_another_attempt_and_goes_on_from_its_checkpoint(self, jobs: Jobs, both: tuple[str, str]) -> None:
        low, critical = both
        answer = {"next": "retry", "attempt": 2, "wait_seconds": 0}
        assert [jobs.lifecycle.assess("acme", low, 1, None) for _ in range(2)] == [answer, answer]
        job = jobs.service.get(ALICE, low)
        assert (job.status, job.attempts, job.secondary_status) == (JobStatus.PENDING, 2, "AwaitingCapacity")
        assert job.waiting_reason is not None
        assert job.waiting_reason.startswith(f"Preempted by job {critical}")
        assert jobs.waiters.answered == ["token of the critical one"]
        assert jobs.lifecycle.plan("acme", low) == {"next": "wait", "attempt": 2}
        jobs.lifecycle.running("acme", low, jobs.clock(), None)  # a late line of the first attempt
        assert jobs.service.get(ALICE, low).status is JobStatus.PENDING

        assert jobs.lifecycle.plan("acme", critical)["next"] == "sagemaker"
        jobs.backends.sagemaker.says(_name(critical), BackendState.COMPLETED, billable_seconds=30)
        jobs.finishing.finish("acme", critical, None)
        second = jobs.lifecycle.plan("acme", low)
        assert (second["next"], second["request"]["TrainingJobName"]) == ("sagemaker", _name(low, 2))
        assert second["request"]["StoppingCondition"]["MaxRuntimeInSeconds"] == 3600 - 610
        assert second["request"]["CheckpointConfig"]["S3Uri"].endswith(f"/jobs/{low}/checkpoints/")
        jobs.backends.sagemaker.says(_name(low, 2), BackendState.COMPLETED, billable_seconds=90)
        ended = jobs.finishing.finish("acme", low, None)
        assert ended.status is JobStatus.COMPLETED
        assert ended.used is not None
        assert ended.used.gpu_seconds == 610 + 90
        assert [attempt.reason for attempt in jobs.store.attempts("acme", low)] == [
            f"Preempted by job {critical}: stopped with its checkpoint kept.",
            None,
        ]
        report = jobs.accounts.checking.tenant("acme")
        assert (report.jobs, report.differences) == (2, ())

    def test_keeps_its_reservation_while_it_waits(self, jobs: Jobs, both: tuple[str, str]) -> None:
        before = jobs.accounts.own(ALICE)
        jobs.lifecycle.assess("acme", both[0], 1, None)
        assert jobs.accounts.own(ALICE) == before
        assert jobs.accounts.checking.tenant("acme").differences == ()

    def test_is_cancelled_like_any_other_job(self, jobs: Jobs, both: tuple[str, str]) -> None:
        jobs.service.cancel(ALICE, both[0])
        assert jobs.lifecycle.assess("acme", both[0], 1, None)["next"] == "finish"
        assert jobs.finishing.finish("acme", both[0], None).status is JobStatus.CANCELLED
        assert jobs.waiters.answered == ["token of the critical one"]

    def test_is_cancelled_while_it_waits_again(self, jobs: Jobs, both: tuple[str, str]) -> None:
        jobs.lifecycle.assess("acme", both[0], 1, None)
        jobs.service.cancel(ALICE, both[0])
        assert jobs.lifecycle.plan("acme", both[0]) == {"next": "finish", "attempt": 2}
        ended = jobs.finishing.finish("acme", both[0], None)
        assert ended.used is not None
        assert (ended.status, ended.used.gpu_seconds) == (JobStatus.CANCELLED, 610)

    def test_that_completed_before_the_stop_came_is_complete(self, jobs: Jobs, both: tuple[str, str]) -> None:
        jobs.backends.sagemaker.says(_name(both[0]), BackendState.COMPLETED, billable_seconds=605)
        assert jobs.lifecycle.assess("acme", both[0], 1, None)["next"] == "register"

    def test_stopped_by_somebody_else_is_no_preemption(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(_name(job_id), BackendState.STOPPED)
        assert jobs.lifecycle.assess("acme", job_id, 1, None)["next"] == "finish"

    def _request(self, jobs: Jobs, priority: str) -> TrainingJobRequest:
        request = jobs.request(resource_requirements=self.GPU, max_runtime_seconds=3600)
        return request.model_copy(update={"priority": priority})


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
            jobs.backends.batch.says(_name(on_spot, number), BackendState.FAILED, reason=self.HOST_GONE, **took)
            answer = jobs.lifecycle.assess("acme", on_spot, number, None)
            assert (answer["next"], answer["attempt"]) == ("retry", number + 1)
            assert answer["wait_seconds"] <= 5

    def test_is_reserved_at_the_price_on_demand_and_settled_at_that_of_spot(self, jobs: Jobs, on_spot: str) -> None:
        jobs.lifecycle.plan("acme", on_spot)
        took = {"training_seconds": 1000, "billable_seconds": 1000}
        jobs.backends.batch.says(_name(on_spot), BackendState.COMPLETED, **took)
        ended = jobs.finishing.finish("acme", on_spot, None)
        (attempt,) = jobs.store.attempts("acme", on_spot)
        assert ended.used
        assert attempt.allocation
        assert ended.used.cost_usd == usd(attempt.allocation, 1000) < usd(ended.allocation, 1000)
        assert ended.used.cpu_seconds == 2 * 1000

    def test_adds_its_losses_to_what_is_known_of_the_instance_type_once(self, jobs: Jobs, on_spot: str) -> None:
        took = {"training_seconds": 600, "billable_seconds": 600}
        jobs.lifecycle.plan("acme", on_spot)
        jobs.backends.batch.says(_name(on_spot), BackendState.FAILED, reason=self.HOST_GONE, **took)
        jobs.lifecycle.assess("acme", on_spot, 1, None)
        jobs.lifecycle.plan("acme", on_spot)
        jobs.backends.batch.says(_name(on_spot, 2), BackendState.COMPLETED, **took)
        for _ in range(2):
            job = jobs.finishing.finish("acme", on_spot, None)
        assert jobs.store.spot_history("acme", job.allocation.instance_type) == History(1, 1200)

    def test_ends_when_its_wait_is_over_and_says_so(self, jobs: Jobs, on_spot: str) -> None:
        jobs.lifecycle.plan("acme", on_spot)
        jobs.clock.advance(7_190)
        jobs.backends.batch.says(_name(on_spot), BackendState.FAILED, reason=self.HOST_GONE)
        assert jobs.lifecycle.assess("acme", on_spot, 1, None)["next"] == "finish"
        ended = jobs.finishing.finish("acme", on_spot, None)
        assert "did not end within 7200 seconds on spot (max_wait_seconds)" in str(ended.failure_reason)

    def test_that_cannot_be_expected_to_end_is_refused(self, jobs: Jobs) -> None:
        with pytest.raises(RefusedValue, match="is expected to take"):
            submit_on_spot(jobs, max_runtime_seconds=86_400, expected_runtime_seconds=85_000, max_wait_seconds=90_000)


def submit_on_spot(jobs: Jobs, **config: Any) -> str:
    values = {"spot": True, "max_runtime_seconds": 3600, "max_wait_seconds": 7200, **config}
    return jobs.service.submit(ALICE, jobs.request(environment={"backend": "batch"}, **values), None).job_id
