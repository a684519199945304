"""EventBridge events on their way out: recorded with the state change, delivered in order, once the cloud answers.

An event that was recorded but not delivered when the emulator died goes out at the next start. Delivery is therefore at
least once, as EventBridge's own is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from localcloud.compute.faults import FaultPlan
from localcloud.compute.host import ControlPlane
from localcloud.compute.store import DocumentStore

KIND = "event"
BATCH = 10  # PutEvents takes ten entries


class EventOutbox:
    def __init__(self, store: DocumentStore, control: ControlPlane, faults: FaultPlan) -> None:
        self._store = store
        self._control = control
        self._faults = faults
        self._next = 1 + max((int(key) for key, _ in store.scan(KIND)), default=0)
        self._recorded = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def record(
        self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str], at: datetime
    ) -> None:
        """Takes one event; it is on disk when this returns."""
        entry = {
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail, separators=(",", ":")),
            "Resources": list(resources),
            "Time": at.isoformat(),
        }
        for _ in range(self._faults.times_told(detail_type, resources[0].rpartition("/")[2] if resources else "")):
            self._store.put(KIND, f"{self._next:012d}", entry)
            self._next += 1
        self._recorded.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._deliver())
        self._recorded.set()

    async def stop(self) -> None:
        """Delivers what is recorded, unless the cloud is gone already, and ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _deliver(self) -> None:
        while True:
            await self._recorded.wait()
            self._recorded.clear()
            entries = list(self._store.scan(KIND))
            for start in range(0, len(entries), BATCH):
                batch = entries[start : start + BATCH]
                await self._control.put_events([entry for _, entry in batch])
                for key, _ in batch:
                    self._store.delete(KIND, key)
