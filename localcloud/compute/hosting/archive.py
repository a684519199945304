"""Unpacking a `model.tar.gz` that anybody may have made: nothing lands, or points, outside its directory."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

CHUNK_BYTES = 1024 * 1024
MAX_DEPTH = 64


class ArchiveRefused(Exception):
    """The archive is broken, too large, or tries to leave its directory. The text says which."""


def unpack(archive: Path, destination: Path, max_bytes: int, max_files: int) -> None:
    """Extracts regular files, directories, and links that stay inside. *Blocking.*

    Modes, owners and times are not taken over. Links are made last, so that no file is written through one.

    Raises:
        ArchiveRefused: `destination` may then hold a part.
    """
    destination.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(archive, "rb") as packed:
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                _extract(tar, destination, max_bytes, max_files)
            _read_to_end(packed, max_bytes)
    except (tarfile.TarError, EOFError, zlib.error, UnicodeError) as error:
        raise ArchiveRefused(f"it is no valid tar.gz archive ({error})") from error
    except OSError as error:
        raise ArchiveRefused(f"it can't be unpacked ({error.strerror or error})") from error


def _extract(tar: tarfile.TarFile, destination: Path, max_bytes: int, max_files: int) -> None:
    left, links = max_bytes, []
    for number, member in enumerate(tar):
        if number >= max_files:
            raise ArchiveRefused(f"it holds more than {max_files} files")
        target = destination.joinpath(*_parts(member.name))
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            content = tar.extractfile(member)
            if content is None or member.size > left:
                raise ArchiveRefused(f"it unpacks to more than {max_bytes} bytes")
            left -= member.size
            target.parent.mkdir(parents=True, exist_ok=True)
            with content:
                _write(content, target)
        elif member.issym() or member.islnk():
            links.append((member, target))
        else:
            raise ArchiveRefused(f"'{member.name}' is neither a file, a directory nor a link")
    for member, target in links:
        _link(member, target, destination)


def _read_to_end(packed: gzip.GzipFile, max_bytes: int) -> None:
    """What follows the last member is padding; only at its end does gzip compare its checksum."""
    size = 0
    while chunk := packed.read(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise ArchiveRefused(f"it unpacks to more than {max_bytes} bytes")


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or len(path.parts) > MAX_DEPTH:
        raise ArchiveRefused(f"'{name[:200]}' leads out of the model directory")
    return path.parts


def _write(content: IO[bytes], target: Path) -> None:
    with target.open("xb") as out:
        while chunk := content.read(CHUNK_BYTES):
            out.write(chunk)


def _link(member: tarfile.TarInfo, target: Path, destination: Path) -> None:
    root = os.path.realpath(destination)
    base = target.parent if member.issym() else destination
    pointed = os.path.realpath(base / member.linkname)
    parent = os.path.realpath(target.parent)
    if any(os.path.commonpath([root, place]) != root for place in (pointed, parent)):
        raise ArchiveRefused(f"the link '{member.name}' leads out of the model directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        target.symlink_to(os.path.relpath(pointed, parent))
    elif Path(pointed).is_file():
        target.hardlink_to(pointed)
    else:
        raise ArchiveRefused(f"the link '{member.name}' points to nothing")
