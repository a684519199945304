"""The audit room on moto's DynamoDB. moto carries out one transaction after the other, so races are drawn step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from chalicelib.audit.chain import Position, Row
from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.audit.sealing import Sealing
from chalicelib.audit.service import AuditService
from chalicelib.audit.store import AuditFilter, AuditStore
from chalicelib.errors import Forbidden
from chalicelib.identity.caller import Caller
from tests.functional.audit_log import AuditLog
from tests.functional.models.conftest import Ticking

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ALICE = Caller("acme", "alice", frozenset({"USER"}))
BOB = Caller("acme", "bob", frozenset({"USER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
STRANGER = Caller("umbrella", "alice", frozenset({"ADMIN"}))


@dataclass(frozen=True)
class Audit:
    client: DynamoDBClient
    clock: Ticking
    store: AuditStore
    recorder: Recorder
    sealing: Sealing
    service: AuditService

    def did(
        self, caller: Caller = ALICE, action: Action = Action.SUBMIT_JOB, about: str = "j-1", times: int = 1
    ) -> None:
        for _ in range(times):
            self.recorder.record(caller, action, subject("job", about))

    def was_refused(self, caller: Caller = ALICE, operation: str = "submit_job") -> None:
        self.recorder.refused(caller, operation, {}, Forbidden("This needs the permission jobs:submit."))

    def sealed(self, times: int = 3, caller: Caller = ALICE) -> tuple[Row, ...]:
        self.did(caller, times=times)
        self.sealing.seal(caller.tenant)
        return self.rows(caller.tenant)

    def rows(self, tenant: str = "acme") -> tuple[Row, ...]:
        return self.store.rows(tenant, 0, 10_000)

    def found(self, **wanted: str) -> list[int]:
        return [row["seq"] for row in self.service.search(ADMIN, AuditFilter(**wanted), 200, None).rows]  # type: ignore[arg-type]

    def broken(self) -> tuple[int, str] | None:
        broken = self.service.verify(ADMIN, Position(), 1000).walk.broken
        return (broken.seq, broken.fault.value) if broken else None


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    with mock_aws():
        return boto3.client("dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def audit(dynamodb: DynamoDBClient) -> Iterator[Audit]:
    with mock_aws():
        clock = Ticking()
        log = AuditLog.create(dynamodb, clock)
        yield Audit(dynamodb, clock, log.store, log.recorder, Sealing(log.store, lambda: 0.0), AuditService(log.store))
