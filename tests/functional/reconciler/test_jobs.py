"""Jobs under the reconciler: what is recorded and what runs are brought together again, from either side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError

from chalicelib.jobs.finishing import StillRunning
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Backend, Checkpointing, Job, JobStatus
from chalicelib.machine import MachineGone
from chalicelib.reconciler.gateways import Attempting, Driving, Execution, Labels
from chalicelib.reconciler.jobs import JobRepairs
from chalicelib.reconciler.repair import GRACE, NO_SWEEP, Kind, Report, why
from chalicelib.reconciler.store import SweepStore
from chalicelib.reconciler.sweep import Sweep
from tests.functional.jobs.conftest import ALICE, STRANGER, Jobs

if TYPE_CHECKING:
    from chalicelib.reconciler.deployments import DeploymentRepairs
    from chalicelib.reconciler.retraining import RetrainingRepairs
    from chalicelib.reconciler.transforms import TransformRepairs

LATER = GRACE.total_seconds() + 1


@dataclass
class FakeExecutions:
    states: dict[str, Execution] = field(default_factory=dict)
    asked: int = 0

    def of(self, job_id: str) -> Execution:
        self.asked += 1
        return self.states.get(job_id, Execution(Driving.RUNNING))


@dataclass
class FakeRunning:
    """A backend's list of what runs, and the tags of each."""

    listed: dict[str, Labels] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    created: Any = None

    def attempts(self) -> Iterator[Attempting]:
        for name in self.listed:
            yield Attempting(Backend.SAGEMAKER, name, name, self.created)

    def labels(self, attempt: Attempting) -> Labels:
        return self.listed[attempt.name]

    def stop(self, attempt: Attempting) -> None:
        self.stopped.append(attempt.name)


class NoDeployments:
    def endpoints(self) -> dict[str, Any]:
        return {}

    def live(self) -> list[Any]:
        return []


class NoTransforms:
    def open(self) -> list[Any]:
        return []


@dataclass
class Receipts:
    issued: list[str] = field(default_factory=list)
    lost: int = 0

    def issue(self, job: Job) -> None:
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the signing key did not answer")
        self.issued.append(job.job_id)


@dataclass
class Room:
    jobs: Jobs
    executions: FakeExecutions
    running: FakeRunning
    receipts: Receipts
    repairs: JobRepairs

    @property
    def sweep(self) -> Sweep:
        return self.sweep_with()

    def sweep_with(self, **changes: Any) -> Sweep:
        """A sweep in which some of what it asks is another."""
        repairs = replace(self.repairs, **changes)
        return Sweep(
            repairs,
            cast("DeploymentRepairs", NoDeployments()),
            cast("TransformRepairs", NoTransforms()),
            cast("RetrainingRepairs", NoTransforms()),
            repairs.now,
            repairs.seconds,
        )

    def submitted(self) -> Job:
        job = self.jobs.service.submit(ALICE, self.jobs.request(), None)
        self.jobs.lifecycle.plan("acme", job.job_id)
        self.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.RUNNING)
        self.jobs.lifecycle.observe("acme", job.job_id, 1)
        return self.now(job)

    def now(self, job: Job) -> Job:
        return self.jobs.store.require(job.tenant, job.job_id)

    def run(self, after: str | None = None) -> Report:
        self.jobs.clock.advance(LATER)
        return self.sweep.run(60, after)


@pytest.fixture
def room(jobs: Jobs) -> Room:
    executions, receipts = FakeExecutions(), Receipts()
    running = FakeRunning(created=jobs.clock())
    repairs = JobRepairs(
        store=jobs.store,
        tenants=jobs.quotas.store.tenants_after,
        executions=executions,  # type: ignore[arg-type]
        machine=jobs.machine,  # type: ignore[arg-type]
        finishing=lambda: jobs.finishing,
        receipts=lambda: receipts,  # type: ignore[arg-type, return-value]
        notes=SweepStore(jobs.store.table),
        admission=jobs.admission,
        backends=jobs.backends,  # type: ignore[arg-type]
        running=(running,),
        stack="ours",
        now=jobs.clock,
        seconds=lambda: 0.0,
        pause=lambda _: None,
    )
    return Room(jobs, executions, running, receipts, repairs)


