"""The audit log in moto: what the rooms under test have put into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from chalicelib.audit.chain import Row
from chalicelib.audit.recorder import Recorder
from chalicelib.audit.store import AuditStore
from chalicelib.clock import Clock
from chalicelib.table import Table
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class AuditLog:
    store: AuditStore
    recorder: Recorder

    @classmethod
    def create(cls, dynamodb: DynamoDBClient, now: Clock) -> AuditLog:
        store = AuditStore(Table(dynamodb, create_table(dynamodb, "audit")))
        ids = (f"entry-{number:06d}" for number in count(1))
        return cls(store, Recorder(lambda: store, now, lambda: next(ids)))

    def entries(self, tenant: str = "acme") -> Sequence[Row]:
        """What waits to be sealed, oldest first."""
        return [each.row for each in self.store.inbox(tenant, 1000)]

    def told(self, tenant: str = "acme") -> list[tuple[str, str, str | None]]:
        """Who did what to what."""
        return [(row["user"], row["action"], row.get("subject")) for row in self.entries(tenant)]
