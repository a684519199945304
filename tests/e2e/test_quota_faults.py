"""Whatever call is lost, and whoever dies: after a repetition no counter differs from its records."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus
from tests.e2e.conftest import Cloud
from tests.e2e.faulty import Handler, sweep
from tests.e2e.services import Services, World, services_on
from tests.faults import Shows

pytestmark = pytest.mark.e2e


def handlers(on: Services) -> list[Handler]:
    lifecycle = on.platform.lifecycle

    def tenant(world: World) -> str:
        return world.caller.tenant

    def holds(status: JobStatus | None, jobs: int = 1) -> Callable[[World], None]:
        return lambda world: on.balanced(world, status, jobs)

    def started_once(world: World) -> None:
        on.balanced(world, JobStatus.PENDING)
        arn = on.platform.settings.train_job_arn.replace(":stateMachine:", ":execution:")
        found = on.clients.stepfunctions.describe_execution(executionArn=f"{arn}:{world.job_id}")
        assert found["name"] == world.job_id

    def planned_once(world: World) -> None:
        on.balanced(world, JobStatus.PENDING)
        assert len(on.platform.job_store.attempts(tenant(world), world.job_id)) == 1

    def cancel(world: World) -> None:
        job = on.platform.jobs.get(world.caller, world.job_id)
        if not job.status.is_finished:
            on.platform.jobs.cancel(world.caller, world.job_id)

    def cancelled(world: World) -> None:
        on.backends.sagemaker.says(f"aimatrix-{world.job_id}-1", BackendState.STOPPED, billable_seconds=10)
        on.finish(world)
        on.balanced(world, JobStatus.CANCELLED)

    def delete(world: World) -> None:
        if on.platform.job_store.get(tenant(world), world.job_id) is not None:
            on.platform.job_deletion.delete(world.admin, world.job_id)

    return [
        Handler("submit", on.world, on.submit, started_once),
        Handler("plan", on.submitted, lambda w: lifecycle.plan(tenant(w), w.job_id), planned_once),
        Handler(
            "assess a lost attempt",
            lambda: on.at_end(BackendState.FAILED, reason="InternalServerError"),
            lambda w: lifecycle.assess(tenant(w), w.job_id, 1, None),
            lambda w: on.balanced(w, JobStatus.PENDING),
        ),
        Handler("finish", lambda: on.at_end(BackendState.COMPLETED), on.finish, holds(JobStatus.COMPLETED)),
        Handler("finish a failure", lambda: on.at_end(BackendState.FAILED), on.finish, holds(JobStatus.FAILED)),
        Handler("cancel", on.planned, cancel, cancelled),
        Handler("delete", on.finished, delete, holds(None)),
    ]


@pytest.fixture(scope="module")
def services(cloud: Cloud) -> Services:
    return services_on(cloud)


class TestSweep:
    @pytest.mark.timeout(900)
    def test_leaves_no_difference_at_any_point(self, services: Services, shows: Shows) -> None:
        total = 0
        for handler in handlers(services):
            points, calls = sweep(services.clients, handler)
            total += points
            shows(2, f"{handler.name}: {points} points over {', '.join(calls)}: 0 violations")
        shows(12, f"{total} points, 0 differences")
        assert total > 0
