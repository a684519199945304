"""Writes to MLflow that wait: a queue on disk, first in, first out, of bounded size."""

from __future__ import annotations

import json
import os
import threading

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 64 * 1024 * 1024


class Write:
    """One waiting request."""

    __slots__ = ("body", "method", "target")

    def __init__(self, method: str, target: str, body: bytes) -> None:
        self.method = method
        self.target = target
        self.body = body


class Spool:
    """The queue. Safe to share between threads; one thread takes from it.

    Args:
        directory: Where its file lives.
        limit: Bytes; what does not fit is refused, and counted.
    """

    def __init__(self, directory: Path, *, limit: int = LIMIT) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Without a name it goes when the process goes, and no script can open it.
        path = directory / f"mlflow-{os.getpid()}-{os.urandom(8).hex()}.spool"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        path.unlink()
        self._limit = limit
        self._read = 0
        self._written = 0
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def append(self, write: Write) -> bool:
        """Adds a write. False if there is no room for it."""
        document = [write.method, write.target, write.body.decode("utf-8", "surrogateescape")]
        line = json.dumps(document).encode("ascii") + b"\n"
        with self._changed:
            if self._written + len(line) > self._limit:
                self.dropped += 1
                return False
            os.pwrite(self._descriptor, line, self._written)
            self._written += len(line)
            self._count += 1
            self._changed.notify_all()
            return True

    def __len__(self) -> int:
        return self._count

    def peek(self) -> Write | None:
        """Waits for the oldest write and returns it without taking it out; `None` once the queue is closed and empty."""
        with self._changed:
            while self._count == 0:
                if self._closed:
                    return None
                self._changed.wait()
            method, target, body = json.loads(self._line())
        return Write(method, target, body.encode("utf-8", "surrogateescape"))

    def pop(self) -> None:
        """Takes the oldest write out."""
        with self._changed:
            self._read += len(self._line())
            self._count -= 1
            if self._count == 0:
                os.ftruncate(self._descriptor, 0)
                self._read = self._written = 0
            self._changed.notify_all()

    def close(self) -> None:
        """No more writes will come: `peek` returns `None` when the rest is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_empty(self, seconds: float) -> bool:
        """Whether every write was taken out within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)

    def rest(self) -> bytes:
        """What is still waiting, one JSON array of method, target and body a line."""
        with self._changed:
            return os.pread(self._descriptor, self._written - self._read, self._read)

    def _line(self) -> bytes:
        size = 64 * 1024
        while True:
            data = os.pread(self._descriptor, size, self._read)
            end = data.find(b"\n")
            if end >= 0:
                return data[: end + 1]
            size *= 4
