"""How changes lie in a file: a header line, then frames of length, CRC-32 and that many bytes of JSON.

A frame holds all that was made durable at once, so a transaction is never half there. A process that is killed while it
writes leaves a frame without its end; the checksum tells, and reading stops before it. It was acknowledged to nobody.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from localcloud.journal.records import Change

HEADER = b"aimatrix journal 1\n"
MAX_FRAME_BYTES = 512 * 1024 * 1024
_PREFIX = struct.Struct(">II")


class ForeignFileError(ValueError):
    """The file is not a journal of this version."""


def encode(changes: Sequence[bytes]) -> bytes:
    """One frame of changes that are JSON already."""
    payload = b"[" + b",".join(changes) + b"]"
    return _PREFIX.pack(len(payload), zlib.crc32(payload)) + payload


def read(file: BinaryIO) -> Iterator[list[Change]]:
    """The changes of each whole frame; ends at the end of the file, or before the first frame that is torn.

    Raises:
        ForeignFileError: the file begins with something else.
    """
    header = file.read(len(HEADER))
    if header != HEADER:
        if HEADER.startswith(header):
            return
        raise ForeignFileError(f"{file.name} is not a journal of this version")
    while True:
        prefix = file.read(_PREFIX.size)
        if len(prefix) < _PREFIX.size:
            return
        length, checksum = _PREFIX.unpack(prefix)
        if length > MAX_FRAME_BYTES:
            return
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield json.loads(payload)
