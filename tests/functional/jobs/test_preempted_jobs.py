"""A job that gave way to a more important one, step by step through the state machine."""

from __future__ import annotations

from typing import ClassVar

import pytest

from chalicelib.capacity.pool import Pool
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus, attempt_name
from chalicelib.jobs.request import TrainingJobRequest
from tests.functional.jobs.conftest import ALICE, Jobs


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
        jobs.backends.sagemaker.says(attempt_name(low, 1), BackendState.RUNNING)
        jobs.lifecycle.observe("acme", low, 1)
        jobs.objects.write_json(f"tenants/acme/jobs/{low}/checkpoints/epoch-1.json", {})
        jobs.clock.advance(600)
        assert jobs.lifecycle.plan("acme", critical) == {"next": "wait", "attempt": 1}
        jobs.admission.begin_to_wait("acme", critical, "token of the critical one")
        assert jobs.backends.sagemaker.stopped == [attempt_name(low, 1)]
        jobs.backends.sagemaker.says(attempt_name(low, 1), BackendState.STOPPED, billable_seconds=610)
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
        jobs.backends.sagemaker.says(attempt_name(critical, 1), BackendState.COMPLETED, billable_seconds=30)
        jobs.finishing.finish("acme", critical, None)
        second = jobs.lifecycle.plan("acme", low)
        assert (second["next"], second["request"]["TrainingJobName"]) == ("sagemaker", attempt_name(low, 2))
        assert second["request"]["StoppingCondition"]["MaxRuntimeInSeconds"] == 3600 - 610
        assert second["request"]["CheckpointConfig"]["S3Uri"].endswith(f"/jobs/{low}/checkpoints/")
        jobs.backends.sagemaker.says(attempt_name(low, 2), BackendState.COMPLETED, billable_seconds=90)
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
        jobs.backends.sagemaker.says(attempt_name(both[0], 1), BackendState.COMPLETED, billable_seconds=605)
        assert jobs.lifecycle.assess("acme", both[0], 1, None)["next"] == "register"

    def test_stopped_by_somebody_else_is_no_preemption(self, jobs: Jobs, job_id: str) -> None:
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(attempt_name(job_id, 1), BackendState.STOPPED)
        assert jobs.lifecycle.assess("acme", job_id, 1, None)["next"] == "finish"

    def _request(self, jobs: Jobs, priority: str) -> TrainingJobRequest:
        request = jobs.request(resource_requirements=self.GPU, max_runtime_seconds=3600)
        return request.model_copy(update={"priority": priority})