class TestAnOpenJob:
    def test_that_is_driven_is_left_alone(self, room: Room) -> None:
        job = room.submitted()
        assert room.run().repairs == ()
        assert room.now(job) == job

    def test_whose_start_was_lost_is_started(self, room: Room) -> None:
        room.jobs.machine.lost = 1
        with pytest.raises(ConnectionError):
            room.jobs.service.submit(ALICE, room.jobs.request(), None)
        (job,) = room.jobs.service.search(ALICE, _everything(), 10, 0, None).jobs
        room.executions.states[job.job_id] = Execution(Driving.ABSENT)
        (repair,) = room.run().repairs
        assert (repair.kind, repair.subject) == (Kind.STARTED, f"job/{job.job_id}")
        assert room.jobs.machine.started == [("acme", job.job_id)]

    @pytest.mark.parametrize(
        ("execution", "reason"),
        [
            (Execution(Driving.ABORTED, "Operator: tidying"), "execution was aborted: Operator: tidying"),
            (Execution(Driving.TIMED_OUT), "execution timed out."),
            (Execution(Driving.FAILED, "States.Runtime"), "execution failed: States.Runtime"),
            (Execution(Driving.SUCCEEDED), "execution ended without its work."),
        ],
    )
    def test_that_nobody_drives_any_more_is_stopped_and_then_ended(
        self, room: Room, execution: Execution, reason: str
    ) -> None:
        job = room.submitted()
        room.executions.states[job.job_id] = execution
        assert [repair.kind for repair in room.run().repairs] == [Kind.STOPPING]
        assert room.jobs.backends.sagemaker.stopped == [f"aimatrix-{job.job_id}-1"]
        room.jobs.backends.sagemaker.says(
            f"aimatrix-{job.job_id}-1", BackendState.STOPPED, billable_seconds=5, training_seconds=5
        )
        assert [repair.kind for repair in room.run().repairs] == [Kind.FINISHED]
        ended = room.now(job)
        assert ended.status is JobStatus.FAILED
        assert ended.failure_reason is not None
        assert ended.failure_reason.endswith(reason)
        assert room.receipts.issued == [job.job_id]
        assert room.jobs.accounts.check(ADMIN_OF_ACME)[0].differences == ()
        assert room.run().repairs == ()

    def test_that_was_to_be_cancelled_is_cancelled(self, room: Room) -> None:
        job = room.submitted()
        room.jobs.service.cancel(ALICE, job.job_id)
        room.executions.states[job.job_id] = Execution(Driving.ABORTED)
        room.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.STOPPED, billable_seconds=5)
        room.run()
        assert room.now(job).status is JobStatus.CANCELLED

    def test_whose_stop_was_lost_is_told_again(self, room: Room) -> None:
        job = room.submitted()
        backend = room.jobs.backends.sagemaker
        stop, backend.stop = backend.stop, lambda *_: None  # type: ignore[method-assign]
        room.jobs.service.cancel(ALICE, job.job_id)
        backend.stop = stop  # type: ignore[method-assign]
        assert [repair.kind for repair in room.run().repairs] == [Kind.STOPPED_AGAIN]
        assert backend.stopped == [f"aimatrix-{job.job_id}-1"]

    def test_whose_wait_on_spot_is_over_is_told_to_end_on_batch_once(self, room: Room, jobs: Jobs) -> None:
        wanted: dict[str, Any] = {
            "environment": {"backend": "batch"},
            "spot": True,
            "max_runtime_seconds": 600,
            "max_wait_seconds": 900,
        }
        job = jobs.service.submit(ALICE, jobs.request(**wanted), None)
        jobs.lifecycle.plan("acme", job.job_id)
        name = f"aimatrix-{job.job_id}-1"
        jobs.backends.batch.says(name, BackendState.STARTING)
        jobs.clock.advance(700)
        assert room.run().repairs == ()
        jobs.clock.advance(140)
        assert [repair.kind for repair in room.run().repairs] == [Kind.STOPPED_LATE]
        assert jobs.backends.batch.stopped == [name]
        jobs.backends.batch.says(name, BackendState.FAILED)
        assert room.run().repairs == ()

    def test_that_is_young_is_not_even_asked_about(self, room: Room) -> None:
        room.submitted()
        assert room.sweep.run(60).open_jobs == 1
        assert room.executions.asked == 0

    def test_is_ended_once_by_two_sweeps(self, room: Room) -> None:
        job = room.submitted()
        room.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.STOPPED, billable_seconds=5)
        seen: list[Report] = []

        class Interleaved(FakeExecutions):
            """While one sweep asks about the execution, the other runs from beginning to end."""

            def of(self, job_id: str) -> Execution:
                if not seen:
                    seen.append(room.sweep_with(executions=_aborted(job_id)).run(60))
                return Execution(Driving.ABORTED)

        room.jobs.clock.advance(LATER)
        other = room.sweep_with(executions=Interleaved()).run(60)
        assert [repair.kind for repair in (*seen[0].repairs, *other.repairs)] == [Kind.FINISHED]
        assert room.jobs.accounts.check(ADMIN_OF_ACME)[0].differences == ()

    def test_waits_for_its_attempt_when_its_execution_ends_badly(self, room: Room) -> None:
        job = room.submitted()
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            room.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.STOPPED, billable_seconds=5)

        waiting = replace(room.repairs, pause=pause, seconds=lambda: float(len(pauses)))
        assert waiting.finish_at_last(job, Execution(Driving.ABORTED), 30).kind is Kind.FINISHED
        assert len(pauses) == 1

    def test_is_given_up_for_now_when_its_attempt_does_not_stop(self, room: Room) -> None:
        job = room.submitted()
        seconds = iter(range(100))
        waiting = replace(room.repairs, seconds=lambda: float(next(seconds)))
        assert waiting.finish_at_last(job, Execution(Driving.ABORTED), 5).kind is Kind.STOPPING
        with pytest.raises(StillRunning):
            room.jobs.finishing.finish("acme", job.job_id, None)


