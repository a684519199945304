"""How much disk the script has used, against what it may."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from trainer.files import files_below

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def usage(paths: Sequence[Path], *, stop_above: int | None = None) -> int:
    """Bytes that files under these directories occupy. Symbolic links are not followed; holes don't count.

    Args:
        stop_above: Stop counting beyond this many bytes.
    """
    total = 0
    for status in files_below(paths):
        total += status.st_blocks * 512
        if stop_above is not None and total > stop_above:
            break
    return total


class DiskWatch:
    """Measures in a thread of its own, so that a million small files don't hold up the script's output.

    Args:
        paths: What the script may write to.
        allowance: Bytes.
        every_seconds: The pause between two measurements.
    """

    def __init__(self, paths: Sequence[Path], allowance: int, *, every_seconds: float = 1.0) -> None:
        self._paths = paths
        self._allowance = allowance
        self._every_seconds = every_seconds
        self._over = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    def check(self) -> str | None:
        """A sentence once the allowance is used up."""
        return f"the script used more than its disk allowance of {self._allowance} bytes" if self._over else None

    def close(self) -> None:
        """Stops measuring."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over and not self._ended.wait(self._every_seconds):
            self._over = usage(self._paths, stop_above=self._allowance) > self._allowance
