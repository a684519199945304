"""What lies below a directory that a script writes to while it is looked at."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def files_below(directories: Iterable[Path]) -> Iterator[os.stat_result]:
    """The status of everything below them that is no directory; what vanishes meanwhile is left out.

    Symbolic links are told as what they are, and not followed.
    """
    pending = [os.fspath(directory) for directory in directories]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
                else:
                    yield status