class TestCheckpoints:
    def test_that_stay_away_are_noted_once_and_that_they_come_again(self, room: Room) -> None:
        job = room.jobs.service.submit(ALICE, room.jobs.request(checkpoint_interval_seconds=60), None)
        room.jobs.lifecycle.plan("acme", job.job_id)
        room.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.RUNNING)
        room.jobs.lifecycle.observe("acme", job.job_id, 1)
        room.run()
        assert room.now(job).checkpoints_overdue_since is None
        room.jobs.clock.advance(180)
        assert room.run().repairs == ()
        noted = room.now(job)
        assert noted.checkpoints_overdue_since is not None
        room.run()
        assert room.now(job) == noted
        now = room.jobs.clock()
        room.jobs.store.set_checkpointing("acme", job.job_id, Checkpointing(now, now, 1, 1, 7))
        room.run()
        assert room.now(job).checkpoints_overdue_since is None


class TestWhatRuns:
    def test_for_an_open_job_goes_on(self, room: Room) -> None:
        job = room.submitted()
        room.running.listed[f"aimatrix-{job.job_id}-1"] = Labels("ours", "acme")
        assert room.run().repairs == ()

    def test_for_a_job_that_has_ended_is_stopped_and_counted(self, room: Room) -> None:
        job = room.submitted()
        room.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.COMPLETED, billable_seconds=5)
        room.jobs.finishing.finish("acme", job.job_id, None)
        room.running.listed[f"aimatrix-{job.job_id}-1"] = Labels("ours", "acme")
        report = room.run()
        assert [repair.kind for repair in report.repairs] == [Kind.STOPPED_ORPHAN]
        assert room.running.stopped == [f"aimatrix-{job.job_id}-1"]
        assert report.orphan_seconds == LATER

    def test_for_nobody_is_stopped(self, room: Room) -> None:
        room.running.listed["aimatrix-no-such-job-1"] = Labels("ours", "acme")
        assert [repair.kind for repair in room.run().repairs] == [Kind.STOPPED_ORPHAN]

    def test_beside_a_later_attempt_is_stopped(self, room: Room) -> None:
        job = room.submitted()
        room.jobs.backends.sagemaker.says(
            f"aimatrix-{job.job_id}-1", BackendState.FAILED, reason="InternalServerError", billable_seconds=5
        )
        room.jobs.lifecycle.assess("acme", job.job_id, 1, None)
        room.running.listed |= dict.fromkeys([f"aimatrix-{job.job_id}-{n}" for n in (1, 2)], Labels("ours", "acme"))
        assert [repair.kind for repair in room.run().repairs] == [Kind.STOPPED_OLDER]
        assert room.running.stopped == [f"aimatrix-{job.job_id}-1"]

    @pytest.mark.parametrize("labels", [Labels("another-stack", "acme"), Labels(None, None), Labels("ours", None)])
    def test_for_somebody_else_is_none_of_our_business(self, room: Room, labels: Labels) -> None:
        room.running.listed["aimatrix-no-such-job-1"] = labels
        assert room.run().repairs == ()
        assert room.running.stopped == []

    def test_under_a_name_that_is_not_ours_is_left_alone(self, room: Room) -> None:
        room.running.listed["aimatrix-experiment"] = Labels("ours", "acme")
        assert room.run().repairs == ()

    def test_since_a_moment_ago_is_left_alone(self, room: Room) -> None:
        room.running.created = room.jobs.clock() + timedelta(seconds=LATER)
        room.running.listed["aimatrix-no-such-job-1"] = Labels("ours", "acme")
        assert room.run().repairs == ()


