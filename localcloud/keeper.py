"""Keeps one part running: starts it, watches its health, and starts it again when it dies."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from localcloud import processes
from localcloud.health import becomes_well, is_well
from localcloud.parts import Part

logger = logging.getLogger(__name__)

START_SECONDS = 90.0
PROBE_SECONDS = 0.05
WATCH_SECONDS = 5.0
UNWELL_PROBES = 3
MAX_RESTARTS = 5
WINDOW_SECONDS = 60.0
MAX_BACKOFF_SECONDS = 5.0


class PartFailedError(Exception):
    """A part died so often that starting it once more makes no sense."""

    def __init__(self, part: Part, reason: str) -> None:
        super().__init__(f"{part.name} {reason}; its log is {part.command.log}")
        self.part = part


@dataclass(frozen=True)
class Status:
    """What `aimatrix status` shows of a part."""

    name: str
    pid: int | None
    address: str
    health: str
    since: str
    restarts: int


class Keeper:
    """Runs one part. `well` is set while it is healthy; `gone` is set when the process that was last well has ended."""

    def __init__(self, part: Part, line: processes.Lifeline, on_change: Callable[[], None]) -> None:
        self.part = part
        self.well = asyncio.Event()
        self.gone = asyncio.Event()
        self._line = line
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._health = "starting"
        self._since = datetime.now(UTC)
        self._restarts = 0

    @property
    def status(self) -> Status:
        running = self._process is not None and self._process.returncode is None
        return Status(
            self.part.name,
            self._process.pid if running and self._process else None,
            self.part.address,
            self._health,
            self._since.isoformat(timespec="milliseconds"),
            self._restarts,
        )

    async def keep(self) -> None:
        """Keep the part running until cancelled; then end it.

        Raises:
            PartFailedError: it died too often.
        """
        deaths: deque[float] = deque()
        loop = asyncio.get_running_loop()
        try:
            while True:
                reason = await self._run_once()
                self.well.clear()
                self.gone.set()
                now = loop.time()
                deaths.append(now)
                while now - deaths[0] > WINDOW_SECONDS:
                    deaths.popleft()
                if len(deaths) > MAX_RESTARTS:
                    self._set("failed")
                    raise PartFailedError(self.part, f"{reason} {len(deaths)} times within {WINDOW_SECONDS:g} seconds")
                self._restarts += 1
                self._set("restarting")
                delay = min(0.1 * 2 ** (len(deaths) - 1), MAX_BACKOFF_SECONDS)
                logger.warning("%s %s; starting it again in %.1f s", self.part.name, reason, delay)
                await asyncio.sleep(delay)
        finally:
            self.well.clear()
            if self._process is not None:
                await processes.end(self._process, self.part.grace)
            if self._health != "failed":
                self._set("stopped")

    async def _run_once(self) -> str:
        """Start the part and stay with it; returns how it ended."""
        self._process = await processes.start(self.part.command, self._line)
        self._set("starting")
        watch = asyncio.create_task(self._watch())
        died = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({watch, died}, return_when=asyncio.FIRST_COMPLETED)
            if not died.done():
                await processes.end(self._process, self.part.grace)
                return watch.result()
        finally:
            watch.cancel()
            died.cancel()
        # Its Lambda workers, if it had any, must not outlive it.
        processes.kill_session(self._process.pid)
        return f"ended with status {self._process.returncode}"

    async def _watch(self) -> str:
        """Returns, with the reason, when the part is not well although its process lives."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await becomes_well(self.part.port, self.part.health, PROBE_SECONDS)
        except TimeoutError:
            return f"was not healthy within {START_SECONDS:g} seconds"
        self.gone.clear()
        self._set("healthy")
        self.well.set()
        failed = 0
        while failed < UNWELL_PROBES:
            await asyncio.sleep(WATCH_SECONDS)
            failed = 0 if await is_well(self.part.port, self.part.health) else failed + 1
            self._set("healthy" if failed == 0 else "unhealthy")
        return f"did not answer {UNWELL_PROBES} times in a row"

    def _set(self, health: str) -> None:
        if health != self._health:
            self._since = datetime.now(UTC)
        changed = health != self._health or health == "starting"
        self._health = health
        if changed:
            self._on_change()
