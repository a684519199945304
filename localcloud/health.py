"""Asks a part whether it is well, without any HTTP library: the supervisor is to stay small."""

from __future__ import annotations

import asyncio

from localcloud.state import HOST

TIMEOUT_SECONDS = 5.0


async def is_well(port: int, path: str, seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether a GET of the path answers 200 in time."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    words = status_line.split(maxsplit=2)
    return len(words) >= 2 and words[1] == b"200"


async def becomes_well(port: int, path: str, probe_seconds: float) -> None:
    """Returns as soon as the part is well; it asks again and again, since a part of another kind has no way to say so."""
    while True:
        if await is_well(port, path):
            return
        await asyncio.sleep(probe_seconds)
