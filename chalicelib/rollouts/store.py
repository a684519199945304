"""Rollouts in DynamoDB, beside the deployment that they are of: value in, value out.

pk                          sk                    what
<tenant>#<deployment_id>    rollout#<number>      a rollout, the number with eight digits
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.clock import is_id
from chalicelib.cursor import Cursor
from chalicelib.rollouts.items import PREFIX, item_of, key_of, rollout_of
from chalicelib.rollouts.rollout import Rollout
from chalicelib.table import Table, Write

_UNCHANGED = "#record_version = :read_version"
_NAMES = {"#record_version": "record_version"}


@dataclass(frozen=True)
class RolloutPage:
    rollouts: tuple[Rollout, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class RolloutStore:
    table: Table

    def get(self, tenant: str, deployment_id: str, number: int) -> Rollout | None:
        item = self.table.get(*key_of(tenant, deployment_id, number)) if is_id(deployment_id) else None
        return rollout_of(item) if item else None

    def creation(self, rollout: Rollout) -> Write:
        return self.table.put_if_absent(item_of(rollout))

    def change(self, before: Rollout, after: Rollout, now: datetime) -> Write:
        """Replace the record, with the next version, if it is still as `before` was read."""
        after = replace(after, record_version=before.record_version + 1, updated_at=now)
        values = {":read_version": before.record_version}
        return self.table.put(item_of(after), condition=_UNCHANGED, values=values, names=_NAMES)

    def search(self, tenant: str, deployment_id: str, limit: int, offset: int, after: Cursor | None) -> RolloutPage:
        """Newest first."""
        page = self.table.query(
            ("pk", f"{tenant}#{deployment_id}"),
            begins_with=("sk", PREFIX),
            after=after,
            limit=limit,
            offset=offset,
            newest_first=True,
        )
        return RolloutPage(tuple(rollout_of(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, deployment_id: str) -> Cursor | None:
        """Read a list's cursor; its key is that of the list that is asked for now, so it can't lead elsewhere."""
        return Cursor.of_list(text, ("sk",), {"pk": f"{tenant}#{deployment_id}"})
