"""The calls about usage and receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.errors import NotFoundError
from aimatrix.client.paging import each_document
from aimatrix.client.receipts import Receipt
from aimatrix.client.transport import Transport
from aimatrix.client.waiting import FIRST_PAUSE, LONGEST_PAUSE

USAGE = "/usage"
SEALED_WITHIN = 60.0
_BEING_SEALED = "being-sealed"


@dataclass(frozen=True)
class CostCalls:
    """What jobs used and cost: ``client.costs``."""

    transport: Transport
    monotonic: Callable[[], float]

    def receipt(self, job_id: str, *, timeout: float = SEALED_WITHIN) -> Receipt:
        """The sealed receipt of a finished job. It is made a moment after the job's end: that moment is waited for.

        Args:
            timeout: for how many seconds; 0 asks once.

        Raises:
            NotFoundError: no such job of the caller's, or it has not finished (``code`` is then ``not-there-yet``), or its
                receipt was not made in time.
        """
        path = f"/training/jobs/{quote(job_id, safe='')}/receipt"
        deadline, pause = self.monotonic() + timeout, FIRST_PAUSE
        while True:
            try:
                return Receipt.from_document(self.transport.document("GET", path))
            except NotFoundError as error:
                if error.document.get("reason") != _BEING_SEALED or self.monotonic() + pause > deadline:
                    raise
            self.transport.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)

    def public_key(self) -> Mapping[str, Any]:
        """The key that receipts are signed with: ``public_key`` in PEM, ``key_id``, ``algorithm``."""
        return self.transport.document("GET", "/receipts/public-key")

    def usage(self, month: str | None = None, *, user_id: str | None = None) -> Iterator[Mapping[str, Any]]:
        """A month's finished jobs, latest first: what each used and cost. Pages are fetched as they are needed.

        Args:
            month: ``2026-11``; by default the current one.
            user_id: somebody else's, for who may see it.
        """

        def fetch(cursor: str | None) -> Mapping[str, Any]:
            return self.transport.document("GET", USAGE, params=_wanted(month, user_id, cursor))

        return each_document(fetch, "usage")

    def usage_csv(self, month: str | None = None, *, user_id: str | None = None) -> Iterator[str]:
        """The same as CSV, piece by piece; only the first has the header."""
        cursor: str | None = None
        while True:
            params = {**_wanted(month, user_id, cursor), "format": "csv"}
            response = self.transport.call("GET", USAGE, params=params)
            yield response.text if cursor is None else response.text.partition("\r\n")[2]
            cursor = response.headers.get("x-next-cursor")
            if not cursor:
                return

    def summary(self, by: str = "user", month: str | None = None) -> list[Mapping[str, Any]]:
        """A month's sums.

        Args:
            by: ``user``, ``tenant``, ``framework`` or ``name``; all but the own sum need the permission for everybody's.
        """
        answer = self.transport.document("GET", f"{USAGE}/summary", params={"by": by, "month": month})
        found: list[Mapping[str, Any]] = answer["summaries"]
        return found


def _wanted(month: str | None, user_id: str | None, cursor: str | None) -> dict[str, str | int | bool | None]:
    return {"month": month, "user_id": user_id, "cursor": cursor, "limit": 200}
