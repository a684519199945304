"""The models room on moto's DynamoDB and S3, with MLflow in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Allocation, Backend, Job, TimeLimit, attempt_prefix
from chalicelib.models.external import ExternalArtifacts
from chalicelib.models.model import Model, ModelFilter
from chalicelib.models.registration import Registration
from chalicelib.models.request import ModelRegistrationRequest
from chalicelib.models.service import ModelService
from chalicelib.models.store import ModelStore
from chalicelib.quotas.quota import Amounts, Reservation
from chalicelib.table import Table
from tests.functional.audit_log import AuditLog
from tests.functional.tables import create_table
from tests.unit.tracking.fake_mlflow import FakeMlflow

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

BUCKET = "artifacts"
ALICE = Caller("acme", "alice", frozenset({"USER"}))
BOB = Caller("acme", "bob", frozenset({"USER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
STRANGER = Caller("umbrella", "alice", frozenset({"ADMIN"}))

_ALLOCATION = Allocation(Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 20, Decimal("0.115"), "list", "2026-01-01")


@dataclass
class Ticking:
    """A clock that is a second later each time it is read."""

    moment: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@dataclass
class Models:
    clock: Ticking
    s3: S3Client
    mlflow: FakeMlflow
    store: ModelStore
    service: ModelService
    registration: Registration
    log: AuditLog

    def upload(self, caller: Caller = ALICE, name: str = "model.tar.gz", body: bytes = b"archive") -> str:
        key = f"{caller.prefix}uploads/u1/{name}"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def register(self, caller: Caller = ALICE, **values: Any) -> Model:
        document = {"name": "churn", "framework": "sklearn", **values}
        if "artifact_path" not in values:
            document["artifact_path"] = self.upload(caller)
        return self.service.register(caller, ModelRegistrationRequest.model_validate(document))

    def trained(self, job_id: str = "j-1", tenant: str = "acme", **model: Any) -> Model:
        """A model as `register_model` makes it of a finished job."""
        made = self.registration.register_from_job(job(job_id, tenant), 1, manifest(job_id, tenant, **model))
        assert made is not None
        return made

    def listed(self, caller: Caller = ALICE, wanted: ModelFilter | None = None) -> list[str]:
        page = self.service.search(caller, wanted or ModelFilter(), 100, 0, None)
        return [f"{model.name}:{model.version}" for model in page.models]


def job(job_id: str = "j-1", tenant: str = "acme", name: str = "churn") -> Job:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return Job(
        tenant,
        job_id,
        "alice",
        name,
        "sklearn",
        {},
        _ALLOCATION,
        now,
        now,
        TimeLimit(3600),
        Reservation("2026-03", Amounts()),
        tags=("nightly",),
        description="weekly",
    )


def manifest(job_id: str = "j-1", tenant: str = "acme", **model: Any) -> dict[str, Any]:
    uri = f"s3://{BUCKET}/{attempt_prefix(tenant, job_id, 1)}model.tar.gz"
    archive = {"name": "model.tar.gz", "type": "model", "path": uri, "size_bytes": 9, "checksum": "a" * 64}
    return {
        "schema": 1,
        "job_id": job_id,
        "attempt": 1,
        "run": {"experiment_id": "1", "run_id": f"run-of-{job_id}"},
        "artifacts": [archive],
        "model": {
            "kind": "sklearn",
            "file": "model.joblib",
            "uri": uri,
            "size_bytes": 9,
            "checksum": "a" * 64,
            "servable": True,
            "reason": None,
            "mlflow_model_id": None,
            "signature": {"inputs": [{"type": "double", "required": True}]},
            "input_example": {"inputs": [[1.0, 2.0], [3.0, 4.0]]},
            **model,
        },
        "metrics": {"accuracy": 0.9},
    }


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    """Made once: a client costs more than a test. Each test's `mock_aws` starts with empty services behind it."""
    client: DynamoDBClient = _client("dynamodb")
    return client


@pytest.fixture(scope="session")
def s3() -> S3Client:
    client: S3Client = _client("s3")
    return client


@pytest.fixture
def models(dynamodb: DynamoDBClient, s3: S3Client) -> Iterator[Models]:
    with mock_aws():
        s3.create_bucket(Bucket=BUCKET)
        store = ModelStore(Table(dynamodb, create_table(dynamodb, "models")))
        clock, mlflow = Ticking(), FakeMlflow()
        ids = (f"00000000-0000-4000-8000-{number:012d}" for number in count(1))
        log = AuditLog.create(dynamodb, clock)
        service = ModelService(store, ExternalArtifacts(s3, BUCKET), clock, lambda: next(ids), log.recorder)
        registration = Registration(store, mlflow.registry(), BUCKET, clock, log.recorder)
        yield Models(clock, s3, mlflow, store, service, registration, log)


def _client(service: Any) -> Any:
    with mock_aws():
        return boto3.client(service, "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
