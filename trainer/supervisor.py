"""Runs the script and stays its master until nothing of it is left.

One thread watches everything: both output pipes, signals (through a wake-up pipe), the clock, the disk. The script leads a
session of its own, so a signal to its group reaches what it started; whatever leaves that group becomes the agent's own
child when it is orphaned, and is ended by name of its process id.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time

from trainer import processes
from trainer.console import STDERR, STDOUT

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from trainer.lines import Output

_READ = 256 * 1024
_DRAIN_SECONDS = 2.0
_CHECK_SECONDS = 1.0
# How long after SIGTERM the script may tidy up. SageMaker leaves 120 s in all and Batch 30, uploads included.
SAGEMAKER_GRACE_SECONDS = 90.0
BATCH_GRACE_SECONDS = 15.0


class Outcome:
    """How the script ended.

    Attributes:
        code: Its exit code, 128 + n if signal n ended it.
        signal: That signal, or `None`.
        stopped: Why the agent ended it, or `None` if it ended by itself.
        cancelled: Whether it was ended because the agent itself was told to stop.
    """

    __slots__ = ("cancelled", "code", "signal", "stopped")

    def __init__(self, code: int, signal_number: int | None, stopped: str | None, *, cancelled: bool) -> None:
        self.code = code
        self.signal = signal_number
        self.stopped = stopped
        self.cancelled = cancelled


class Supervisor:
    """Runs one child.

    Args:
        output: Takes what it prints.
        max_runtime_seconds: When to end it; `None` for no limit.
        grace_seconds: How long it has between SIGTERM and SIGKILL.
        file_bytes: The largest single file it may write, bytes.
        check: Called about once a second; a text that it returns is why the script has to end.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        output: Output,
        *,
        max_runtime_seconds: float | None,
        grace_seconds: float,
        file_bytes: int | None = None,
        check: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output = output
        self._max_runtime_seconds = max_runtime_seconds
        self._grace_seconds = grace_seconds
        self._file_bytes = file_bytes
        self._check = check
        self._clock = clock
        self._stopped: str | None = None
        self._cancelled = False
        self._kill_at: float | None = None
        self._next_check = clock() + _CHECK_SECONDS

    def run(
        self,
        command: Sequence[bytes],
        env: Mapping[bytes, bytes],
        cwd: Path,
        *,
        started: Callable[[], None] = lambda: None,
        received: list[int] | None = None,
    ) -> Outcome:
        """Spawns the command and returns when it has ended and nothing that it started is left.

        Runs in the main thread: it handles signals.

        Args:
            command: The argument list, encoded.
            env: The whole environment, encoded.
            cwd: Where it runs.
            started: Called as soon as the process exists.
            received: Signals that arrived before, treated as if they came now.

        Raises:
            OSError: it could not be started.
        """
        processes.become_subreaper()
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_read, wake_write):
            os.set_blocking(descriptor, False)
        arrived = received if received is not None else []
        previous = {
            number: signal.signal(number, lambda number, _: arrived.append(number))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        }
        previous_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            child = subprocess.Popen(
                list(command),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                preexec_fn=processes.child_setup(file_size=self._file_bytes),
            )
            return self._watch(child, wake_read, arrived, started)
        finally:
            signal.set_wakeup_fd(previous_wakeup)
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(wake_read)
            os.close(wake_write)

    def _watch(
        self, child: subprocess.Popen[bytes], wake: int, received: list[int], started: Callable[[], None]
    ) -> Outcome:
        selector = selectors.DefaultSelector()
        pipes = [
            (pipe, stream) for pipe, stream in ((child.stdout, STDOUT), (child.stderr, STDERR)) if pipe is not None
        ]
        for pipe, stream in pipes:
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, stream)
        selector.register(wake, selectors.EVENT_READ)
        begun = self._clock()
        status: int | None = None
        try:
            started()
            while status is None:
                self._pump(selector, wake, timeout=0.0 if received else self._patience(begun))
                while received:
                    number = received.pop(0)
                    if number != signal.SIGCHLD:
                        self._cancelled = True
                        self._end(child, "the job was stopped", number)
                status = processes.reap(child.pid)
                if status is None:
                    self._look_after(child, begun)
            # The script is gone: so goes what it left running, and then its pipes have an end.
            _signal_group(child.pid, signal.SIGKILL)
            processes.end_descendants()
            deadline = self._clock() + _DRAIN_SECONDS
            while len(selector.get_map()) > 1 and self._clock() < deadline:
                self._pump(selector, wake, timeout=0.05)
        except BaseException:
            _signal_group(child.pid, signal.SIGKILL)
            processes.end_descendants()
            raise
        finally:
            selector.close()
            for pipe, _ in pipes:
                pipe.close()
            self._output.close()
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode < 0:
            return Outcome(128 - child.returncode, -child.returncode, self._stopped, cancelled=self._cancelled)
        return Outcome(child.returncode, None, self._stopped, cancelled=self._cancelled)

    def _pump(self, selector: selectors.BaseSelector, wake: int, *, timeout: float) -> None:
        for key, _ in selector.select(timeout):
            if key.fd == wake:
                _read(wake)
                continue
            data = _read(key.fd)
            if data:
                self._output.feed(key.data, data)
            elif data is not None:
                selector.unregister(key.fileobj)

    def _patience(self, begun: float) -> float:
        """Seconds until something may have to be done without anything having happened."""
        now = self._clock()
        times = [now + _CHECK_SECONDS]
        if self._kill_at is not None:
            times.append(self._kill_at)
        elif self._max_runtime_seconds is not None:
            times.append(begun + self._max_runtime_seconds)
        return max(0.0, min(times) - now)

    def _look_after(self, child: subprocess.Popen[bytes], begun: float) -> None:
        now = self._clock()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._kill_at = now + _CHECK_SECONDS
                _signal_group(child.pid, signal.SIGKILL)
            return
        if self._max_runtime_seconds is not None and now - begun >= self._max_runtime_seconds:
            self._end(child, f"the script ran longer than its limit of {self._max_runtime_seconds:g} s", signal.SIGTERM)
            return
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        why = self._check()
        if why is not None:
            # At once: with every second of grace it could write gigabytes more.
            self._end(child, why, signal.SIGKILL)

    def _end(self, child: subprocess.Popen[bytes], why: str, number: int) -> None:
        if self._kill_at is None:
            self._stopped = why
            self._kill_at = self._clock() + self._grace_seconds
        _signal_group(child.pid, number)


def grace_seconds(environ: Mapping[str, str]) -> float:
    """How long the script has between SIGTERM and SIGKILL, by backend; `AIMATRIX_GRACE_SECONDS` overrides."""
    given = environ.get("AIMATRIX_GRACE_SECONDS")
    if given:
        return float(given)
    return BATCH_GRACE_SECONDS if "AWS_BATCH_JOB_ID" in environ else SAGEMAKER_GRACE_SECONDS


def _read(descriptor: int) -> bytes | None:
    """What there is to read; empty at the end, `None` if there is nothing yet."""
    try:
        return os.read(descriptor, _READ)
    except BlockingIOError:
        return None


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
