"""What a sweep of the reconciler asks of AWS, with ten open jobs behind 100 and behind 20,000 finished ones."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.cloud import Cloud, cloud
from benchmarks.figures import Figure
from benchmarks.lists import TENANT, job
from chalicelib.deployments.store import DeploymentStore
from chalicelib.jobs.items import job_item
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.store import JobStore
from chalicelib.reconciler.deployments import DeploymentRepairs
from chalicelib.reconciler.gateways import Driving, Execution, Machines, RunningOnSageMaker, StandingEndpoints
from chalicelib.reconciler.jobs import JobRepairs
from chalicelib.reconciler.retraining import RetrainingRepairs
from chalicelib.reconciler.store import SweepStore
from chalicelib.reconciler.sweep import Sweep
from chalicelib.reconciler.transforms import TransformRepairs
from chalicelib.retraining.store import RetrainingStore
from chalicelib.table import Table
from chalicelib.transforms.store import TransformStore

OPEN = 10
SIZES = (100, 20_000)
LONG_AGO = timedelta(hours=1)


@dataclass
class Counted:
    """Counts the calls of clients, by operation."""

    calls: Counter[str] = field(default_factory=Counter)

    def watch(self, client: Any) -> Any:
        client.meta.events.register("before-call", self._note)
        return client

    def _note(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1


@dataclass
class Executions:
    """Every execution runs; each question is a call to Step Functions."""

    counted: Counted

    def of(self, _job_id: str) -> Execution:
        self.counted.calls["DescribeExecution"] += 1
        return Execution(Driving.RUNNING)


def measure() -> list[Figure]:
    with cloud() as running:
        few, many = _sweeps(running)
    figures = [
        Figure(f"{name}, {OPEN} open, {SIZES[1]:,} finished", many[name], "calls", few[name]) for name in sorted(many)
    ]
    figures.append(Figure("all calls of a sweep", many.total(), "calls", few.total()))
    return figures


def _sweeps(running: Cloud) -> list[Counter[str]]:
    counted = Counted()
    outputs = json.loads((running.state / "deployment.json").read_bytes())["outputs"]
    table = Table(counted.watch(running.boto("dynamodb")), outputs["JobsTable"])
    nothing: Any = None
    sagemaker = counted.watch(running.boto("sagemaker"))
    executions: Any = Executions(counted)
    jobs = JobRepairs(
        store=JobStore(table),
        tenants=lambda _after: [TENANT],
        executions=executions,
        machine=nothing,
        finishing=lambda: nothing,
        receipts=lambda: nothing,
        notes=SweepStore(table),
        admission=nothing,
        backends=nothing,
        running=(RunningOnSageMaker(sagemaker),),
        stack="aimatrix",
        now=_now,
        seconds=time.monotonic,
        pause=time.sleep,
    )
    machines = Machines(nothing, executions)
    deployments = DeploymentRepairs(
        store=DeploymentStore(replace(table, name=outputs["DeploymentsTable"])),
        deploy=machines,
        undeploy=machines,
        finishing=nothing,
        describing=nothing,
        scaling=nothing,
        standing=StandingEndpoints(sagemaker),
        rollouts=nothing,
        stack="aimatrix",
        now=_now,
    )
    transforms = TransformRepairs(
        store=TransformStore(deployments.store.table), machines=machines, jobs=nothing, finishing=nothing, now=_now
    )
    retraining = RetrainingRepairs(
        RetrainingStore(Table(table.client, outputs["RetrainingTable"])), jobs.store, nothing, _now
    )
    sweep = Sweep(jobs, deployments, transforms, retraining, _now, time.monotonic)
    since = datetime.now(UTC) - LONG_AGO
    opened = [replace(job(number), status=JobStatus.RUNNING, updated_at=since) for number in range(OPEN)]
    table.put_all([job_item(each) for each in opened])
    found, written = [], 0
    for size in SIZES:
        done = [replace(job(OPEN + number), status=JobStatus.COMPLETED) for number in range(written, size)]
        table.put_all([job_item(each) for each in done])
        written = size
        counted.calls.clear()
        report = sweep.run(600)
        assert (report.open_jobs, report.repairs) == (OPEN, ())
        found.append(Counter(counted.calls))
    return found


def _now() -> datetime:
    return datetime.now(UTC)
