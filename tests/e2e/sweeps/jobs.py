"""Jobs: what callers ask, and what the machine, the backends' events and the log subscription call."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.capacity import tasks as capacity_tasks
from chalicelib.jobs import tasks
from chalicelib.jobs.export import Export, ExportStore
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.reports import MARK
from chalicelib.models import tasks as model_tasks
from chalicelib.models.model import ModelFilter, ModelStatus
from chalicelib.reconciler import tasks as reconciler_tasks
from chalicelib.reconciler.sweep import Sweep
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World


class Silent:
    """A machine whose start is lost on the way."""

    def start(self, tenant: str, job_id: str) -> None:
        """Nothing comes of it."""


class NoDeployments:
    def endpoints(self) -> dict[str, Any]:
        return {}

    def live(self) -> list[Any]:
        return []


class NoTransforms:
    def open(self) -> list[Any]:
        return []


def handlers(on: Services) -> list[Handler]:
    return [*_asked(on), *_of_the_machine(on), *_of_events(on)]


def _asked(on: Services) -> list[Handler]:
    def started_once(world: World) -> None:
        on.balanced(world, JobStatus.PENDING)
        found = on.clients.stepfunctions.describe_execution(
            executionArn=f"{on.platform.settings.train_job_executions}{world.job_id}"
        )
        assert found["name"] == world.job_id
        assert on.actions(world, Action.SUBMIT_JOB) == 1

    def cancel(world: World) -> None:
        job = on.platform.jobs.get(world.caller, world.job_id)
        if not job.status.is_finished:
            on.platform.jobs.cancel(world.caller, world.job_id)

    def cancelled(world: World) -> None:
        on.backends.sagemaker.says(f"aimatrix-{world.job_id}-1", BackendState.STOPPED, billable_seconds=10)
        on.finish(world)
        on.balanced(world, JobStatus.CANCELLED)
        assert on.actions(world, Action.CANCEL_JOB) == 1

    def delete(world: World) -> None:
        if on.platform.job_store.get(world.caller.tenant, world.job_id) is not None:
            on.platform.job_deletion.delete(world.admin, world.job_id)

    def deleted(world: World) -> None:
        on.balanced(world, None)
        assert on.actions(world, Action.DELETE_JOB) == 1

    def export(world: World) -> None:
        on.platform.exports.request(world.caller, world.job_id)

    def export_asked(world: World) -> None:
        export = on.platform.exports.get(world.caller, world.job_id)
        assert export is not None
        assert 1 <= on.actions(world, Action.EXPORT_JOB) <= 2

    def wanted() -> World:
        world = on.planned()
        ExportStore(on.platform.job_store.table).put(world.caller.tenant, world.job_id, Export(on.clock()))
        return world

    def exported(world: World) -> None:
        export = on.platform.exports.get(world.caller, world.job_id)
        assert export is not None
        assert export.completed_at is not None
        for file in export.files:
            assert on.platform.objects.head(file.key) is not None

    return [
        Handler("exportJob", on.planned, export, export_asked),
        Handler("export_job", wanted, on.function(tasks.export_job, _of_job), exported),
        Handler("submitTrainingJob", on.world, on.submit, started_once),
        Handler("cancelJob", on.planned, cancel, cancelled),
        Handler("deleteJob", on.finished, delete, deleted),
    ]


def _of_the_machine(on: Services) -> list[Handler]:
    def planned_once(world: World) -> None:
        on.balanced(world, JobStatus.PENDING)
        assert len(on.platform.job_store.attempts(world.caller.tenant, world.job_id)) == 1

    def attempts(number: int) -> Callable[[World], None]:
        def hold(world: World) -> None:
            on.balanced(world, JobStatus.PENDING)
            assert len(on.platform.job_store.attempts(world.caller.tenant, world.job_id)) == number

        return hold

    def moved(world: World) -> None:
        on.balanced(world, JobStatus.PENDING)
        job = on.platform.jobs.get(world.caller, world.job_id)
        assert (job.attempts, job.allocation.memory_gb) == (2, 16)

    def ended(status: JobStatus) -> Callable[[World], None]:
        def hold(world: World) -> None:
            on.balanced(world, status)
            assert on.platform.costs.receipt(world.caller, world.job_id) is not None

        return hold

    def registered(world: World) -> None:
        page = on.platform.model_store.search(world.caller.tenant, ModelFilter(), 10, 0, None)
        assert [(model.status, model.version) for model in page.models] == [(ModelStatus.READY, "1")]
        assert on.platform.jobs.get(world.caller, world.job_id).model_id == page.models[0].model_id
        assert on.actions(world, Action.REGISTER_MODEL) == 1

    def waiting(world: World) -> None:
        on.balanced(world, JobStatus.PENDING)

    call = on.function
    return [
        Handler("plan_job", on.submitted, call(tasks.plan_job, _of_job), planned_once),
        Handler("await_capacity", on.submitted, call(capacity_tasks.await_capacity, _waiting), waiting),
        Handler(
            "assess_attempt",
            lambda: on.at_end(BackendState.FAILED, reason="InternalServerError"),
            call(tasks.assess_attempt, _of_attempt),
            attempts(2),
        ),
        Handler(
            "assess_attempt",
            on.out_of_memory,
            call(tasks.assess_attempt, _of_attempt),
            moved,
            about="out of memory, to a larger instance",
        ),
        Handler(
            "register_model",
            lambda: on.at_end(BackendState.COMPLETED),
            call(model_tasks.register_model, _of_attempt),
            registered,
        ),
        Handler(
            "finish_job",
            lambda: on.at_end(BackendState.COMPLETED),
            call(tasks.finish_job, _of_attempt),
            ended(JobStatus.COMPLETED),
        ),
        Handler(
            "finish_job",
            lambda: on.at_end(BackendState.FAILED),
            call(tasks.finish_job, _of_attempt),
            ended(JobStatus.FAILED),
            about="a failure",
        ),
    ]


def _of_events(on: Services) -> list[Handler]:
    def running() -> World:
        world = on.planned()
        on.backends.sagemaker.says(f"aimatrix-{world.job_id}-1", BackendState.RUNNING)
        return world

    def runs(world: World) -> None:
        on.balanced(world, JobStatus.RUNNING)

    def aborted() -> World:
        return on.at_end(BackendState.STOPPED)

    def failed_with_receipt(world: World) -> None:
        on.balanced(world, JobStatus.FAILED)
        assert on.platform.costs.receipt(world.caller, world.job_id) is not None

    def lines(world: World) -> dict[str, Any]:
        attempt = on.platform.job_store.attempt(world.caller.tenant, world.job_id, 1)
        assert attempt is not None
        said = {"j": f"{world.caller.tenant}#{world.job_id}", "n": 1, "k": attempt.token}
        points = [["loss", 0.5, 1, None, 1_700_000_000_000]]
        documents = [
            {**said, "t": "started", "at": 1_700_000_000_000},
            {**said, "t": "metrics", "points": points, "since": 1, "total": 1, "latest": 1},
            {**said, "t": "progress", "percent": 50},
        ]
        entries = [{"message": MARK + json.dumps(document)} for document in documents]
        packed = gzip.compress(json.dumps({"messageType": "DATA_MESSAGE", "logEvents": entries}).encode())
        return {"awslogs": {"data": base64.b64encode(packed).decode()}}

    def ingested(world: World) -> None:
        on.balanced(world, JobStatus.RUNNING)
        tenant, job_id = world.caller.tenant, world.job_id
        assert on.platform.job_store.report(tenant, job_id).progress.percent == 50
        assert len(on.platform.metrics.read(tenant, job_id, name=None, limit=10, after=None).points) == 1
        assert [count.points for count in on.platform.metrics.counts(tenant, [job_id])] == [1]

    def lost_start() -> World:
        """Recorded, and nobody has started its execution."""
        world = on.world()
        silent: Any = Silent()
        world.job = replace(on.platform.jobs, machine=silent).submit(world.caller, world.request, "the-key")
        return world

    def sweep(world: World) -> None:
        """Over this tenant alone, as if its job were two minutes old."""
        on.clock.skew = timedelta(minutes=2)
        try:
            jobs = replace(on.platform.job_repairs, tenants=lambda _: [world.caller.tenant], running=())
            nothing: Any = NoDeployments()
            idle: Any = NoTransforms()
            Sweep(jobs, nothing, idle, idle, on.clock, time.monotonic).run(60)
        finally:
            on.clock.skew = timedelta()

    def has_execution(world: World) -> bool:
        sfn = on.clients.stepfunctions
        try:
            sfn.describe_execution(executionArn=f"{on.platform.settings.train_job_executions}{world.job_id}")
        except sfn.exceptions.ExecutionDoesNotExist:
            return False
        return True

    def started(world: World) -> None:
        # One's trouble holds up no other: what a sweep could not do is done by the next.
        if not has_execution(world):
            sweep(world)
        # The execution of the machine that does nothing is over at once, and then a repeated sweep ends its job.
        on.balanced(world, on.platform.jobs.get(world.caller, world.job_id).status)
        assert has_execution(world)

    def ended_by_sweeps(world: World) -> None:
        sweep(world)
        failed_with_receipt(world)

    call = on.function
    return [
        Handler("on_training_event", running, call(tasks.on_training_event, _training_event), runs),
        Handler(
            "on_execution_event",
            aborted,
            call(reconciler_tasks.on_execution_event, _execution_event),
            failed_with_receipt,
        ),
        Handler("ingest_logs", on.planned, call(tasks.ingest_logs, lines), ingested),
        Handler("reconcile", lost_start, sweep, started, about="a lost start"),
        Handler("reconcile", aborted, sweep, ended_by_sweeps, about="a job that nobody drives"),
    ]


def _of_job(world: World) -> dict[str, Any]:
    return {"tenant": world.caller.tenant, "job_id": world.job_id}


def _waiting(world: World) -> dict[str, Any]:
    return {**_of_job(world), "token": "nobody-waits"}


def _of_attempt(world: World) -> dict[str, Any]:
    return {**_of_job(world), "attempt": 1, "error": None}


def _training_event(world: World) -> dict[str, Any]:
    tags = {"aimatrix:tenant": world.caller.tenant}
    return {"detail": {"TrainingJobName": f"aimatrix-{world.job_id}-1", "Tags": tags}}


def _execution_event(world: World) -> dict[str, Any]:
    return {"detail": {"input": json.dumps(_of_job(world))}}
