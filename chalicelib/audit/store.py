"""The log in DynamoDB: value in, value out, and every condition under its name.

    pk                 sk                       what
    inbox#<tenant>     <time>#<id>              an entry that waits for its seal
    <tenant>           row#<000000000001>       a sealed row
    <tenant>           head                     number and hash of the last sealed row

Entries come in unordered, each an item of its own, so that no writer waits for another. Sealing moves them: one transaction
takes entries out of the inbox, puts the rows, and moves the head. A sealed row is never written again.

A search reads `by-tenant`, `by-actor`, `by-subject` or `by-action`, newest first. What an index is keyed by is not said a
second time in the row, but read from there: who changes it to hide a row from a search has altered the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.audit.chain import Position, Row, seal
from chalicelib.audit.entry import Entry
from chalicelib.clock import to_text
from chalicelib.cursor import Cursor
from chalicelib.table import MAX_TRANSACTION_ITEMS, ConditionFailed, Item, Table, Write, as_json

SEAL_AT_ONCE = (MAX_TRANSACTION_ITEMS - 1) // 2
"""Each row is two items of the transaction, the head is one."""

MAX_SEQ = 10**12 - 1

_LISTED = ("pk", "sk", "listed_at")
_LAST = "~"  # sorts behind every digit and letter
# The head is where it was when the rows to seal were read, so nobody has sealed any of them since.
_UNMOVED = "seq = :seq"
# What a row says under its own name, beside what its keys say.
_PLAIN = ("roles", "key_id", "source_ip", "request_id", "outcome", "code", "detail", "details", "previous", "hash")


class HeadMoved(Exception):
    """Somebody else sealed meanwhile: read again."""


@dataclass(frozen=True)
class Waiting:
    """An entry in the inbox."""

    sk: str
    row: Row


@dataclass(frozen=True)
class AuditFilter:
    """Which rows are asked for; `since` is included, `until` is not."""

    actor: str | None = None
    subject: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, row: Row) -> bool:
        wanted = (("user", self.actor), ("subject", self.subject), ("action", self.action))
        return all(value is None or row.get(name) == value for name, value in wanted)


@dataclass(frozen=True)
class RowPage:
    rows: tuple[Row, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class AuditStore:
    table: Table

    def waiting(self, entry: Entry) -> Write:
        """The entry into its tenant's inbox."""
        row = entry.row()
        return self.table.put(
            {"pk": _inbox(entry.caller.tenant), "sk": f"{row['at']}#{row['id']}", "entry": as_json(row)}
        )

    def write(self, write: Write) -> None:
        self.table.write(write)

    def inbox(self, tenant: str, limit: int) -> list[Waiting]:
        """What waits, oldest first."""
        page = self.table.query(("pk", _inbox(tenant)), limit=limit, consistent=True)
        return [Waiting(item["sk"], _entry(tenant, item)) for item in page.items]

    def head(self, tenant: str) -> Position:
        item = self.table.get(tenant, "head")
        return Position(item["seq"], item["hash"]) if item else Position()

    def seal(self, tenant: str, head: Position, waiting: Sequence[Waiting]) -> Position:
        """Move entries from the inbox to the end of the chain.

        Args:
            head: as it was read before the inbox was.
            waiting: at most `SEAL_AT_ONCE`.

        Returns:
            The new head.

        Raises:
            HeadMoved: nothing was sealed.
            ConditionFailed: nothing was sealed, and nothing can be: there is a row beyond the head.
        """
        # Two at the same moment, both having read head 5 and then the entries a and b:
        #   A: row 6 = a, row 7 = b, a and b out of the inbox, head 5 → 7 ── succeeds
        #   B: row 6 = a, row 7 = b, a and b out of the inbox, head 5 → 7 ── fails as a whole, and reads again
        writes: list[Write] = []
        end = head
        for each in waiting:
            row = seal(each.row, end)
            writes.append(self.table.put_if_absent(_item(tenant, row)))
            writes.append(self.table.delete(_inbox(tenant), each.sk))
            end = Position(row["seq"], row["hash"])
        item = {"pk": tenant, "sk": "head", "seq": end.seq, "hash": end.hash}
        first = head.seq == 0
        moved = (
            self.table.put_if_absent(item)
            if first
            else self.table.put(item, condition=_UNMOVED, values={":seq": head.seq})
        )
        try:
            self.table.transact(*writes, moved)
        except ConditionFailed:
            if self.head(tenant) != head:
                raise HeadMoved from None
            raise
        return end

    def rows(self, tenant: str, after: int, limit: int) -> tuple[Row, ...]:
        """Sealed rows in the order of the chain, from behind a number on."""
        between = ("sk", _row_sk(after + 1), f"row#{_LAST}")
        page = self.table.query(("pk", tenant), between=between, limit=limit, consistent=True)
        return tuple(row_of(item) for item in page.items)

    def search(self, tenant: str, wanted: AuditFilter, limit: int, after: Cursor | None, most_read: int) -> RowPage:
        """One page, newest first. Reads `most_read` rows at most, so a page may be short, or empty, and not the last."""
        index, key, value = _index(tenant, wanted)
        between = None
        if wanted.since or wanted.until:
            since = to_text(wanted.since) if wanted.since else "0"
            between = ("listed_at", since, to_text(wanted.until) if wanted.until else _LAST)
        found: list[Row] = []
        read = 0
        while True:
            page = self.table.query(
                (key, value),
                index=index,
                between=between,
                after=after,
                limit=min(limit - len(found), most_read - read),
                newest_first=True,
            )
            found += [row for row in map(row_of, page.items) if wanted.matches(row)]
            read += len(page.items)
            after = page.cursor
            if after is None or len(found) == limit or read >= most_read:
                return RowPage(tuple(found), after)

    @staticmethod
    def cursor(text: str | None, tenant: str, wanted: AuditFilter) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, key, value = _index(tenant, wanted)
        return Cursor.of_list(text, _LISTED, {"pk": tenant, key: value})


