"""Shared libraries without what is only for linkers and debuggers."""

from __future__ import annotations

import struct

_OF_64_BITS_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
# Fields of the file's header and of a program header, by their offsets: https://man7.org/linux/man-pages/man5/elf.5.html
_PROGRAM_HEADERS, _SECTION_HEADERS = 32, 40
_PROGRAM_HEADER_SIZE, _SECTION_COUNT = 54, 60
_SEGMENT_OFFSET, _SEGMENT_SIZE = 8, 32


def loaded_part(content: bytes) -> bytes:
    """A library as far as the loader reads it: without the symbol table and the section headers that end it.

    The loader goes by program headers alone, so a process sees no difference; other files come back as they are.
    """
    if not content.startswith(_OF_64_BITS_LITTLE_ENDIAN):
        return content
    (start,) = struct.unpack_from("<Q", content, _PROGRAM_HEADERS)
    size, count = struct.unpack_from("<HH", content, _PROGRAM_HEADER_SIZE)
    end = start + size * count
    for header in range(start, end, size):
        (offset,) = struct.unpack_from("<Q", content, header + _SEGMENT_OFFSET)
        (length,) = struct.unpack_from("<Q", content, header + _SEGMENT_SIZE)
        end = max(end, offset + length)
    part = bytearray(content[:end])
    struct.pack_into("<Q", part, _SECTION_HEADERS, 0)
    struct.pack_into("<HH", part, _SECTION_COUNT, 0, 0)  # and no table of their names
    return bytes(part)
