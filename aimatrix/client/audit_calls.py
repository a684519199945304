"""The calls about the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aimatrix.client.audit import AuditRow, Verification
from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport
from chalicelib.audit.chain import START, Position, Walk, ended, walk

AUDIT = "/admin/audit"


@dataclass(frozen=True)
class AuditCalls:
    """``client.audit``: for who has the permission ``audit:read``."""

    transport: Transport

    def search(
        self,
        *,
        actor: str | None = None,
        subject: str | None = None,
        action: str | None = None,
        since: str | None = None,
        until: str | None = None,
        page_size: int = 50,
    ) -> Iterator[AuditRow]:
        """Rows that match all that is given, latest first, fetched page by page while they are read.

        Args:
            since, until: a date or time in UTC, such as ``2026-03-01`` or ``2026-03-01T12:00:00Z``; `until` itself is not
                included.
        """

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"actor": actor, "subject": subject, "action": action, "since": since, "until": until}
            return self.transport.document("GET", AUDIT, params={**params, "limit": page_size, "cursor": cursor})

        return (AuditRow.from_document(each) for each in each_document(fetch, "rows"))

    def verify(
        self, noted: Position | None = None, observe: Callable[[Position], None] = lambda _position: None
    ) -> Verification:
        """Read the whole log and hash it here: the service's word is not taken for it.

        Args:
            noted: ``verified`` of an earlier verification. Who can write the service's table can write a whole new log,
                good in itself; only what was noted elsewhere tells.
            observe: is told how far it is, after each page.
        """
        walked, cursor = Walk(START), None
        while True:
            page = self.transport.document("GET", f"{AUDIT}/chain", params={"cursor": cursor})
            head = Position(page["head"]["seq"], page["head"]["hash"])
            walked = walk(page["rows"], walked.position, noted)
            cursor = page["next_cursor"]
            if walked.broken or cursor is None or not page["rows"]:
                break
            observe(walked.position)
        walked = ended(walked, head, noted)
        return Verification(walked.position, walked.broken, head, page["waiting"])