def _inbox(tenant: str) -> str:
    return f"inbox#{tenant}"


def tenant_of_inbox(pk: str) -> str:
    return pk.removeprefix("inbox#")


def _row_sk(seq: int) -> str:
    return f"row#{seq:012d}"


def _index(tenant: str, wanted: AuditFilter) -> tuple[str, str, str]:
    """The index that has the fewest rows to read, its key, and the value to look under."""
    for name, value in (("subject", wanted.subject), ("actor", wanted.actor), ("action", wanted.action)):
        if value is not None:
            return f"by-{name}", f"{name}_key", f"{tenant}#{value}"
    return "by-tenant", "tenant_key", tenant


def _entry(tenant: str, item: Item) -> Row:
    """What an entry says. One that nobody of ours wrote is sealed for what it is, and holds up no other."""
    try:
        row = json.loads(item["entry"])
        return {**row, "tenant": tenant, "id": str(row["id"]), "at": str(row["at"])}
    except (ValueError, TypeError, KeyError):
        at, _, entry_id = str(item["sk"]).partition("#")
        return {"id": entry_id, "at": at, "tenant": tenant, "user": "unknown", "action": "unreadable"}


def _item(tenant: str, row: Row) -> Item:
    return {
        "pk": tenant,
        "sk": _row_sk(row["seq"]),
        **{name: row[name] for name in _PLAIN if name in row},
        # What the indexes are keyed by, and where the row's time, id, tenant, user, subject and action are read from.
        "listed_at": f"{row['at']}#{row['id']}",
        "tenant_key": tenant,
        **{key: f"{tenant}#{row[name]}" for name, key in _KEYS.items() if name in row},
    }


_KEYS = {"user": "actor_key", "subject": "subject_key", "action": "action_key"}


def row_of(item: Mapping[str, Any]) -> Row:
    """A row as it lies there, altered or not."""
    number = str(item["sk"]).removeprefix("row#")
    at, _, entry_id = str(item.get("listed_at", "")).partition("#")
    keys = {name: str(item[key]).partition("#")[2] for name, key in _KEYS.items() if key in item}
    return {
        "seq": int(number) if number.isdecimal() else number,
        "id": entry_id,
        "at": at,
        "tenant": item.get("tenant_key"),
        **keys,
        **{name: item[name] for name in _PLAIN if name in item},
    }
