"""Puts a tenant's entries in order, one after the other, and chains them."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.chain import Position
from chalicelib.audit.store import SEAL_AT_ONCE, AuditStore, HeadMoved

MAX_ROUNDS = 100
"""Of one call: 4,900 rows. What is left waits for the next."""


@dataclass(frozen=True)
class Sealed:
    rows: int
    head: Position


@dataclass(frozen=True)
class Sealing:
    store: AuditStore

    def seal(self, tenant: str) -> Sealed:
        """Seal what waits, oldest first.

        It looks at what is there and not at who called it: called twice, late, or two at a time, each entry becomes one
        row.
        """
        sealed, head = 0, self.store.head(tenant)
        for _ in range(MAX_ROUNDS):
            # In this order: an entry that waits after the head was read, and a head that has not moved since, make sure
            # that nobody has sealed the entry.
            waiting = self.store.inbox(tenant, SEAL_AT_ONCE)
            if not waiting:
                break
            try:
                head = self.store.seal(tenant, head, waiting)
            except HeadMoved:
                head = self.store.head(tenant)
            else:
                sealed += len(waiting)
        return Sealed(sealed, head)
