"""Real processes for jobs and endpoints: each under a guardian (`guardian.py`), none of which outlives the emulator.

Three nets, one below the other:

1. the guardian ends every descendant when the main process ends, when told to, or when the emulator is gone;
2. the emulator is a subreaper: if a guardian itself is killed, the orphans arrive here and are killed;
3. at the next start, `ProcessLauncher.sweep_leftovers` kills what carries this state directory's mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.compute import guardian, process_table

logger = logging.getLogger(__name__)

MARK = "AIMATRIX_COMPUTE_HOST"
GUARDIAN = Path(guardian.__file__)
PIPE_BYTES = 256 * 1024
F_SETPIPE_SZ = 1031  # Linux; fcntl.F_SETPIPE_SZ where the platform has it
PROCESS_LIMIT = 8192


class SpawnError(Exception):
    """The program could not be started; the text says why."""


@dataclass(frozen=True)
class Exit:
    """How a main process ended: an exit code or a signal, never both."""

    code: int | None
    signal: int | None
    peak_kb: int = 0

    @property
    def succeeded(self) -> bool:
        return self.code == 0

    @property
    def shell_code(self) -> int:
        """The exit code as a container runtime reports it: 128 + n for signal n."""
        return self.code if self.code is not None else 128 + (self.signal or 0)


@dataclass(frozen=True)
class Command:
    """What to run. `environment` is the whole environment, nothing is inherited.

    Attributes:
        file_size_limit: bytes of the largest file it may write; 0: no limit.
        niceness: how far it gives way to other processes.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    file_size_limit: int = 0
    niceness: int = 0


class ManagedProcess:
    """A running command. `output` is the read end of its stdout and stderr, non-blocking; the reader closes it."""

    def __init__(self, popen: subprocess.Popen[bytes], control: socket.socket, output: int) -> None:
        self._popen = popen
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._started: asyncio.Future[int] = self._loop.create_future()
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        self.output = output
        self.lost_guardian = False
        self._loop.add_reader(control.fileno(), self._on_message)

    @property
    def guardian_pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return not self._ended.done()

    async def started(self) -> int:
        """Process id of the main process.

        Raises:
            SpawnError: it could not be executed.
        """
        return await asyncio.shield(self._started)

    async def wait(self) -> Exit:
        """Returns when the last process of the tree is gone."""
        return await asyncio.shield(self._ended)

    def when_ended(self, callback: Callable[[ManagedProcess], None]) -> None:
        self._ended.add_done_callback(lambda _: callback(self))

    def terminate(self) -> None:
        """SIGTERM to the main process."""
        self._order(b"T")

    def kill(self) -> None:
        """SIGKILL to every process of the tree."""
        self._order(b"K")

    def _order(self, order: bytes) -> None:
        if self.running and self._control.fileno() >= 0:
            # The guardian may be ending at this moment: then its exit message is on the way and there is nothing to do.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._control.send(order)

    def _on_message(self) -> None:
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.lost_guardian = not self._ended.done()
            self._finish(Exit(None, signal.SIGKILL))
            return
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._on_line(json.loads(line))

    def _on_line(self, message: Mapping[str, object]) -> None:
        if "error" in message:
            self._fail_start(SpawnError(str(message["error"])))
        elif "pid" in message:
            self._started.set_result(int(str(message["pid"])))
        else:
            code, number = message["exit"], message["signal"]
            self._finish(
                Exit(
                    None if code is None else int(str(code)),
                    None if number is None else int(str(number)),
                    int(str(message["peak_kb"])),
                )
            )

    def _fail_start(self, error: SpawnError) -> None:
        if not self._started.done():
            self._started.set_exception(error)
            # Whoever only waits for the end must not cause "exception was never retrieved".
            self._started.exception()

    def _finish(self, result: Exit) -> None:
        if self._ended.done():
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self._fail_start(SpawnError("the process ended before it was started"))
        self._loop.run_in_executor(None, self._popen.wait).add_done_callback(lambda _: self._settle(result))

    def _settle(self, result: Exit) -> None:
        if not self._ended.done():
            self._ended.set_result(result)


class ProcessLauncher:
    """Starts commands under guardians. Use it from the main thread's event loop only."""

    def __init__(self, host_id: str, python: str = sys.executable) -> None:
        self._host_id = host_id
        self._python = python
        self._running: dict[int, ManagedProcess] = {}

    def become_subreaper(self) -> None:
        """Orphans of a killed guardian are to arrive here. Once per process, at start."""
        guardian.prctl(guardian.PR_SET_CHILD_SUBREAPER, 1)

    def spawn(self, command: Command) -> ManagedProcess:
        """Starts at once; `ManagedProcess.started` says whether the program could be executed."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        read_end, write_end = os.pipe()
        _widen(write_end)
        os.set_blocking(read_end, False)
        try:
            popen = subprocess.Popen(
                [
                    *(self._python, "-I", "-S", str(GUARDIAN)),
                    *(str(command.file_size_limit), str(PROCESS_LIMIT), str(command.niceness), "--"),
                    *command.argv,
                ],
                stdin=theirs.fileno(),
                stdout=write_end,
                stderr=write_end,
                env={**command.environment, MARK: self._host_id},
                cwd=command.directory,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(read_end)
            raise SpawnError(f"{error.strerror}: {command.argv[0]}") from error
        finally:
            theirs.close()
            os.close(write_end)
        process = ManagedProcess(popen, ours, read_end)
        self._running[popen.pid] = process
        process.when_ended(self._forget)
        return process

    def _forget(self, process: ManagedProcess) -> None:
        self._running.pop(process.guardian_pid, None)
        if process.lost_guardian:
            self.sweep_orphans()

    def sweep_orphans(self) -> None:
        """Kills and reaps children of this process that nobody here started: orphans of a guardian that was killed."""
        for pid in process_table.children_of(os.getpid()):
            if pid in self._running:
                continue
            if process_table.carries(pid, MARK, self._host_id):
                process_table.kill_tree(pid)
                logger.warning("killed a process whose guardian was gone", extra={"pid": pid})
            elif process_table.is_ended(pid) and os.getsid(pid) != os.getsid(0):
                # An ended one shows no environment any more; only guarded processes have sessions of their own.
                os.waitpid(pid, os.WNOHANG)

    def sweep_leftovers(self) -> int:
        """Kills every process of an earlier emulator on the same state directory. Returns how many there were."""
        own = {os.getpid(), *self._running}
        found = [pid for pid in process_table.marked(MARK, self._host_id) if pid not in own]
        for pid in found:
            process_table.kill_tree(pid)
        return len(found)

    async def stop_all(self, grace: float) -> None:
        """Ends everything: SIGTERM, `grace` seconds, SIGKILL."""
        processes = list(self._running.values())
        for process in processes:
            process.terminate()
        ends = [asyncio.ensure_future(process.wait()) for process in processes]
        if ends:
            await asyncio.wait(ends, timeout=grace)
        for process in processes:
            process.kill()
        await asyncio.gather(*ends)


def _widen(pipe: int) -> None:
    """A roomier pipe lets a job print on while a batch of its lines is being delivered."""
    if sys.platform == "linux":
        # An unprivileged user may be over the system's quota for pipe memory; then the default size stays.
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
