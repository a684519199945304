"""The one process that owns all others: `python -m localcloud.supervisor --state DIR`.

It starts the parts, deploys the template as soon as the AWS services answer, starts again whatever dies, and ends
everything with itself. If it is killed, its children see the end of their lifeline and leave. It holds the state
directory's lock for as long as it lives: a lock that can be taken means that nothing runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcloud import locks, parts, processes
from localcloud.keeper import Keeper
from localcloud.state import Settings, StateDir, write_private

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
DEPLOY_ATTEMPTS = 3


class DeploymentFailedError(Exception):
    """The template could not be built or deployed."""


class Supervisor:
    """Runs one embedded cloud until told to stop."""

    def __init__(
        self,
        state: StateDir,
        settings: Settings,
        environ: Mapping[str, str],
        reporter: Reporter,
        build: Path | None = None,
    ) -> None:
        self._state = state
        self._settings = settings
        self._reporter = reporter
        self._line = processes.Lifeline()
        self._deployment = parts.deployment(state, environ, build)
        self._started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._phase = "starting"
        self._deployed = asyncio.Event()
        self._keepers = [Keeper(part, self._line, self._publish) for part in parts.all_parts(state, settings, environ)]

    async def run(self, stop: asyncio.Event) -> None:
        """Bring everything up, report it, and keep it up until `stop` is set.

        Raises:
            PartFailedError, DeploymentFailedError, TimeoutError: it cannot be kept up; everything has been ended.
        """
        self._state.deployment_file.unlink(missing_ok=True)
        self._publish()
        tasks = {keeper.part.name: asyncio.create_task(self._keep(keeper)) for keeper in self._keepers}
        tasks["deployment"] = asyncio.create_task(self._keep_deployed())
        stopping = asyncio.create_task(stop.wait())
        try:
            ready = asyncio.create_task(self._ready())
            await asyncio.wait({stopping, ready, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
                self._phase = "running"
                self._publish()
                self._reporter.send({"event": "ready"})
                await asyncio.wait({stopping, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            for task in tasks.values():
                if task.done():
                    task.result()
        finally:
            stopping.cancel()
            self._phase = "stopping"
            self._publish()
            # In order: whoever calls others is ended before them, so that its last calls still arrive.
            for task in [tasks.pop("deployment"), *tasks.values()]:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
            self._state.deployment_file.unlink(missing_ok=True)
            self._phase = "stopped"
            self._publish()
            self._line.close()

    async def _keep(self, keeper: Keeper) -> None:
        if keeper.part.after is not None:
            await self._keeper(keeper.part.after).well.wait()
        await keeper.keep()

    async def _ready(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            for keeper in self._keepers:
                await keeper.well.wait()
                self._reporter.send({"event": "progress", "message": f"{keeper.part.name} is ready"})
            await self._deployed.wait()
            self._reporter.send({"event": "progress", "message": "the template is deployed"})

    async def _keep_deployed(self) -> None:
        """Deploy whenever the AWS services have started: they forget the stack, not its data, when they die."""
        aws = self._keeper("aws")
        failures = 0
        while True:
            # An interrupted deployment may have left one: it opens the front door before it has seen the API answer.
            self._state.deployment_file.unlink(missing_ok=True)
            finished = await self._deploy(aws)
            if finished == 0:
                failures = 0
                self._deployed.set()
                self._publish()
                await aws.gone.wait()
                self._state.deployment_file.unlink(missing_ok=True)
                self._deployed.clear()
            elif not aws.gone.is_set():
                failures += 1
                if failures == DEPLOY_ATTEMPTS or self._phase == "starting":
                    log = self._deployment.log
                    raise DeploymentFailedError(f"{processes.tail(log, lines=1)} (the log is {log})")

    async def _deploy(self, aws: Keeper) -> int | None:
        """One deployment: it builds while the services still start. None if the services died meanwhile."""
        process = await processes.start(self._deployment, self._line, stdin=True)
        assert process.stdin is not None  # noqa: S101  (asked for above)
        died = asyncio.create_task(process.wait())
        gone = None
        try:
            await self._keeper("compute").well.wait()
            await aws.well.wait()
            with contextlib.suppress(ConnectionError):
                process.stdin.write(b"go\n")
                await process.stdin.drain()
            gone = asyncio.create_task(aws.gone.wait())
            await asyncio.wait({died, gone}, return_when=asyncio.FIRST_COMPLETED)
            return process.returncode if died.done() else None
        finally:
            if gone is not None:
                gone.cancel()
            await processes.end(process, grace=1.0)

    def _keeper(self, name: str) -> Keeper:
        return next(keeper for keeper in self._keepers if keeper.part.name == name)

    def _publish(self) -> None:
        settings = self._settings
        document = {
            "state_id": settings.state_id,
            "pid": os.getpid(),
            "since": self._started,
            "status": self._phase,
            "deployed": self._deployed.is_set(),
            "addresses": {
                "api": settings.api_url,
                "aws": settings.aws_url,
                "mlflow": settings.mlflow_url,
                "state": str(self._state.root),
            },
            "parts": [asdict(keeper.status) for keeper in self._keepers],
        }
        write_private(self._state.run_file, json.dumps(document, indent=2).encode())


class Reporter:
    """Tells whoever started the supervisor how far it is, one JSON document a line; nobody need listen."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, message: Mapping[str, Any]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            self._descriptor = None


async def supervise(state: StateDir, environ: Mapping[str, str], reporter: Reporter, build: Path | None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    settings = state.load()
    if settings is None:
        raise FileNotFoundError(state.settings_file)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with locks.hold(state.starting_file) as starting:
        supervisor = Supervisor(state, settings, environ, _Released(reporter, starting), build)
        try:
            await supervisor.run(stop)
        except Exception as error:
            logger.exception("the embedded cloud cannot run")
            reporter.send({"event": "failed", "reason": str(error) or type(error).__name__})
            return 1
    return 0


class _Released(Reporter):
    """Lets go of the starting lock as soon as the cloud is ready, for those who wait for it."""

    def __init__(self, reporter: Reporter, starting: locks.Lock) -> None:
        self._reporter = reporter
        self._starting = starting

    def send(self, message: Mapping[str, Any]) -> None:
        if message["event"] == "ready":
            self._starting.release()
        self._reporter.send(message)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--status-fd", type=int)
    parser.add_argument("--build", type=Path, help="deploy this finished build")
    parser.add_argument("--detach", action="store_true")
    arguments = parser.parse_args()
    if arguments.detach and os.fork() > 0:
        # The child lives on under the system's own first process, which also takes its exit status.
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    state = StateDir(arguments.state)
    reporter = Reporter(arguments.status_fd)
    try:
        lock = locks.hold(state.lock_file)
    except locks.HeldError:
        reporter.send({"event": "running"})
        return 0
    with lock:
        return asyncio.run(supervise(state, os.environ, reporter, arguments.build))


if __name__ == "__main__":
    raise SystemExit(main())
