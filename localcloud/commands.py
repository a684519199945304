"""What `aimatrix up`, `down`, `status` and `token` do. The command line prints; these functions act and return values."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TypedDict

from localcloud import locks
from localcloud.issuer import Issuer
from localcloud.processes import PROJECT_ROOT, inherited, module, rotate, tail
from localcloud.state import StateDir, default_root, is_free

Progress = Callable[[str], None]
Ready = Callable[["Addresses"], None]

_DOWN_SECONDS = 45.0
_DOCUMENT_SECONDS = 5.0
_DOCUMENT_PROBE_SECONDS = 0.02


class CloudError(Exception):
    """The embedded cloud could not do what was asked; the message says why and what helps."""


class _RunDocument(TypedDict):
    pid: int
    since: str
    status: str
    addresses: dict[str, str]
    parts: list[_PartDocument]


class _PartDocument(TypedDict):
    name: str
    pid: int | None
    address: str
    health: str
    since: str
    restarts: int


class NotRunningError(CloudError):
    """Nothing runs on this state directory."""


@dataclass(frozen=True)
class Addresses:
    """Where a running cloud answers."""

    api: str
    aws: str
    mlflow: str
    state: str
    already_running: bool = False

    @classmethod
    def of(cls, document: _RunDocument, *, already_running: bool = False) -> Addresses:
        found = document["addresses"]
        return cls(found["api"], found["aws"], found["mlflow"], found["state"], already_running)

    def document(self) -> dict[str, str]:
        """The document `aimatrix up --json` ends with."""
        return {"api": self.api, "aws": self.aws, "mlflow": self.mlflow, "state": self.state}


@dataclass(frozen=True)
class PartStatus:
    """One part of a running cloud."""

    name: str
    pid: int | None
    address: str
    health: str
    since: str
    restarts: int


def up(
    state: Path | None = None,
    port: int | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    webhook_ports: Sequence[int] | None = None,
    detach: bool = False,
    build: Path | None = None,
    progress: Progress = lambda _message: None,
    ready: Ready = lambda _addresses: None,
    environ: Mapping[str, str] = os.environ,
) -> Addresses:
    """Start an embedded cloud, or find the one that runs on this state directory already.

    Args:
        state: the state directory; by default AIMATRIX_STATE, else the platform's place for it.
        port: the front door's port; by default the one used last, at first 8000.
        parameters: values for the template's parameters, beside those that a laptop gives; by default those used last.
        webhook_ports: of this machine, that webhooks may lead to by plain HTTP; by default those of the last time.
        detach: return when every part is healthy. Otherwise return when the cloud has ended, as Ctrl-C makes it.
        build: a finished build of the template; by default the project is built.
        progress: called with a line for each step.
        ready: called once, when every part is healthy.

    Raises:
        CloudError: it did not come up; nothing of it runs.
    """
    directory = _directory(state, environ)
    directory.create()
    if locks.is_held(directory.lock_file):
        found = _running(directory)
        settings = directory.load()
        if port is not None and settings is not None and settings.port != port:
            progress(f"runs already, on port {settings.port}; end it first to use port {port}")
        ready(found)
        return found
    if port is not None and not is_free(port):
        raise CloudError(f"port {port} is taken by another program; choose another with --port")
    settings = directory.prepare(port, parameters, webhook_ports)
    if not is_free(settings.port):
        raise CloudError(f"port {settings.port} is taken by another program; choose another with --port")
    reader, writer = os.pipe()
    log = directory.logs / "supervisor.log"
    rotate(log)
    # What the last run left speaks of processes whose ids may be others' now.
    directory.run_file.unlink(missing_ok=True)
    options = [*(["--detach"] if detach else []), *(["--build", str(build.resolve())] if build else [])]
    with log.open("ab") as output, os.fdopen(reader, "rb") as messages:
        try:
            supervisor = subprocess.Popen(
                module("localcloud.supervisor", "--state", str(directory.root), "--status-fd", str(writer), *options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**inherited(environ)},
                cwd=PROJECT_ROOT,
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        try:
            found = _await_ready(messages, directory, progress)
        except BaseException:
            down(directory.root)
            # The supervisor's end of the pipe closes when its process is gone, not a moment earlier.
            messages.read()
            supervisor.wait()
            raise
    try:
        ready(found)
        # Detached, this process has only begotten the supervisor and is gone; otherwise it is the supervisor.
        supervisor.wait()
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
    return found


def down(state: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> bool:
    """End the cloud that runs on this state directory and wait until all its processes are gone.

    Returns:
        Whether there was one.
    """
    directory = _directory(state, environ)
    if not directory.root.is_dir() or not locks.is_held(directory.lock_file):
        return False
    document = _run_document(directory)
    pids = [document["pid"], *(part["pid"] for part in document["parts"] if part["pid"])]
    handles = _handles(pids)
    try:
        supervisor = handles.get(document["pid"])
        if supervisor is not None:
            signal.pidfd_send_signal(supervisor, signal.SIGTERM)
            if not _ended(supervisor, _DOWN_SECONDS):
                signal.pidfd_send_signal(supervisor, signal.SIGKILL)
        # Without its supervisor every part ends by itself; this waits for it, and insists.
        for handle in handles.values():
            if not _ended(handle, _DOWN_SECONDS):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                _ended(handle, _DOWN_SECONDS)
    finally:
        for handle in handles.values():
            os.close(handle)
    return True


def status(state: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> list[PartStatus]:
    """Every part of the cloud on this state directory, the supervisor first; empty when nothing runs."""
    directory = _directory(state, environ)
    if not directory.root.is_dir() or not locks.is_held(directory.lock_file):
        return []
    document = _run_document(directory)
    health = {"running": "healthy"}.get(document["status"], document["status"])
    supervisor = PartStatus("supervisor", document["pid"], document["addresses"]["state"], health, document["since"], 0)
    return [supervisor, *(PartStatus(**part) for part in document["parts"])]


def addresses(state: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Addresses:
    """Where the cloud on this state directory answers.

    Raises:
        NotRunningError: there is none.
    """
    directory = _directory(state, environ)
    if not directory.root.is_dir() or not locks.is_held(directory.lock_file):
        raise NotRunningError(f"no embedded cloud runs on {directory.root}; `aimatrix up` starts one")
    return Addresses.of(_run_document(directory))


def token(
    state: Path | None = None,
    *,
    user: str,
    roles: Sequence[str] = ("USER",),
    tenant: str = "default",
    permissions: Sequence[str] = (),
    ttl: timedelta = timedelta(hours=12),
    environ: Mapping[str, str] = os.environ,
    now: Callable[[], float] = time.time,
) -> str:
    """Sign a token for a user of the cloud on this state directory; it need not run.

    Raises:
        NotRunningError: no cloud was ever started on this state directory.
        ValueError: no user, no tenant, or a lifetime out of range.
    """
    directory = _directory(state, environ)
    settings = directory.load()
    if settings is None:
        raise NotRunningError(f"no embedded cloud was started on {directory.root} yet; `aimatrix up` starts one")
    issuer = Issuer.open(directory.part("issuer"), settings.issuer_url)
    return issuer.token(user, roles, tenant, permissions, ttl, now)


def _directory(state: Path | None, environ: Mapping[str, str]) -> StateDir:
    return StateDir((state or default_root(environ)).expanduser().resolve())


def _running(directory: StateDir) -> Addresses:
    """The addresses of the cloud that runs; if it is still coming up, wait until it is."""
    locks.wait(directory.starting_file).release()
    if not locks.is_held(directory.lock_file):
        raise CloudError(f"the cloud on {directory.root} was starting, but did not come up; see {directory.logs}")
    return Addresses.of(_run_document(directory), already_running=True)


def _await_ready(messages: IO[bytes], directory: StateDir, progress: Progress) -> Addresses:
    for line in messages:
        message = json.loads(line)
        if message["event"] == "ready":
            return Addresses.of(_run_document(directory))
        if message["event"] == "running":
            return _running(directory)
        if message["event"] == "failed":
            raise CloudError(message["reason"])
        progress(message["message"])
    raise CloudError(f"the supervisor ended early:\n{tail(directory.logs / 'supervisor.log')}")


def _run_document(directory: StateDir) -> _RunDocument:
    """What the supervisor that holds the lock says about itself; it says it a moment after it has taken the lock."""
    deadline = time.monotonic() + _DOCUMENT_SECONDS
    while True:
        try:
            document: _RunDocument = json.loads(directory.run_file.read_bytes())
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise CloudError(f"the supervisor of {directory.root} does not say what it runs") from None
            time.sleep(_DOCUMENT_PROBE_SECONDS)
        else:
            return document


def _handles(pids: Sequence[int]) -> dict[int, int]:
    """File descriptors that stand for these processes and never for others that get their ids later."""
    handles = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handles[pid] = os.pidfd_open(pid)
    return handles


def _ended(handle: int, seconds: float) -> bool:
    """Whether the process ends within this time."""
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
