"""What the state machine asks for, step by step, and what must hold when steps are repeated, lost or late."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.costs.estimate import Runtimes
from chalicelib.jobs.finishing import StillRunning
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Attempt, Backend, JobStatus, attempt_prefix
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs


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
