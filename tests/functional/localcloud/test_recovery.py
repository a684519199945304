"""What the records say is unfinished, after a restart: on moto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.audit.entry import Action
from chalicelib.audit.sealing import Sealing
from chalicelib.clock import utc_now
from chalicelib.identity.caller import Caller
from localcloud.recovery import Recovery
from tests.functional.audit_log import AuditLog

TENANTS = ("acme", "umbrella")


@pytest.fixture
def log() -> Iterator[AuditLog]:
    with mock_aws():
        yield AuditLog.create(_client("dynamodb"), utc_now)


@pytest.fixture
def recovery(log: AuditLog) -> Recovery:
    return Recovery(log.store.table.client, _client("stepfunctions"))


def _client(service: Any) -> Any:
    return boto3.client(service, "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


class TestAuditLog:
    def test_is_spoken_of_again_for_each_tenant_with_something_to_seal(self, log: AuditLog, recovery: Recovery) -> None:
        for tenant in (*TENANTS, *TENANTS, "sealed"):
            caller = Caller(tenant, "ada", frozenset())
            log.recorder.record(caller, Action.SUBMIT_JOB, "job/j")
        sealing = Sealing(log.store, lambda: 0.0)
        sealing.seal("sealed")
        assert recovery.remind({"AuditTable": "audit"}) == 2
        items = [log.store.table.query(("pk", f"inbox#{tenant}"), limit=9).items for tenant in TENANTS]
        assert [sum("reminded_at" in item for item in inbox) for inbox in items] == [1, 1]

    def test_seals_the_same_whether_it_was_spoken_of_or_not(self, log: AuditLog, recovery: Recovery) -> None:
        log.recorder.record(Caller("acme", "ada", frozenset()), Action.SUBMIT_JOB, "job/j")
        (before,) = log.entries()
        recovery.remind({"AuditTable": "audit"})
        (after,) = log.entries()
        assert after == before

    def test_that_the_stack_does_not_have_is_left_out(self, recovery: Recovery) -> None:
        assert recovery.remind({}) == 0
