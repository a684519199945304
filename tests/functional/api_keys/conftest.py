"""The room `api_keys` on moto's DynamoDB, with a clock and secrets of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.api_keys.authentication import Authentication
from chalicelib.api_keys.gateways import Pepper
from chalicelib.api_keys.key import KeyText, NewKey
from chalicelib.api_keys.request import ApiKeyRequest
from chalicelib.api_keys.routes import rooms
from chalicelib.api_keys.service import ApiKeyService
from chalicelib.api_keys.store import KeyStore
from chalicelib.identity.caller import Caller
from chalicelib.table import Table
from tests.functional.audit_log import AuditLog
from tests.functional.rest import Gateway
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ALICE = Caller("acme", "alice", frozenset({"USER"}))
BOB = Caller("acme", "bob", frozenset({"USER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
STRANGER = Caller("umbrella", "alice", frozenset({"ADMIN"}))


class FakeSecrets:
    """Secrets Manager with one secret; counts who reads it."""

    def __init__(self) -> None:
        self.value = "p" * 64
        self.reads = 0

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803
        assert SecretId == "arn:pepper"
        self.reads += 1
        return {"SecretString": self.value}


@dataclass
class Keys:
    service: ApiKeyService
    authentication: Authentication
    client: DynamoDBClient
    secrets: FakeSecrets
    moment: list[datetime]
    log: AuditLog
    api: Gateway = field(init=False)

    def __post_init__(self) -> None:
        platform: Any = SimpleNamespace(api_keys=self.service, now=lambda: self.moment[0])
        authorizer: Any = None
        self.api = Gateway.of(rooms(platform, authorizer))

    def make(self, caller: Caller = ALICE, *scopes: str, days: int = 90, name: str = "ci") -> NewKey:
        request = ApiKeyRequest(name=name, scopes=list(scopes or ("jobs:read",)), expires_in_days=days)
        return self.service.create(caller, request)

    def wait(self, **time: float) -> None:
        self.moment[0] += timedelta(**time)

    def items(self) -> list[Any]:
        return self.client.scan(TableName="keys")["Items"]


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    """Made once: a client costs more than a test. Each test's `mock_aws` starts with empty services behind it."""
    with mock_aws():
        return boto3.client("dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def keys(dynamodb: DynamoDBClient) -> Iterator[Keys]:
    with mock_aws():
        secrets = FakeSecrets()
        moment = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
        numbers = count(1)
        store = KeyStore(Table(dynamodb, create_table(dynamodb, "keys")))
        pepper = Pepper(lambda: secrets, "arn:pepper")
        log = AuditLog.create(dynamodb, lambda: moment[0])
        service = ApiKeyService(
            store=store,
            pepper=pepper,
            now=lambda: moment[0],
            new_text=lambda: KeyText(f"{next(numbers):016x}", "ab" * 32),
            audit=log.recorder,
        )
        authentication = Authentication(store, pepper, lambda: moment[0])
        yield Keys(service, authentication, dynamodb, secrets, moment, log)
