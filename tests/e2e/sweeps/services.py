"""The services of the control plane in this process, on an embedded cloud, and worlds to try them in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.bootstrap import Platform
from chalicelib.clock import utc_now
from chalicelib.deployments.deployment import Deployment
from chalicelib.identity.caller import Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job, JobFilter, JobStatus, attempt_prefix
from chalicelib.jobs.request import Retry, TrainingJobRequest
from chalicelib.settings import LOOPBACK_WEBHOOK_PORTS, Settings
from chalicelib.stats.framework import Period, Totals
from tests.e2e.conftest import Cloud
from tests.e2e.sweeps.faulty import FaultyClients
from tests.functional.jobs.conftest import FakeBackends

_NOTHING = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
_EVER = Period(date(2000, 1, 1), date(2999, 12, 31))


@dataclass
class World:
    """A tenant of its own, with one user."""

    caller: Caller
    admin: Caller
    request: TrainingJobRequest
    job: Job | None = None
    model_id: str = ""
    deployment: Deployment | None = None
    things: dict[str, Any] = field(default_factory=dict)

    @property
    def job_id(self) -> str:
        assert self.job is not None
        return self.job.job_id


@dataclass
class SkewedClock:
    """The true time, and how far this process is off it."""

    skew: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.skew


@dataclass
class Services:
    platform: Platform
    clients: FaultyClients
    backends: FakeBackends
    clock: SkewedClock

    def world(self) -> World:
        tenant = f"world-{uuid.uuid4().hex[:12]}"
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
        admin = Caller(tenant, "root", frozenset({"ADMIN", "USER", "MODEL_DEPLOYER"}))
        return World(caller, admin, request)

    def out_of_memory(self) -> World:
        """A job that may go on on a larger instance, and whose first attempt needs one."""
        world = self.world()
        config = world.request.config.model_copy(update={"retry": Retry(larger_instance=True)})
        world.request = world.request.model_copy(update={"config": config})
        self.submit(world)
        self.platform.lifecycle.plan(world.caller.tenant, world.job_id)
        reason = "AlgorithmError: , exit code: 137"
        name = f"aimatrix-{world.job_id}-1"
        self.backends.sagemaker.says(name, BackendState.FAILED, reason=reason, billable_seconds=100)
        return world

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
        prefix = attempt_prefix(world.caller.tenant, world.job_id, 1)
        model = {
            "kind": "sklearn",
            "uri": f"s3://{self.platform.settings.artifacts_bucket}/{prefix}model.tar.gz",
            "size_bytes": 1234,
            "checksum": "a" * 64,
            "servable": True,
        }
        manifest = {"schema": 1, "job_id": world.job_id, "attempt": 1, "artifacts": artifacts, "model": model}
        self.platform.objects.write_json(f"{prefix}manifest.json", manifest)
        return world

    def function(
        self, task: Callable[[Platform, Any], object], event: Callable[[World], dict[str, Any]]
    ) -> Callable[[World], object]:
        """A function of the template as Lambda calls it, with what it counts."""
        call = self.platform.metered(lambda given, _: task(self.platform, given))
        return lambda world: call(event(world), None)

    def finish(self, world: World) -> None:
        self.platform.finishing.finish(world.caller.tenant, world.job_id, None)

    def finished(self) -> World:
        world = self.at_end(BackendState.COMPLETED)
        self.finish(world)
        return world

    def actions(self, world: World, action: Action) -> int:
        """How often the audit log says that something was done in a world; all that waited is sealed first."""
        tenant = world.caller.tenant
        self.platform.audit_sealing.seal(tenant)
        rows = self.platform.audit_log.store.rows(tenant, 0, 100)
        return sum(row["action"] == action.value for row in rows)

    def balanced(self, world: World, status: JobStatus | None, jobs: int = 1) -> None:
        """One job in this status, and not a counter that differs: neither of quotas nor of frameworks."""
        report = self.platform.quota_check.tenant(world.caller.tenant)
        assert report.differences == (), report.differences
        assert report.jobs == jobs
        page = self.platform.jobs.search(world.admin, JobFilter(), 10, 0, None)
        assert [job.status for job in page.jobs] == ([status] if status else [])
        totals = self.totals(world)
        has_ended = status is None or status.is_finished
        ends = totals.completed + totals.failed + totals.cancelled
        assert (totals.jobs, ends) == (jobs, jobs if has_ended else 0)

    def totals(self, world: World) -> Totals:
        """What is counted of the jobs of a tenant."""
        found = self.platform.stats.frameworks.between(world.caller.tenant, _EVER)
        return Totals.sum(found.values())


def environment_of(cloud: Cloud) -> dict[str, str]:
    """What the template tells its functions."""
    environment = {"AWS_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}
    for function in cloud.boto("lambda").list_functions()["Functions"]:
        environment |= function.get("Environment", {}).get("Variables", {})
    return environment


def platform_ahead(cloud: Cloud, ahead: timedelta) -> Platform:
    """The services as the template wires them, machines and backends included, by a clock that is ahead."""
    return Platform(FaultyClients(cloud), Settings(environment_of(cloud)), SkewedClock(ahead))


def services_on(cloud: Cloud) -> Services:
    """The services as the template wires them; a machine and a queue that do nothing stand where jobs would start to run."""
    clients = FaultyClients(cloud)
    environment = environment_of(cloud)
    role = cloud.boto("iam").list_roles()["Roles"][0]["Arn"]
    machine = cloud.boto("stepfunctions").create_state_machine(
        name=f"nothing-{uuid.uuid4()}", definition=json.dumps(_NOTHING), roleArn=role
    )
    nothing = machine["stateMachineArn"]
    for which in ("TRAIN_JOB", "DEPLOY_MODEL", "UNDEPLOY_MODEL", "SHIFT_TRAFFIC", "TRANSFORM_DATA"):
        environment[f"AIMATRIX_{which}_ARN"] = nothing
    environment["AIMATRIX_RETRAINING_QUEUE"] = cloud.boto("sqs").create_queue(QueueName=f"nothing-{uuid.uuid4()}")[
        "QueueUrl"
    ]
    environment[LOOPBACK_WEBHOOK_PORTS] = str(cloud.webhook_port)
    environment["AIMATRIX_TRAIN_JOB_EXECUTIONS"] = nothing.replace(":stateMachine:", ":execution:") + ":"
    clock = SkewedClock()
    platform = Platform(clients, Settings(environment), clock)
    backends = FakeBackends()
    platform.__dict__["backends"] = backends
    return Services(platform, clients, backends, clock)
