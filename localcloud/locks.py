"""Advisory locks on files: who holds one lives, and nobody has to clean up after a holder that was killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class HeldError(Exception):
    """Another process holds the lock."""


class Lock:
    """A held lock. Children don't inherit it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def hold(path: Path) -> Lock:
    """Take the lock at once.

    Raises:
        HeldError: somebody else has it.
    """
    return _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait(path: Path) -> Lock:
    """Take the lock as soon as its holder lets go or dies."""
    return _take(path, fcntl.LOCK_EX)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        hold(path).release()
    except HeldError:
        return True
    return False


def _take(path: Path, operation: int) -> Lock:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HeldError(str(path)) from error
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)
