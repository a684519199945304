"""Search the log, read it in order, verify it."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.chain import Position, Row, Walk, ended, walk
from chalicelib.audit.store import AuditFilter, AuditStore, RowPage
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission

MOST_READ = 2000
"""Rows that one search looks at: a filter on several things at once reads the rows of one of them."""

MOST_WAITING = 1000
"""As far as what waits is counted."""


@dataclass(frozen=True)
class Stretch:
    """Some rows in the order of the chain.

    Attributes:
        head: where the whole chain ends.
        waiting: entries that are not sealed yet; `MOST_WAITING` means that many, or more.
        is_last: no row follows.
    """

    rows: tuple[Row, ...]
    head: Position
    waiting: int
    is_last: bool


@dataclass(frozen=True)
class Verification:
    walk: Walk
    head: Position
    waiting: int
    is_last: bool


@dataclass(frozen=True)
class AuditService:
    store: AuditStore

    def search(self, caller: Caller, wanted: AuditFilter, limit: int, cursor: str | None) -> RowPage:
        """Rows of the caller's tenant, newest first. A page may be short, or empty, and not the last."""
        caller.require(Permission.AUDIT_READ)
        after = AuditStore.cursor(cursor, caller.tenant, wanted)
        return self.store.search(caller.tenant, wanted, limit, after, MOST_READ)

    def read(self, caller: Caller, after: int, limit: int) -> Stretch:
        """Rows of the caller's tenant in the order of the chain, from behind a number on."""
        caller.require(Permission.AUDIT_READ)
        rows = self.store.rows(caller.tenant, after, limit)
        # After the rows, so that it is not behind them; once more, because a query may see half of a transaction.
        head = self.store.head(caller.tenant)
        if rows and rows[-1]["seq"] != head.seq:
            head = self.store.head(caller.tenant)
        waiting = len(self.store.inbox(caller.tenant, MOST_WAITING))
        return Stretch(rows, head, waiting, is_last=len(rows) < limit)

    def verify(self, caller: Caller, after: Position, limit: int) -> Verification:
        """Follow the chain for some rows; with the last ones, compare its end with the head."""
        stretch = self.read(caller, after.seq, limit)
        walked = walk(stretch.rows, after)
        if stretch.is_last:
            walked = ended(walked, stretch.head)
        return Verification(walked, stretch.head, stretch.waiting, stretch.is_last)
