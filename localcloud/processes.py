"""Starts and ends the supervisor's children."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud import lifeline

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MAX_LOG_BYTES = 10 * 1024 * 1024

# A child never sees these: credentials and settings of the user's own AWS, MLflow or Python would steer it elsewhere.
_WITHHELD = ("AWS_", "AIMATRIX_", "MLFLOW_", "_MLFLOW", "PYTHON")
# All that reaches the AWS services, because their Lambda workers inherit it.
_KEPT_FOR_LAMBDA = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ")

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Command:
    """How to start a child."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    log: Path


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the user's environment that a child may have: proxies, certificates, locale, but no credentials."""
    return {name: value for name, value in environ.items() if not name.startswith(_WITHHELD)}


def inherited_by_lambda(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the user's environment that Lambda workers may have."""
    return {name: environ[name] for name in _KEPT_FOR_LAMBDA if name in environ}


def module(name: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules."""
    return [sys.executable, "-m", name, *arguments]


class Lifeline:
    """The end of the pipe that only the supervisor holds; see `localcloud.lifeline`."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


async def start(command: Command, line: Lifeline, *, stdin: bool = False) -> asyncio.subprocess.Process:
    """Start a child in a session of its own, tied to this process's life, with its output in its log."""
    rotate(command.log)
    log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *command.argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**command.environ, lifeline.ENV: str(line.reader)},
            cwd=PROJECT_ROOT,
            pass_fds=(line.reader,),
            start_new_session=True,
            preexec_fn=_tie(),
        )
    finally:
        os.close(log)


def _tie() -> Callable[[], None] | None:
    """On Linux the kernel itself tells a child that its parent died, whatever program the child is."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def set_parent_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return set_parent_death_signal


def rotate(log: Path) -> None:
    """Keep one older log beside the current one, so that logs never outgrow twice the limit between starts."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))


async def end(process: asyncio.subprocess.Process, grace: float) -> None:
    """SIGTERM, then SIGKILL for the child's whole session after the grace period; returns when the child is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            kill_session(process.pid)
    kill_session(process.pid)
    await process.wait()


def kill_session(leader: int) -> None:
    """SIGKILL every process in the group a child leads, such as the Lambda workers of the AWS services."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, to show with a failure."""
    try:
        content = log.read_bytes()[-16_384:]
    except FileNotFoundError:
        return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-lines:])
