"""An attempt in the operator's queue: submitted once, waited for by its token, and told apart by what Batch says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chalicelib.jobs.causes import Cause
from chalicelib.jobs.enqueueing import Enqueueing
from chalicelib.jobs.gateways import BackendState, SageMakerBackend
from chalicelib.jobs.job import Attempt, Job
from chalicelib.jobs.lifecycle import Lifecycle
from chalicelib.jobs.training_queue import Order, QueuedBackend, TrainingQueue
from tests.functional.jobs.conftest import ALICE, FakeBackends, Jobs

QUEUE = "arn:aws:batch:us-east-1:000000000000:job-queue/training"
TRAINING = "AWSBatchaimatrix-x1"


@dataclass
class FakeBatch:
    """What Batch has of one service job.

    Attributes:
        document: as DescribeServiceJob answers it; None before it was submitted.
        lost: how many answers to a submission are lost after it was carried out.
    """

    document: dict[str, Any] | None = None
    submitted: list[dict[str, Any]] = field(default_factory=list)
    terminated: list[str] = field(default_factory=list)
    lost: int = 0

    def list_service_jobs(self, **_: Any) -> dict[str, Any]:
        return {"jobSummaryList": [{"jobId": "s1"}] if self.document else []}

    def describe_service_job(self, jobId: str) -> dict[str, Any]:  # noqa: N803  as boto3 calls it
        assert jobId == "s1"
        assert self.document is not None
        return self.document

    def submit_service_job(self, **request: Any) -> None:
        self.submitted.append(request)
        self.document = {"status": "RUNNABLE"}
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the answer was lost")

    def terminate_service_job(self, jobId: str, reason: str) -> None:  # noqa: N803
        self.terminated.append(f"{jobId}: {reason}")

    def says(self, status: str, **more: Any) -> None:
        attempt = {"serviceResourceId": {"name": "TrainingJobArn", "value": f"arn:training-job/{TRAINING}"}}
        self.document = {"status": status, "latestAttempt": attempt, **more}


@dataclass
class FakeSageMaker:
    document: dict[str, Any] | None = None

    class exceptions:  # noqa: N801
        ClientError = LookupError

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        assert TrainingJobName == TRAINING
        assert self.document is not None
        return self.document


@dataclass
class QueuedBackends(FakeBackends):
    queued: Any = None

    def of(self, attempt: Attempt) -> Any:
        return self.queued if attempt.queue else super().of(attempt)


@dataclass
class Room:
    jobs: Jobs
    batch: FakeBatch
    sagemaker: FakeSageMaker
    enqueueing: Enqueueing
    order: Order = Order.FAIR_SHARE

    def planned(self) -> tuple[Job, dict[str, Any]]:
        job = self.jobs.service.submit(ALICE, self.jobs.request(), None)
        return job, self.plan(job)

    @property
    def lifecycle(self) -> Lifecycle:
        return replace(self.jobs.lifecycle, training_queue=TrainingQueue(QUEUE, self.order, ("first", "acme")))

    def plan(self, job: Job) -> dict[str, Any]:
        return self.lifecycle.plan("acme", job.job_id)

    def enqueue(self, job: Job, plan: dict[str, Any], token: str = "token") -> bool:
        return self.enqueueing.enqueue("acme", job.job_id, plan["attempt"], plan.get("request"), token)

    def trained(self, status: str, **more: Any) -> None:
        self.sagemaker.document = {
            "TrainingJobStatus": status,
            "SecondaryStatus": status,
            "BillableTimeInSeconds": 30,
            "TrainingTimeInSeconds": 30,
            **more,
        }


@pytest.fixture
def room(jobs: Jobs) -> Room:
    batch, sagemaker = FakeBatch(), FakeSageMaker()
    fakes: Any = (batch, sagemaker, jobs.waiters)
    queued = QueuedBackend(lambda: fakes[0], SageMakerBackend(fakes[1]))
    object.__setattr__(jobs.lifecycle, "backends", QueuedBackends(queued=queued))
    object.__setattr__(jobs.service, "backends", jobs.lifecycle.backends)
    return Room(jobs, batch, sagemaker, Enqueueing(jobs.store, queued, lambda: fakes[2]))


class TestAnAttempt:
    def test_is_a_training_job_as_it_would_be_without_a_queue(self, room: Room) -> None:
        _, plan = room.planned()
        request = plan["request"]
        assert plan["next"] == "queue"
        assert (request["jobQueue"], request["jobName"]) == (QUEUE, request["clientToken"])
        assert request["schedulingPriority"] == 400
        assert request["shareIdentifier"].startswith("alice0")
        assert request["retryStrategy"] == {"attempts": 1}
        assert json.loads(request["serviceRequestPayload"])["TrainingJobName"] == request["jobName"]

    def test_goes_to_the_quota_share_of_its_tenant(self, room: Room) -> None:
        room.order = Order.QUOTA_SHARES
        _, plan = room.planned()
        assert plan["request"]["quotaShareName"] == "acme"
        assert plan["request"]["preemptionConfiguration"] == {"preemptionRetriesBeforeTermination": 0}
        assert TrainingQueue(QUEUE, Order.QUOTA_SHARES, ("first", "acme")).share_of("umbrella") == "first"

    def test_of_a_queue_without_a_policy_has_no_share(self, room: Room) -> None:
        room.order = Order.FIFO
        _, plan = room.planned()
        assert not {"shareIdentifier", "quotaShareName"} & plan["request"].keys()


class TestEnqueueing:
    def test_submits_once_however_often_it_is_repeated(self, room: Room) -> None:
        job, plan = room.planned()
        room.batch.lost = 1
        with pytest.raises(ConnectionError):
            room.enqueue(job, plan)
        assert not room.enqueue(job, plan)
        assert len(room.batch.submitted) == 1

    def test_lets_the_machine_go_on_when_the_attempt_has_ended(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan, "old")
        room.enqueue(job, plan, "new")
        assert not room.enqueueing.answer("acme", job.job_id, 1)
        room.batch.says("SUCCEEDED")
        room.trained("Completed")
        assert room.enqueueing.answer("acme", job.job_id, 1)
        assert room.jobs.waiters.answered == ["new"]

    def test_answers_at_once_when_the_event_came_before_the_token(self, room: Room) -> None:
        job, plan = room.planned()
        room.batch.says("SUCCEEDED")
        room.trained("Completed")
        assert not room.enqueueing.answer("acme", job.job_id, 1)
        assert room.enqueue(job, plan)

    def test_submits_nothing_for_a_job_that_was_cancelled(self, room: Room) -> None:
        job, plan = room.planned()
        room.jobs.service.cancel(ALICE, job.job_id)
        assert room.enqueue(job, plan)
        assert room.batch.submitted == []

    def test_an_attempt_that_waits_is_cancelled_in_the_queue(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan)
        room.jobs.service.cancel(ALICE, job.job_id)
        assert room.batch.terminated == ["s1: cancelled by the user"]

    def test_a_machine_that_starts_again_waits_for_the_attempt_that_is_there(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan)
        again = room.plan(job)
        assert again == {"next": "assess", "attempt": 1}
        assert room.lifecycle.assess("acme", job.job_id, 1, None) == {"next": "queue", "attempt": 1}


class TestWhatBatchSays:
    def test_is_starting_until_the_training_job_is_there(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan)
        attempt = room.jobs.store.attempt("acme", job.job_id, 1)
        assert attempt is not None
        found = room.enqueueing.queue.describe(attempt)
        assert (found.state, found.secondary_status) == (BackendState.STARTING, "Queued")

    def test_missing_capacity_is_no_end_as_long_as_batch_goes_on(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan)
        room.batch.says("STARTING")
        room.trained("Failed", FailureReason="CapacityError: none")
        assert not room.enqueueing.answer("acme", job.job_id, 1)

    def test_one_that_was_ended_before_it_ran_has_stopped_and_cost_nothing(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan)
        room.batch.document = {"status": "FAILED", "isTerminated": True, "statusReason": "cancelled", "stoppedAt": 1}
        attempt = room.jobs.store.attempt("acme", job.job_id, 1)
        assert attempt is not None
        found = room.enqueueing.queue.describe(attempt)
        assert (found.state, found.billable_seconds) == (BackendState.STOPPED, None)

    def test_a_preempted_one_is_followed_by_another_with_what_is_left_of_its_time(self, room: Room) -> None:
        job, plan = room.planned()
        room.enqueue(job, plan)
        room.batch.says("FAILED", preemptionSummary={"preemptedAttemptCount": 1})
        room.trained("Stopped")
        verdict = room.lifecycle.assess("acme", job.job_id, 1, None)
        assert (verdict["next"], verdict["attempt"]) == ("retry", 2)
        first = room.jobs.store.attempt("acme", job.job_id, 1)
        assert first is not None
        assert (first.cause, first.billable_seconds) == (Cause.PREEMPTED.value, 30)
        assert "with its checkpoint kept" in (first.reason or "")
        room.batch.document = None
        following = json.loads(room.plan(job)["request"]["serviceRequestPayload"])
        before = json.loads(plan["request"]["serviceRequestPayload"])
        limits = [each["StoppingCondition"]["MaxRuntimeInSeconds"] for each in (before, following)]
        assert limits[0] - limits[1] == 30