class TestAReceipt:
    def test_that_was_not_come_to_is_made_by_the_next_sweep(self, room: Room) -> None:
        job = room.submitted()
        room.jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.STOPPED, billable_seconds=5)
        room.executions.states[job.job_id] = Execution(Driving.ABORTED)
        room.receipts.lost = 1
        with pytest.raises(ConnectionError):
            room.run()
        assert room.now(job).status is JobStatus.FAILED
        assert [repair.kind for repair in room.run().repairs] == [Kind.SEALED]
        assert room.receipts.issued == [job.job_id]
        assert room.run().repairs == ()


class Gone:
    """A state machine that was deleted."""

    def start(self, tenant: str, job_id: str) -> None:
        raise MachineGone("It was deleted.")


class Unreachable(FakeRunning):
    def attempts(self) -> Iterator[Attempting]:
        yield from super().attempts()
        raise EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com/")


class TestADeletedMachine:
    def test_ends_what_it_was_to_drive(self, room: Room) -> None:
        job = room.jobs.service.submit(ALICE, room.jobs.request(), None)
        room.executions.states[job.job_id] = Execution(Driving.ABSENT)
        room.jobs.clock.advance(LATER)
        (repair,) = room.sweep_with(machine=Gone()).run(60).repairs
        assert (repair.kind, repair.detail) == (Kind.FINISHED, "The state machine was deleted.")
        assert room.now(job).failure_reason == "The state machine was deleted."


class TestABackendThatDoesNotAnswer:
    def test_is_counted_and_holds_up_no_other(self, room: Room) -> None:
        room.submitted()
        orphan = "aimatrix-0b4ee3a2-6f3b-4d4c-9f6a-1c1c8ad7c0d1-1"
        room.running.listed[orphan] = Labels("ours", "acme")
        room.jobs.clock.advance(LATER)
        report = room.sweep_with(running=(Unreachable(), room.running)).run(60)
        assert (report.unanswered, report.to_dict()["complete"]) == (1, False)
        assert room.running.stopped == [orphan]


class TestASweep:
    def test_that_has_no_time_left_goes_on_where_it_stopped(self, room: Room) -> None:
        first = room.submitted()
        room.jobs.service.submit(STRANGER, room.jobs.request(STRANGER), None)
        room.jobs.clock.advance(LATER)
        seconds = iter([0.0, 100.0])
        report = room.sweep_with(seconds=lambda: next(seconds)).run(60)
        assert (report.tenants, report.after) == (1, first.tenant)
        rest = room.run(report.after)
        assert (rest.tenants, rest.after) == (1, None)

    def test_keeps_its_report(self, room: Room) -> None:
        kept = SweepStore(room.jobs.store.table)
        assert kept.latest() is None
        assert set(NO_SWEEP) == set(room.run().to_dict())
        report = room.run()
        kept.put(replace(report, after="acme"))
        latest = kept.latest()
        assert latest is not None
        assert (latest["complete"], kept.after()) == (False, "acme")


ADMIN_OF_ACME = replace(ALICE, user="root", roles=frozenset({"ADMIN"}))


def _aborted(job_id: str) -> Any:
    return FakeExecutions({job_id: Execution(Driving.ABORTED)})


def _everything() -> Any:
    from chalicelib.jobs.job import JobFilter

    return JobFilter()


def test_the_reason_is_a_sentence() -> None:
    assert why(Execution(Driving.FAILED)) == "The state machine's execution failed."
