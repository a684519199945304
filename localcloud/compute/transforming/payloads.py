"""An object's bytes as the requests that a container gets. Pure but for reading the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class RecordTooLarge(Exception):
    """A record is larger than a payload may be."""


def payloads(path: Path, *, by_line: bool, together: bool, most_bytes: int) -> Iterator[bytes]:
    """The requests for one object, in order. *Blocking.*

    Args:
        by_line: each line is a record, else the whole object.
        together: as many records as fit in one request, else one.

    Raises:
        RecordTooLarge: a record has more than `most_bytes`.
    """
    if not by_line:
        if path.stat().st_size > most_bytes:
            raise RecordTooLarge
        yield path.read_bytes()
        return
    held: list[bytes] = []
    size = 0
    for line in _lines(path, most_bytes):
        if held and (not together or size + len(line) > most_bytes):
            yield b"".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line)
    if held:
        yield b"".join(held)


def _lines(path: Path, most_bytes: int) -> Iterator[bytes]:
    """Those that hold anything; the end of a line belongs to it."""
    with path.open("rb") as file:
        # One byte more than is allowed tells that there is more.
        while line := file.readline(most_bytes + 1):
            if len(line) > most_bytes:
                raise RecordTooLarge
            if line.strip():
                yield line
