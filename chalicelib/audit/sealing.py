"""Puts a tenant's entries in order, one after the other, and chains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.audit.chain import Position
from chalicelib.audit.store import SEAL_AT_ONCE, AuditStore, HeadMoved

MAX_SECONDS = 30.0
"""Of one call, which has a minute."""


@dataclass(frozen=True)
class Sealed:
    """
    Attributes:
        rows: how many this call has sealed.
        is_all: nothing was left when it ended.
    """

    rows: int
    head: Position
    is_all: bool


@dataclass(frozen=True)
class Sealing:
    """
    Args:
        monotonic: seconds that never go back.
    """

    store: AuditStore
    monotonic: Callable[[], float]

    def seal(self, tenant: str) -> Sealed:
        """Seal what waits, oldest first.

        It looks at what is there and not at who called it: called twice, late, or two at a time, each entry becomes one
        row.
        """
        until = self.monotonic() + MAX_SECONDS
        sealed, head = 0, self.store.head(tenant)
        while True:
            # In this order: an entry that waits after the head was read, and a head that has not moved since, make sure
            # that nobody has sealed the entry.
            waiting = self.store.inbox(tenant, SEAL_AT_ONCE)
            if not waiting or self.monotonic() > until:
                return Sealed(sealed, head, is_all=not waiting)
            try:
                head = self.store.seal(tenant, head, waiting)
            except HeadMoved:
                head = self.store.head(tenant)
            else:
                sealed += len(waiting)
