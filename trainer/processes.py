"""What Linux offers to keep hold of processes: death signals, subreaping, finding and ending descendants.

On other systems these functions do less, and say so by their return value; a container is always Linux.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS = 200

# Looked up before any fork: the child may not take the loader's lock.
_prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform.startswith("linux") else None


def become_subreaper() -> bool:
    """From here on, orphaned descendants become children of this process instead of init's."""
    return _prctl is not None and _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def child_setup(*, file_size: int | None) -> Callable[[], None]:
    """Returns what the child does between fork and exec.

    It asks to be killed when its parent dies, and limits the size of a single file. The parent has to spawn from a thread
    that lives as long as itself: Linux ties the death signal to the thread. It leads a process group, but stays in its
    parent's session: Linux shares the processor among sessions, and a new one would not give way as the job should.

    Args:
        file_size: The largest file that the child may write, bytes; `None` for no limit.
    """
    import resource

    parent = os.getpid()

    def prepare() -> None:
        os.setpgid(0, 0)
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(128 + signal.SIGKILL)
        if file_size is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            size = file_size if hard == resource.RLIM_INFINITY else min(file_size, hard)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    return prepare


def descendants() -> list[int]:
    """Process ids of all living descendants of this process, children first."""
    children: dict[int, list[int]] = {}
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []
    for pid in entries:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - thousands of them; a Path costs more than the read
                # The name, in brackets, may hold anything, brackets and spaces included.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            children.setdefault(int(parent), []).append(pid)
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        below = children.get(pending.pop(), [])
        found.extend(below)
        pending.extend(below)
    return found


def end_descendants(*, sleep: Callable[[float], None] = time.sleep) -> int:
    """Kills every descendant, and those that they start meanwhile. Returns how many there were.

    Only for a process that has become a subreaper and needs none of its children any more.
    """
    ended: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        alive = descendants()
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            ended.add(pid)
        reap()
        if not alive:
            break
        sleep(0.005)
    return len(ended)


def reap(own: int = 0) -> int | None:
    """Collects every child that has ended. Returns the wait status of `own` if it was among them."""
    status = None
    while True:
        try:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == own:
            status = wait_status
