"""The experiments room on moto's DynamoDB, over HTTP as API Gateway hands it on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.experiments.joining import JoiningService
from chalicelib.experiments.outcomes import OutcomeService
from chalicelib.experiments.routes import rooms
from chalicelib.experiments.service import ExperimentService
from chalicelib.experiments.store import ExperimentStore
from chalicelib.identity.caller import Caller
from chalicelib.table import Table
from tests.functional.audit_log import AuditLog
from tests.functional.models.conftest import Ticking
from tests.functional.rest import Gateway, Response
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

USER = Caller("acme", "alice", frozenset({"USER"}))
VIEWER = Caller("acme", "vera", frozenset({"VIEWER"}))
STRANGER = Caller("umbrella", "dora", frozenset({"ADMIN"}))

NOWHERE: Any = None
"""Whose requests are split: no experiment of these tests names a deployment."""

CONVERSION = {"name": "conversion", "type": "proportion", "direction": "increase"}
ERRORS = {"name": "error_rate", "type": "proportion", "direction": "decrease", "max_relative_change": 0.1}
SHAPE: dict[str, Any] = {
    "name": "checkout",
    "variants": ["a", "b"],
    "primary_metric": CONVERSION,
    "alpha": 0.05,
    "power": 0.8,
    "minimum_effect": 0.2,
    "looks": 20,
    "max_samples_per_variant": 5000,
}


@dataclass(frozen=True)
class Experiments:
    store: ExperimentStore
    service: ExperimentService
    outcomes: OutcomeService
    log: AuditLog
    api: Gateway

    def send(
        self, method: str, path: str, body: Any = None, caller: Caller = USER, headers: Mapping[str, str] | None = None
    ) -> Response:
        return self.api.send(caller, method, f"/v1/experiments{path}", body, headers)

    def create(self, **changes: Any) -> str:
        answer = self.send("POST", "", {**SHAPE, **changes})
        assert answer.status == 201, answer.json
        made: str = answer.json["id"]
        return made

    def count(self, experiment_id: str, *counts: Mapping[str, Any], key: str | None = None) -> Response:
        headers = {"idempotency-key": key} if key else None
        return self.send("POST", f"/{experiment_id}/outcomes", {"counts": list(counts)}, headers=headers)

    def conversions(self, experiment_id: str, n: int, a: int, b: int, key: str | None = None) -> Response:
        """One look at n more units of each variant, of which so many have converted."""
        return self.count(experiment_id, share("a", "conversion", n, a), share("b", "conversion", n, b), key=key)

    def results(self, experiment_id: str) -> Any:
        return self.send("GET", f"/{experiment_id}/results").json


def share(variant: str, metric: str, n: int, successes: int) -> dict[str, Any]:
    return {"variant": variant, "metric": metric, "n": n, "successes": successes}


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
    client: DynamoDBClient = session.client("dynamodb")
    return client


@pytest.fixture
def experiments(dynamodb: DynamoDBClient) -> Iterator[Experiments]:
    with mock_aws():
        store = ExperimentStore(Table(dynamodb, create_table(dynamodb, "experiments")))
        clock = Ticking()
        log = AuditLog.create(dynamodb, clock)
        ids = (f"00000000-0000-4000-8000-{number:012d}" for number in count(1))
        service = ExperimentService(store, NOWHERE, clock, lambda: next(ids), log.recorder)
        outcomes = OutcomeService(store, clock)
        platform: Any = SimpleNamespace(experiments=service, outcomes=outcomes, joining=JoiningService(outcomes))
        authorizer: Any = None
        yield Experiments(store, service, outcomes, log, Gateway.of(rooms(platform, authorizer)))
