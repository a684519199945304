"""Which local files go along with a script."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from aimatrix.client.uploads import UploadFile

COMPANIONS = ("requirements.txt", "inference.py")

# What one upload may hold; a larger data set belongs in the artifact store already, and is named by its s3 URI.
MOST_FILES = 1000
MOST_BYTES = 5 * 1000**3


@dataclass(frozen=True)
class Sources:
    """The files to send, and where script and data set will be found afterwards.

    ``script`` and ``dataset`` are s3 URIs given by the user, or names within the upload (a name that ends in ``/`` is a
    folder).
    """

    files: tuple[UploadFile, ...]
    script: str
    dataset: str

    @property
    def companions(self) -> tuple[str, ...]:
        return tuple(file.name for file in self.files if file.name in COMPANIONS)


def gather(script: str, data: str) -> Sources:
    """What a script and a data set on the command line amount to.

    Raises:
        typer.BadParameter: not there, of the wrong kind, or too much.
    """
    files: list[UploadFile] = []
    if not is_uri(script):
        files.extend(_with_companions(Path(script)))
        script = Path(script).name
    if not is_uri(data):
        path = Path(data)
        if path.is_dir():
            found = list(_below(path))
            if not found:
                raise typer.BadParameter(f"{path} holds no files", param_hint="--data")
            files.extend(found)
            data = "data/"
        else:
            _require_file(path, "--data")
            # A folder of its own, so that it can't take the name of the script or of what goes along with it.
            files.append(UploadFile(path, f"data/{path.name}"))
            data = f"data/{path.name}"
    _require_bounds(files)
    return Sources(tuple(files), script, data)


def is_uri(path: str) -> bool:
    return path.startswith("s3://")


def _with_companions(script: Path) -> Iterator[UploadFile]:
    _require_file(script, "SCRIPT")
    yield UploadFile.of(script)
    for name in COMPANIONS:
        beside = script.parent / name
        if name != script.name and beside.is_file():
            yield UploadFile.of(beside)


def _below(folder: Path) -> Iterator[UploadFile]:
    """The regular files below a folder, by relative name, hidden ones left out; links aren't followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield UploadFile(path, f"data/{path.relative_to(folder).as_posix()}")


def _require_file(path: Path, option: str) -> None:
    if not path.exists():
        raise typer.BadParameter(f"{path} doesn't exist", param_hint=option)
    if not path.is_file():
        raise typer.BadParameter(f"{path} is not a regular file", param_hint=option)
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"{path} can't be read", param_hint=option)


def _require_bounds(files: list[UploadFile]) -> None:
    if len(files) > MOST_FILES:
        raise typer.BadParameter(
            f"{len(files)} files are more than the {MOST_FILES} that go in one upload; "
            "pack them, or put them into the artifact store and give --data s3://...",
            param_hint="--data",
        )
    total = sum(file.path.stat().st_size for file in files)
    if total > MOST_BYTES:
        raise typer.BadParameter(
            f"{total:,} bytes are more than the {MOST_BYTES:,} that go in one upload; "
            "put the data set into the artifact store and give --data s3://...",
            param_hint="--data",
        )
