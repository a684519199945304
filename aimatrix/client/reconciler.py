"""The calls about the reconciler."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aimatrix.client.transport import Transport

_PATH = "/admin/reconciler"
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class SweepReport:
    """What a sweep found.

    Attributes:
        complete: whether it came to the end; if not, the next one goes on.
        unanswered: at how many things it could not look, because AWS did not answer; the next one looks again.
        orphan_seconds: for how long something ran that nobody owned.
        repairs: ``{"kind", "tenant", "subject", "detail", "orphan_seconds"}`` each.
    """

    began_at: str
    complete: bool
    open_jobs: int
    running: int
    deployments: int
    endpoints: int
    unanswered: int
    orphan_seconds: int
    repairs: tuple[Mapping[str, Any], ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SweepReport:
        return cls(
            began_at=document["began_at"],
            complete=document["complete"],
            open_jobs=document["open_jobs"],
            running=document["running"],
            deployments=document["deployments"],
            endpoints=document["endpoints"],
            unanswered=document["unanswered"],
            orphan_seconds=document["orphan_seconds"],
            repairs=tuple(document["repairs"]),
            document=document,
        )


@dataclass(frozen=True)
class ReconcilerCalls:
    """``client.reconciler``. For administrators of the whole installation."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self, timeout: float = 900) -> SweepReport:
        """Ask for a sweep and wait for its report.

        Raises:
            TimeoutError: there was none in time; the sweep may still go on.
        """
        asked_at = self.transport.document("POST", _PATH)["asked_at"]
        deadline = self.monotonic() + timeout
        while self.monotonic() < deadline:
            found = self.latest()
            if found is not None and found.began_at >= asked_at:
                return found
            self.sleep(_PAUSE_SECONDS)
        raise TimeoutError("the sweep did not end in time")

    def latest(self) -> SweepReport | None:
        """The last sweep's report; None before the first."""
        document = self.transport.document("GET", _PATH)
        return SweepReport.from_document(document) if document["began_at"] else None
