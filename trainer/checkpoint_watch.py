"""Tells when a checkpoint has been written, so that it is seen when none come any more."""

from __future__ import annotations

import stat
import threading
from itertools import islice
from typing import TYPE_CHECKING

from trainer.files import files_below

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.console import Console

EVERY_SECONDS = 5.0
# Many small files are looked at for so long only; what is told is of those that were seen.
MAX_FILES = 10_000


class CheckpointWatch:
    """Looks in a thread of its own at what lies in the checkpoint directory, and says so when something newer does.

    What was there before the script began (an earlier attempt's) is not told.
    """

    def __init__(self, directory: Path, console: Console, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._directory = directory
        self._console = console
        self._every_seconds = every_seconds
        self._newest = seen(directory)[0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoint-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Looks once more: the script has ended."""
        self._ended.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._ended.wait(self._every_seconds):
            self._look()

    def _look(self) -> None:
        newest, files, size = seen(self._directory)
        if newest > self._newest:
            self._newest = newest
            self._console.structured("checkpoint", at=newest // 1_000_000, files=files, bytes=size)


def seen(directory: Path) -> tuple[int, int, int]:
    """When a file below it was changed last (nanoseconds, 0 without files), how many there are, and their bytes."""
    newest = files = size = 0
    regular = (status for status in files_below([directory]) if stat.S_ISREG(status.st_mode))
    for status in islice(regular, MAX_FILES):
        newest, files, size = max(newest, status.st_mtime_ns), files + 1, size + status.st_size
    return newest, files, size
