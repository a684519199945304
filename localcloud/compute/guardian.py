"""PID 1 of a job: a small process between the emulator and what it runs, run by path with ``python -I -S``.

It exists so that *nothing* of a job outlives it. As a subreaper it inherits every orphan of the job, double-forked
daemons in sessions of their own included, so its descendants are exactly the job's processes. It ends them all

* when the main process ends, as the end of a container does;
* when the emulator asks, or when the emulator's end of the control socket closes, however the emulator died.

Protocol on the control socket, which is its standard input, one byte or one JSON line each way:
  in:  ``T`` deliver SIGTERM to the main process; ``K`` SIGKILL everything; end of file: the same as ``K``.
  out: {"pid": n} once the main process runs, {"error": text} if it could not be started,
       {"exit": code or null, "signal": n or null, "peak_kb": n} after the last process of the job is gone.

Only the standard library, and little of it: its start is on the path from request to the first line of a user's script.
"""

import os
import select
import signal
import sys
from time import monotonic

# Imported late because each costs milliseconds or exists on some platforms only: ctypes, json, resource.

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
READ_SIZE = 4096
SWEEP_SECONDS = 0.02
AUTOGROUP_SECONDS = 0.15
KILL_SECONDS = 10.0


def main(arguments: list[str]) -> int:
    """arguments: file size limit in bytes, process limit (0: none), niceness, --, argv of the job. Control: stdin."""
    file_limit, process_limit, niceness = (int(argument) for argument in arguments[:3])
    command = arguments[4:]
    os.nice(niceness)
    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # A terminal's Ctrl-C or a stray TERM must not end the guardian before its charges.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = start(command, control, file_limit, process_limit)
    if child is None:
        return 0
    # The job's output ends when its last process is gone, so the guardian must not hold it open.
    os.dup2(null, 1)
    os.dup2(null, 2)
    send(control, f'{{"pid": {child}}}')
    status = watch(child, control, wake_read, niceness)
    if sys.platform != "linux":
        kill_group(child)
    kill_descendants(wake_read)
    send(control, report(status))
    return 0


def start(command: list[str], control: int, file_limit: int, process_limit: int) -> int | None:
    """Forks and executes; reports why through the control socket when that fails."""
    failed_read, failed_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # A group of its own, but the guardian's session: a new session would have a new autogroup.
            os.setpgid(0, 0)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            # Python ignores these two; a job must see the defaults a container would give it.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            confine(file_limit, process_limit)
            os.execvp(command[0], command)  # noqa: S606 there is no shell, on purpose
        except OSError as error:
            os.write(failed_write, f"{error.strerror}: {command[0]}".encode(errors="replace"))
        finally:
            os._exit(127)
    os.close(failed_write)
    reason = os.read(failed_read, READ_SIZE)
    os.close(failed_read)
    if not reason:
        return child
    os.waitpid(child, 0)
    import json

    send(control, json.dumps({"error": reason.decode(errors="replace")}))
    return None


def confine(file_limit: int, process_limit: int) -> None:
    """Limits that hold for the job and all its children."""
    import resource

    lower(resource, resource.RLIMIT_CORE, 0)
    if file_limit:
        lower(resource, resource.RLIMIT_FSIZE, file_limit)
    if process_limit and hasattr(resource, "RLIMIT_NPROC"):
        lower(resource, resource.RLIMIT_NPROC, process_limit)
    # When memory runs out the job goes first, not the embedded cloud.
    try:
        with open("/proc/self/oom_score_adj", "w") as handle:  # noqa: PTH123 pathlib costs milliseconds here
            handle.write("800")
    except OSError:
        # Not Linux, or a sandbox without a writable /proc: the job runs with the ordinary score.
        return


def lower(resource: object, kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)  # type: ignore[attr-defined]
    if hard not in (-1, resource.RLIM_INFINITY):  # type: ignore[attr-defined]
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))  # type: ignore[attr-defined]


def give_way(niceness: int) -> bool:
    """Lowers the weight of the whole session: Linux shares the processor among sessions ("autogroups") first, and only
    then looks at the niceness of each process. False if the kernel, which allows this ten times a second, wants to be asked
    again; where it has no autogroups, the niceness of the processes is all there is.
    """
    try:
        with open("/proc/self/autogroup", "w") as handle:  # noqa: PTH123 pathlib costs milliseconds here
            handle.write(str(niceness))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def watch(child: int, control: int, wake: int, niceness: int) -> int:
    """Waits for the end of `child`, obeying the control socket; reaps orphans meanwhile. Returns the wait status."""
    sources = [control, wake]
    settled = niceness == 0
    while True:
        settled = settled or give_way(niceness)
        ready, _, _ = select.select(sources, [], [], None if settled else AUTOGROUP_SECONDS)
        if wake in ready:
            drain(wake)
        if control in ready:
            order = os.read(control, READ_SIZE)
            if not order:
                sources.remove(control)
            if not order or b"K" in order:
                signal_process(child, signal.SIGKILL)
            elif b"T" in order:
                signal_process(child, signal.SIGTERM)
        status = reap(child)
        if status is not None:
            return status


def reap(child: int) -> int | None:
    """Collects every ended process; the wait status of `child` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def kill_descendants(wake: int) -> None:
    """SIGKILL to every descendant, until none is left, not even one that has ended and waits to be reaped.

    All are stopped before any is killed, so that a process cannot fork its way out between two rounds.
    """
    deadline = monotonic() + KILL_SECONDS
    while children_left() and monotonic() < deadline:
        alive = descendants()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in alive:
                signal_process(pid, number)
        select.select([wake], [], [], SWEEP_SECONDS)
        drain(wake)


def kill_group(child: int) -> None:
    """What is left of the main process's group, where orphans cannot be found."""
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def children_left() -> bool:
    """Reaps what has ended. Orphans of the whole tree become children here, so no child means nobody."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def drain(wake: int) -> None:
    try:
        os.read(wake, READ_SIZE)
    except BlockingIOError:
        return


def descendants() -> list[int]:
    """Process ids of all descendants, nearest first; none where there is no /proc."""
    parents: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 pathlib costs milliseconds here
    except FileNotFoundError:
        return []
    for name in names:
        if name.isdigit():
            parent = parent_of(name)
            if parent:
                parents.setdefault(parent, []).append(int(name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        children = parents.get(todo.pop(0), [])
        found += children
        todo += children
    return found


def parent_of(pid: str) -> int:
    """Parent of a process that has not ended yet; 0 for an ended one (a zombie cannot be killed, only reaped)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:  # noqa: PTH123 pathlib costs milliseconds here
            fields = handle.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[1])


def signal_process(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def report(status: int) -> str:
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    code = os.waitstatus_to_exitcode(status)
    ended = f'"exit": {code}, "signal": null' if code >= 0 else f'"exit": null, "signal": {-code}'
    return f'{{{ended}, "peak_kb": {peak}}}'


def send(control: int, line: str) -> None:
    try:
        os.write(control, line.encode() + b"\n")
    except (BrokenPipeError, ConnectionResetError):
        return


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the control socket alone ties the lives together."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
