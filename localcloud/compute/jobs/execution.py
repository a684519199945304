"""One run of a job's process: its output, its time limit, its disk allowance, and the ways it can be ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Event
from typing import BinaryIO

from localcloud.compute.faults import Rule
from localcloud.compute.host import Host
from localcloud.compute.jobs import disk
from localcloud.compute.log_shipping import LogDestination, LogPump
from localcloud.compute.processes import Command, Exit, SpawnError


class Cause(Enum):
    """Why a process was ended from outside."""

    STOPPED = "stopped"
    MAX_RUNTIME = "max_runtime"
    DISK = "disk"
    INTERRUPTED = "interrupted"
    CRASH = "crash"
    MEMORY = "memory"


ENDS = {
    "spot_interruption": Cause.INTERRUPTED,
    "crash": Cause.CRASH,
    "out_of_memory": Cause.MEMORY,
}
"""What the injected faults of a running process do."""


# Jobs give way to the embedded cloud, which would otherwise answer late while all of them compute.
NICENESS = 10


@dataclass(frozen=True)
class Limits:
    """Of one run: seconds, and bytes on disk."""

    runtime: float
    disk_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `cause` only when it was ended from outside. `start_error`: it never ran.
    `last_words`: the last lines that it printed.
    """

    exit: Exit
    cause: Cause | None = None
    start_error: str | None = None
    last_words: str = ""


class Execution:
    """Runs a command once."""

    def __init__(
        self,
        host: Host,
        command: Command,
        watched: Path,
        limits: Limits,
        destination: LogDestination,
        copy: BinaryIO | None = None,
        notice: str | None = None,
    ) -> None:
        self._host = host
        self._command = command
        self._watched = watched
        self._limits = limits
        self._cause: Cause | None = None
        self._cancelled = Event()
        settings = host.settings
        self._pump = LogPump(
            host.logs, destination, host.blocking, host.now, host.sleep, settings.log_bytes_limit, copy
        )
        if notice is not None:
            self._pump.announce(notice)
        self._timers: list[asyncio.TimerHandle] = []
        self._loop = asyncio.get_running_loop()
        self._process = host.launcher.spawn(command)

    async def run(self) -> Outcome:
        """Waits for the end. When this returns, every process is gone and every line has been delivered."""
        output = asyncio.create_task(self._pump.run(self._process.output))
        # With nobody to read what it prints, it would wait in `write` for ever.
        output.add_done_callback(self._on_output_end)
        watch = asyncio.create_task(self._watch_disk())
        self._timers.append(self._loop.call_later(self._limits.runtime, self.end, Cause.MAX_RUNTIME))
        start_error = None
        try:
            await self._process.started()
        except SpawnError as error:
            start_error = str(error)
        ended = await self._process.wait()
        self._cancelled.set()
        for timer in self._timers:
            timer.cancel()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await output
        return Outcome(ended, self._cause, start_error, self._pump.last_words)

    def _on_output_end(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and pump.exception() is not None:
            self._process.kill()

    def end(self, cause: Cause) -> None:
        """Ends the run: SIGTERM, and SIGKILL to all of it after the grace period; the first cause counts."""
        if self._cause is not None or not self._process.running:
            return
        self._cause = cause
        if cause in (Cause.DISK, Cause.CRASH, Cause.MEMORY):
            self._process.kill()
            return
        self._process.terminate()
        self._timers.append(self._loop.call_later(self._host.settings.stop_grace, self._process.kill))

    def end_by(self, fault: Rule | None) -> None:
        """Let an injected fault end the run, if it is one that does."""
        cause = ENDS.get(fault.fault) if fault is not None else None
        if fault is None or cause is None:
            return
        if fault.after_line:
            self._pump.watch_for(fault.after_line, lambda: self.end(cause))
        else:
            self._timers.append(self._loop.call_later(fault.after_seconds, self.end, cause))

    async def _watch_disk(self) -> None:
        """Ends a run that is over its allowance, unless the job looks after that itself within the grace period."""
        allowed, settings = self._limits.disk_bytes, self._host.settings
        far_over = allowed + allowed // 4
        over_since: float | None = None
        while True:
            await self._host.sleep(settings.disk_check_interval)
            used = await self._host.blocking.run(disk.usage, self._watched, far_over, self._cancelled)
            if used <= allowed:
                over_since = None
                continue
            now = self._loop.time()
            over_since = now if over_since is None else over_since
            if used > far_over or now - over_since >= settings.stop_grace:
                self.end(Cause.DISK)
                return
