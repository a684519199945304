"""Rows of the ledger, beside the records that they tell of.

    pk                   sk                      what
    <tenant>#<job_id>    change#<0000000001>     version 1: the event, and the whole record
    <tenant>#<job_id>    change#<0000000002>     the event that made version 2, and when

A row is written once. They stay as long as their job and go with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.clock import from_text
from chalicelib.jobs.items import job_from
from chalicelib.jobs.ledger import Change
from chalicelib.jobs.life import event_from
from chalicelib.table import ConditionFailed, Item, Table, as_json

PREFIX = "change#"
_FIRST = 1


@dataclass(frozen=True)
class LedgerStore:
    table: Table

    def append(self, record: Item) -> bool:
        """Note a version of a job's record; False when it was noted before.

        Args:
            record: the item, as it is in the table.
        """
        version = record["version"]
        row = {
            "pk": record["pk"],
            "sk": f"{PREFIX}{version:010d}",
            "version": version,
            "at": record["updated_at"],
            "event": record["event"],
            "record": as_json(record) if version == _FIRST else None,
        }
        try:
            self.table.write(self.table.put_if_absent(row))
        except ConditionFailed:
            return False
        return True

    def changes(self, tenant: str, job_id: str) -> list[Change]:
        """All rows of a job, in order of version."""
        return [_change(item) for item in self.table.all_of(f"{tenant}#{job_id}", PREFIX, consistent=True)]


def _change(item: Mapping[str, Any]) -> Change:
    record = item.get("record")
    return Change(
        version=item["version"],
        at=from_text(item["at"]),
        event=event_from(json.loads(item["event"])),
        record=job_from(json.loads(record)) if record else None,
    )
