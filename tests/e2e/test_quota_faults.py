"""Whatever call is lost, and whoever dies: after a repetition no counter differs from its records."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.bootstrap import Platform
from chalicelib.identity.caller import Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job, JobFilter, JobStatus, attempt_prefix
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.settings import Settings
from tests.e2e.conftest import Cloud
from tests.e2e.faulty import FaultyClients, Handler, sweep
from tests.functional.jobs.conftest import FakeBackends

pytestmark = pytest.mark.e2e

_NOTHING = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}


@dataclass
class World:
    """A tenant of its own, with one user."""

    caller: Caller
    admin: Caller
    request: TrainingJobRequest
    job: Job | None = None

    @property
    def job_id(self) -> str:
        assert self.job is not None
        return self.job.job_id


@dataclass
class Services:
    platform: Platform
    clients: FaultyClients
    backends: FakeBackends
    tenants: itertools.count[int]

    def world(self) -> World:
        tenant = f"sweep-{next(self.tenants)}"
        caller = Caller(tenant, "alice", frozenset({"USER"}))
        bucket = self.platform.settings.artifacts_bucket
        for name, body in (("train.py", b"print(1)\n"), ("data.csv", b"a\n1\n")):
            self.clients.s3.put_object(Bucket=bucket, Key=f"{caller.prefix}u/{name}", Body=body)
        small = {"gpu_count": 0, "cpu_cores": 2, "memory_gb": 4, "disk_gb": 20}
        config = {
            "script_path": f"s3://{bucket}/{caller.prefix}u/train.py",
            "dataset_path": f"s3://{bucket}/{caller.prefix}u/data.csv",
            "resource_requirements": small,
        }
        request = TrainingJobRequest.model_validate({"name": "sweep", "framework": "sklearn", "config": config})
        return World(caller, Caller(tenant, "root", frozenset({"ADMIN"})), request)

    def submit(self, world: World) -> None:
        world.job = self.platform.jobs.submit(world.caller, world.request, "the-key")

    def submitted(self) -> World:
        world = self.world()
        self.submit(world)
        return world

    def planned(self) -> World:
        world = self.submitted()
        self.platform.lifecycle.plan(world.caller.tenant, world.job_id)
        return world

    def at_end(self, state: BackendState, **more: Any) -> World:
        world = self.planned()
        self.backends.sagemaker.says(f"aimatrix-{world.job_id}-1", state, billable_seconds=100, **more)
        artifacts = [{"name": "m", "size_bytes": 1234}]
        key = f"{attempt_prefix(world.caller.tenant, world.job_id, 1)}manifest.json"
        self.platform.objects.write_json(key, {"schema": 1, "artifacts": artifacts})
        return world

    def finish(self, world: World) -> None:
        self.platform.finishing.finish(world.caller.tenant, world.job_id, None)

    def finished(self) -> World:
        world = self.at_end(BackendState.COMPLETED)
        self.finish(world)
        return world

    def balanced(self, world: World, status: JobStatus | None, jobs: int = 1) -> None:
        """One job in this status, and not a counter that differs."""
        report = self.platform.quota_check.tenant(world.caller.tenant)
        assert report.differences == (), report.differences
        assert report.jobs == jobs
        page = self.platform.jobs.search(world.admin, JobFilter(), 10, 0, None)
        assert [job.status for job in page.jobs] == ([status] if status else [])


@pytest.fixture(scope="module")
def services(cloud: Cloud) -> Services:
    clients = FaultyClients(cloud)
    functions = cloud.boto("lambda").list_functions()["Functions"]
    environment = {"AWS_REGION": "us-east-1"}
    for function in functions:
        environment |= function.get("Environment", {}).get("Variables", {})
    role = cloud.boto("iam").list_roles()["Roles"][0]["Arn"]
    machine = cloud.boto("stepfunctions").create_state_machine(
        name="sweep", definition=json.dumps(_NOTHING), roleArn=role
    )
    environment["AIMATRIX_TRAIN_JOB_ARN"] = machine["stateMachineArn"]
    platform = Platform(clients, Settings(environment))
    backends = FakeBackends()
    platform.__dict__["backends"] = backends
    return Services(platform, clients, backends, itertools.count(1))


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


class TestSweep:
    @pytest.mark.timeout(900)
    def test_leaves_no_difference_at_any_point(self, services: Services, capsys: pytest.CaptureFixture[str]) -> None:
        total = 0
        for handler in handlers(services):
            points, calls = sweep(services.clients, handler)
            total += points
            with capsys.disabled():
                print(f"\n  sweep {handler.name}: {points} points over {', '.join(calls)}: 0 violations", end="")
        with capsys.disabled():
            print(f"\n  rows 2 and 12: {total} points, 0 violations")
        assert total > 0
