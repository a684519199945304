"""How much of the disk a job uses."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

GIGABYTE = 1024**3


def usage(directory: Path, enough: int, cancelled: Event) -> int:
    """Allocated bytes below `directory`; stops counting beyond `enough`. Each inode counts once. *Blocking.*"""
    total = 0
    seen: set[tuple[int, int]] = set()
    todo = [os.fspath(directory)]
    while todo and total <= enough and not cancelled.is_set():
        try:
            entries = os.scandir(todo.pop())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # the job removes and hides things while it is looked at
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total
