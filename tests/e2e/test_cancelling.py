"""A job is cancelled at any moment: between any two calls of whatever else is at work on it."""

from __future__ import annotations

import pytest

from chalicelib.errors import Conflict
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus, attempt_name
from chalicelib.models import tasks as model_tasks
from tests.e2e.conftest import Cloud
from tests.e2e.sweeps import jobs
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World, services_on
from tests.faults import Shows

pytestmark = pytest.mark.e2e

LEFT_OUT = {
    "submitTrainingJob": "nobody can cancel what has no id yet",
    "deleteJob": "its job has ended",
    "exportJob": "it changes nothing of the job",
    "export_job": "it changes nothing of the job",
    "on_execution_event": "its job has lost its machine: the reconciler's case",
    "reconcile": "no machine drives its job",
}


@pytest.fixture(scope="module")
def services(cloud: Cloud) -> Services:
    return services_on(cloud)


class Machine:
    """What the state machine of jobs does with a job from here on, and SageMaker with its attempts."""

    def __init__(self, on: Services, world: World) -> None:
        self._on, self._world = on, world
        self._tenant, self._id = world.caller.tenant, world.job_id

    def drive(self, following: str) -> None:
        lifecycle = self._on.platform.lifecycle
        for _ in range(10):
            match following:
                case "finish":
                    self._on.finish(self._world)
                    return
                case "register":
                    event = {"tenant": self._tenant, "job_id": self._id, "attempt": self._number(), "error": None}
                    model_tasks.register_model(self._on.platform, event)
                    following = "finish"
                case "sagemaker":
                    self._create()
                    following = "assess"
                case "assess" | "await":
                    self._stopped()
                    following = lifecycle.assess(self._tenant, self._id, self._number(), None)["next"]
                case _:
                    following = lifecycle.plan(self._tenant, self._id)["next"]
        raise AssertionError("its machine never comes to an end")

    def _number(self) -> int:
        return max(1, self._on.platform.jobs.get(self._world.caller, self._id).attempts)

    def _create(self) -> None:
        """The cancel may have come between the plan and this: then the backend's event tells."""
        self._on.backends.sagemaker.says(attempt_name(self._id, self._number()), BackendState.RUNNING)
        self._on.platform.lifecycle.observe(self._tenant, self._id, self._number())

    def _stopped(self) -> None:
        """What runs runs on until somebody stops it."""
        sagemaker, name = self._on.backends.sagemaker, attempt_name(self._id, self._number())
        if name in sagemaker.jobs and not sagemaker.jobs[name].state.is_finished:
            assert name in sagemaker.stopped, f"{name} runs, and nobody stops it"
            sagemaker.says(name, BackendState.STOPPED, billable_seconds=10)


def cancel_in(on: Services, handler: Handler, at: int) -> bool:
    """Cancel a job before a handler's call of this number; whether the wish was taken, and the job has not ended before."""
    world, taken = handler.prepare(), False

    def cancel() -> None:
        nonlocal taken
        try:
            on.platform.jobs.cancel(world.caller, world.job_id)
            taken = True
        except Conflict:
            assert on.platform.jobs.get(world.caller, world.job_id).status.is_finished

    with on.clients.meanwhile(at, cancel):
        result = handler.run(world)
    Machine(on, world).drive(result["next"] if isinstance(result, dict) and "next" in result else "plan")
    job = on.platform.jobs.get(world.caller, world.job_id)
    expected = {JobStatus.CANCELLED, JobStatus.COMPLETED} if taken else {JobStatus.COMPLETED, JobStatus.FAILED}
    assert job.status in expected, f"{job.status}: {job.failure_reason}"
    on.balanced(world, job.status)
    return taken


@pytest.mark.timeout(600)
def test_leaves_nothing_running_and_no_difference_whenever_it_comes(services: Services, shows: Shows) -> None:
    handlers = [handler for handler in jobs.handlers(services) if handler.name not in LEFT_OUT]
    assert handlers
    moments = accepted = 0
    for handler in handlers:
        world = handler.prepare()
        with services.clients.struck(None) as injector:
            handler.run(world)
        for at in range(1, len(injector.calls) + 2):
            try:
                accepted += cancel_in(services, handler, at)
            except AssertionError as error:
                call = injector.calls[at - 1] if at <= len(injector.calls) else "its end"
                raise AssertionError(f"{handler}, cancelled before {call} ({at}): {error}") from error
            moments += 1
    assert accepted
    shows(11, f"{moments} moments in {len(handlers)} handlers, {accepted} times in time: 0 orphans, 0 differences")
