"""The jobs room on moto's DynamoDB and S3, with fakes for what runs jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.capacity.admission import Admission
from chalicelib.capacity.preemption import Preemption
from chalicelib.capacity.store import CapacityStore
from chalicelib.costs.store import UsageStore
from chalicelib.identity.caller import Caller
from chalicelib.jobs.definitions import JobDefinitions
from chalicelib.jobs.deletion import Deletion
from chalicelib.jobs.finishing import Finishing
from chalicelib.jobs.gateways import ABSENT, BackendJob, BackendState
from chalicelib.jobs.instances import BatchMachines
from chalicelib.jobs.job import Attempt, Backend
from chalicelib.jobs.lifecycle import Lifecycle
from chalicelib.jobs.moving import Moving
from chalicelib.jobs.plan import Surroundings
from chalicelib.jobs.reports import Reports
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.secrets import Vault
from chalicelib.jobs.service import JobService
from chalicelib.jobs.store import JobStore
from chalicelib.metrics.store import MetricStore
from chalicelib.models.store import ModelStore
from chalicelib.objects import Objects
from chalicelib.quotas.accounts import AccountService
from chalicelib.quotas.check import QuotaCheck
from chalicelib.quotas.service import QuotaService
from chalicelib.quotas.store import QuotaStore
from chalicelib.settings import Settings
from chalicelib.table import Table
from tests.functional.audit_log import AuditLog
from tests.functional.tables import create_table

BUCKET = "artifacts"
ALICE = Caller("acme", "alice", frozenset({"USER"}))
BOB = Caller("acme", "bob", frozenset({"USER"}))
VIEWER = Caller("acme", "vera", frozenset({"VIEWER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
BATCH = BatchMachines(volume_gib=500, gpu_types=frozenset({"t4", "v100", "a100", "h100"}))
BATCH_SETTINGS = Settings(
    {"AIMATRIX_BATCH_QUEUE_PREFIX": "arn:aws:batch:us-east-1:000000000000:job-queue/aimatrix-training-"}
)
STRANGER = Caller("umbrella", "alice", frozenset({"ADMIN"}))


@dataclass
class FakeClock:
    moment: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class FakeMachine:
    """Remembers what was started; can lose a call, as a network does."""

    started: list[tuple[str, str]] = field(default_factory=list)
    lost: int = 0

    def start(self, name: str, document: dict[str, Any]) -> None:
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the call was lost")
        assert name == document["job_id"]
        self.started.append((document["tenant"], name))


@dataclass
class FakeWaiters:
    """Remembers the task tokens that were answered."""

    answered: list[str] = field(default_factory=list)

    def succeed(self, token: str) -> None:
        self.answered.append(token)


@dataclass
class FakeBackend:
    """A backend whose view of each attempt the test sets."""

    jobs: dict[str, BackendJob] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)

    def describe(self, attempt: Attempt) -> BackendJob:
        return self.jobs.get(attempt.name, ABSENT)

    def stop(self, attempt: Attempt, reason: str) -> None:
        if attempt.name in self.jobs and not self.jobs[attempt.name].state.is_finished:
            self.stopped.append(attempt.name)

    def says(self, attempt_name: str, state: BackendState, **more: Any) -> None:
        self.jobs[attempt_name] = BackendJob(state, backend_id=attempt_name, **more)


@dataclass
class FakeBackends:
    sagemaker: FakeBackend = field(default_factory=FakeBackend)
    batch: FakeBackend = field(default_factory=FakeBackend)

    def of(self, attempt: Attempt) -> FakeBackend:
        return self.sagemaker if attempt.backend is Backend.SAGEMAKER else self.batch


@dataclass(frozen=True)
class FakeDefinitions(JobDefinitions):
    """The real queues; the definitions are never registered."""

    def for_container(self, image: str, role_arn: str) -> str:
        return f"definition-of-{image}"


@dataclass
class Jobs:
    """Everything of the room, over one clock."""

    clock: FakeClock
    machine: FakeMachine
    backends: FakeBackends
    store: JobStore
    objects: Objects
    metrics: MetricStore
    service: JobService
    lifecycle: Lifecycle
    finishing: Finishing
    quotas: QuotaService
    accounts: AccountService
    deletion: Deletion
    reports: Reports
    log: AuditLog
    admission: Admission
    waiters: FakeWaiters

    def upload(self, caller: Caller, name: str, body: bytes = b"print('hello')\n") -> str:
        key = f"{caller.prefix}uploads/u1/{name}"
        self.objects.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def request(self, caller: Caller = ALICE, **config: Any) -> TrainingJobRequest:
        values = {
            "script_path": self.upload(caller, "train.py"),
            "dataset_path": self.upload(caller, "data.csv", b"a,b\n1,2\n"),
            "resource_requirements": {"gpu_count": 0, "cpu_cores": 2, "memory_gb": 4},
            **config,
        }
        return TrainingJobRequest.model_validate({"name": "churn", "framework": "sklearn", "config": values})


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for name in ("jobs", "metrics", "models", "quotas", "usage", "capacity"):
            create_table(dynamodb, name)
        clock, machine, backends = FakeClock(), FakeMachine(), FakeBackends()
        store = JobStore(Table(dynamodb, "jobs"))
        log = AuditLog.create(dynamodb, clock)
        objects = Objects(s3, BUCKET)
        checking = QuotaCheck(QuotaStore(Table(dynamodb, "quotas")), store.charged, lambda _: None, lambda: 0.0)
        accounts = AccountService(checking.store, checking, log.recorder, clock)
        quotas = QuotaService(QuotaStore(Table(dynamodb, "quotas")), clock)
        models = ModelStore(Table(dynamodb, "models"))
        deletion = Deletion(
            store, models, MetricStore(Table(dynamodb, "metrics")), objects, quotas, log.recorder, clock
        )
        waiters = FakeWaiters()
        admission = Admission(
            CapacityStore(Table(dynamodb, "capacity")),
            store,
            waiters,  # type: ignore[arg-type]
            clock,
            time.monotonic,
        )
        ids = (f"00000000-0000-4000-8000-{number:012d}" for number in count(1))
        tokens = (f"token-{number}" for number in count(1))
        service = JobService(
            store=store,
            objects=objects,
            machine=machine,  # type: ignore[arg-type]  # a fake of the same shape
            quotas=quotas,
            admission=admission,
            backends=backends,  # type: ignore[arg-type]
            batch_machines=lambda: BATCH,
            vault=Vault(
                lambda: boto3.client("kms"), boto3.client("kms").create_key()["KeyMetadata"]["Arn"], lambda: b"salt"
            ),
            region="us-east-1",
            now=clock,
            new_id=lambda: next(ids),
            audit=log.recorder,
        )
        lifecycle = Lifecycle(
            store=store,
            objects=objects,
            backends=backends,  # type: ignore[arg-type]
            definitions=FakeDefinitions(lambda: boto3.client("batch"), BATCH_SETTINGS),
            admission=lambda: admission,
            preemption=lambda: Preemption(admission.store, store, objects, backends, clock),  # type: ignore[arg-type]
            around=lambda tenant: Surroundings(
                BUCKET, f"s3://{BUCKET}/system/agent.zip", f"arn:aws:iam::0:role/{tenant}", "http://mlflow", "s"
            ),
            region="us-east-1",
            now=clock,
            new_token=lambda: next(tokens),
            moving=lambda: Moving(store, quotas, admission, lambda: BATCH, clock),
        )
        usage = UsageStore(Table(dynamodb, "usage"))
        finishing = Finishing(store, objects, quotas, admission, usage, backends, clock)  # type: ignore[arg-type]
        metrics = MetricStore(Table(dynamodb, "metrics"))
        reports = Reports(store, metrics, lifecycle, lambda *_: None)
        yield Jobs(
            clock,
            machine,
            backends,
            store,
            objects,
            metrics,
            service,
            lifecycle,
            finishing,
            quotas,
            accounts,
            deletion,
            reports,
            log,
            admission,
            waiters,
        )


@pytest.fixture
def job_id(jobs: Jobs) -> str:
    return jobs.service.submit(ALICE, jobs.request(), None).job_id
