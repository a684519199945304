"""The Lambda zip: the same bytes for the same content, on every machine and at every time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

LARGEST_ZIP = 10_000_000
"""Our own limit in bytes. A cold start downloads and unpacks the zip; Lambda's limit is five times as much."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16


class ArchiveError(Exception):
    """The zip would be too large, or two sources want the same name."""


def folder_files(folder: Path, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file below `folder`: its name inside the zip, and its content."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield prefix + path.relative_to(folder).as_posix(), path.read_bytes()


def write(destination: Path, files: Mapping[str, bytes], *, largest: int = LARGEST_ZIP) -> int:
    """Write the zip: sorted names, one date, one mode.

    Returns:
        The size in bytes.

    Raises:
        ArchiveError: it is larger than `largest`.
    """
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _MODE
            entry.create_system = 3  # Unix, on whatever system it is written
            archive.writestr(entry, files[name])
    size = destination.stat().st_size
    if size > largest:
        raise ArchiveError(f"{destination.name} has {size:,} bytes, more than {largest:,}: see infra/archive.py")
    return size
