"""Archives of what a job leaves behind. Links are never followed out of the job's directory."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path


class UnsafeLink(Exception):
    """A symbolic link points out of the directory that is to be archived."""


def is_empty(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        return not any(entries)


def make_archive(directory: Path, archive: Path) -> None:
    """``tar.gz`` of the content of `directory`. *Blocking.*

    Links that stay inside are kept as links; sockets, devices and pipes are left out.

    Raises:
        UnsafeLink: a link leaves `directory`; nothing is archived.
    """
    paths = list(_walk(directory))
    for path in paths:
        _check_link(directory, path)
    # Level 1: models hardly compress, and the job's end waits for this.
    with gzip.open(archive, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for path in paths:
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
                tar.add(path, arcname=str(path.relative_to(directory)), recursive=False)


def regular_files(directory: Path) -> Iterator[Path]:
    """Every regular file below `directory`; links are not followed.

    Raises:
        UnsafeLink: a link leaves `directory`.
    """
    for path in _walk(directory):
        _check_link(directory, path)
        if stat.S_ISREG(path.lstat().st_mode):
            yield path


def _walk(directory: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(directory, followlinks=False):
        for name in sorted([*names, *files]):
            yield Path(folder) / name


def _check_link(directory: Path, path: Path) -> None:
    if not path.is_symlink():
        return
    target = os.path.realpath(path)
    root = os.path.realpath(directory)
    if os.path.commonpath([root, target]) != root:
        raise UnsafeLink(f"the symbolic link '{path.relative_to(directory)}' points out of '{directory.name}'")
