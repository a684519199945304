"""Laying out the archive's content: by hard link where the disk allows, without what a link reaches outside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = ("__pycache__", ".DS_Store", ".ipynb_checkpoints")


def stage_tree(source: Path, destination: Path) -> list[str]:
    """Puts every regular file under `source` at the same place under `destination`.

    A symbolic link that stays inside `source` becomes the file it points to; one that leaves it, a socket, or a device
    is left out.

    Returns:
        What was left out, one sentence each.
    """
    files, notes = _survey(source)
    for target, relative in files:
        stage_file(target, destination / relative)
    return notes


def left_out(source: Path) -> list[str]:
    """What `stage_tree` would leave out of this directory, one sentence each."""
    return _survey(source)[1]


def holds_files(source: Path) -> bool:
    """Whether `stage_tree` would find anything to stage."""
    return bool(_survey(source)[0])


def _survey(source: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """The regular files with their places relative to `source`, and a sentence for everything else."""
    files: list[tuple[Path, Path]] = []
    notes: list[str] = []
    inside = source.resolve()
    for path, relative in _walk(source):
        # Unlike `Path.resolve`, this takes links in a circle.
        target = Path(os.path.realpath(path))
        if path.is_symlink() and inside not in target.parents:
            notes.append(f"{relative} was left out of the model: it is a link to a place outside")
        elif target.is_file():
            files.append((target, relative))
        elif not target.is_dir():
            notes.append(f"{relative} was left out of the model: it is no regular file")
        elif path.is_symlink():
            notes.append(f"{relative} was left out of the model: it is a link to a directory")
    return files, notes


def _walk(source: Path) -> Iterator[tuple[Path, Path]]:
    """(path, path relative to `source`) of everything below; links to directories are not entered."""
    for directory, subdirectories, files in os.walk(source):
        here = Path(directory)
        subdirectories[:] = sorted(name for name in subdirectories if name not in LEFT_OUT)
        links = [name for name in subdirectories if (here / name).is_symlink()]
        for name in sorted(files) + links:
            if name not in LEFT_OUT:
                yield here / name, (here / name).relative_to(source)


def stage_file(source: Path, destination: Path) -> None:
    """Links or copies one regular file."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, destination)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, destination)
