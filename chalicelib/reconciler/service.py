"""What an administrator may ask of the reconciler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.function import Function
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.reconciler.repair import NO_SWEEP
from chalicelib.reconciler.store import SweepStore


@dataclass(frozen=True)
class ReconcilerService:
    store: SweepStore
    sweeper: Callable[[], Function]
    now: Clock
    audit: Recorder

    def request(self, caller: Caller) -> datetime:
        """Ask for a sweep now; the report of one that began then or later is the answer."""
        caller.require(Permission.RECONCILE)
        now = self.now()
        self.audit.record(caller, Action.RECONCILE, subject("installation", "jobs"))
        self.sweeper().call({})
        return now

    def latest(self, caller: Caller) -> dict[str, Any]:
        """The last sweep's report; before the first one, that of none."""
        caller.require(Permission.RECONCILE)
        return self.store.latest() or NO_SWEEP
