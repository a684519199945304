"""The process that Lambda workers of the same code are forked from, and the handle on a worker that it forked."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from localcloud.seam import worker

ANSWER_SECONDS = 20.0


class Forked:
    """A worker. Looks to ministack like the `subprocess.Popen` it expects."""

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "w", buffering=1, encoding="utf-8")
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = os.fdopen(stderr, encoding="utf-8", errors="replace")
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = None

    def poll(self) -> int | None:
        """None while it runs. It is its breeder's child, so that its exit status is nobody's to know."""
        return 0 if self._ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired("lambda worker", timeout or 0)
        for stream in (self.stdin, self.stdout):
            try:
                stream.close()
            except BrokenPipeError:
                continue
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        return 0

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._handle is not None:
            try:
                signal.pidfd_send_signal(self._handle, number)
            except ProcessLookupError:
                return

    def _ended(self, timeout: float | None) -> bool:
        if self._handle is None:
            return True
        poller = select.poll()
        poller.register(self._handle, select.POLLIN)
        return bool(poller.poll(None if timeout is None else timeout * 1000))


class Breeder:
    """One process that has imported the libraries of one zip."""

    def __init__(self, interpreter: Path, code: Path, environ: Mapping[str, str]) -> None:
        self._code = code
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(ANSWER_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [str(interpreter), worker.__file__, str(theirs.fileno()), str(code)],
                cwd=code,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=dict(environ),
                pass_fds=(theirs.fileno(),),
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, environ: Mapping[str, str]) -> Forked:
        """A new worker, with an environment of its own.

        Raises:
            OSError: the breeder is gone or does not answer.
        """
        request = json.dumps({"environment": dict(environ), "directory": str(self._code)}).encode()
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        read_error, write_error = os.pipe()
        theirs = [read_in, write_out, write_error]
        try:
            with self._lock:
                socket.send_fds(self._control, [request], theirs)
                answer = self._control.recv(64)
            if not answer:
                raise ConnectionError("the process that forks Lambda workers has ended")
        except BaseException:
            for descriptor in (write_in, read_out, read_error):
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return Forked(int(answer), write_in, read_out, read_error)

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()
