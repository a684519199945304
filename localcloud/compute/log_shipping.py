"""What a job prints, on its way to CloudWatch Logs: as printed, in order, in batches, never piling up in memory.

The pump reads the job's pipe, cuts it into lines and delivers batches. While a batch is being delivered nothing is read,
so a job that prints faster than its lines can be delivered waits in ``write``, as it would in front of a slow terminal.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from localcloud.compute.host import Blocking

logger = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
# Limits of PutLogEvents; each event counts its UTF-8 bytes plus 26.
EVENT_OVERHEAD = 26
EVENT_BYTES = 256 * 1024 - EVENT_OVERHEAD
BATCH_BYTES = 1_048_576
BATCH_EVENTS = 10_000
BATCH_SECONDS = 0.1
# About a minute, which a restart of the embedded cloud on a busy machine may take.
DELIVERY_ATTEMPTS = 16
DELIVERY_PAUSE_SECONDS = 5.0
OWN_MARK = "aimatrix: "
STRUCTURED_MARK = "#aimatrix "
LAST_LINES = 5
LAST_LINE_CHARACTERS = 200


class LogSink(Protocol):
    """CloudWatch Logs. *Blocking*."""

    def create_stream(self, group: str, stream: str) -> None:
        """Makes the stream, and its group, if they are not there yet."""

    def put(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Delivers (milliseconds, message) pairs, in order."""


@dataclass(frozen=True)
class LogDestination:
    group: str
    stream: str


class LogPump:
    """Moves the output of one process to one log stream.

    Args:
        limit: bytes after which output is dropped; one line says so.
        copy: gets every byte as well, before the limit.
    """

    def __init__(
        self,
        sink: LogSink,
        destination: LogDestination,
        blocking: Blocking,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        limit: int,
        copy: BinaryIO | None = None,
    ) -> None:
        self._sink = sink
        self._destination = destination
        self._blocking = blocking
        self._now = now
        self._sleep = sleep
        self._left = limit
        self._limit = limit
        self._copy = copy
        self._partial = b""
        self._pending: list[tuple[int, str]] = []
        self._pending_bytes = 0
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._watched: tuple[str, Callable[[], None]] | None = None

    def watch_for(self, beginning: str, then: Callable[[], None]) -> None:
        """Call `then` once, when a line begins so: as it comes, before it is delivered."""
        self._watched = beginning, then

    @property
    def last_words(self) -> str:
        """The last lines of the process, without structured ones: those carry the job's secret."""
        return "\n".join(self._last)

    def announce(self, message: str) -> None:
        """A line of the emulator's own; before `run`, it comes first."""
        self._add(f"{OWN_MARK}{message}")

    async def run(self, descriptor: int) -> None:
        """Reads `descriptor` to its end and delivers all of it; closes the descriptor."""
        try:
            await self._blocking.run(self._sink.create_stream, self._destination.group, self._destination.stream)
        except LogDeliveryError as error:
            logger.warning("log stream not created", extra={"stream": self._destination.stream, "reason": str(error)})
        if self._pending:
            await self.flush()
        loop = asyncio.get_running_loop()
        due: float | None = None
        last = 0.0
        try:
            while True:
                wait = None if due is None else max(0.0, due - loop.time())
                data = await _read(descriptor, wait)
                if data == b"":
                    break
                if data is not None:
                    self._take(data)
                if self._pending and due is None:
                    # The first line after a pause goes at once; lines that follow closely share a delivery.
                    due = max(loop.time(), last + BATCH_SECONDS)
                if due is not None and (loop.time() >= due or self._full):
                    await self.flush()
                    due, last = None, loop.time()
        finally:
            os.close(descriptor)
        self._end()
        await self.flush()

    @property
    def _full(self) -> bool:
        return self._pending_bytes >= BATCH_BYTES // 2 or len(self._pending) >= BATCH_EVENTS // 2

    def _take(self, data: bytes) -> None:
        if self._copy is not None:
            self._copy.write(data)
        if self._left <= 0:
            return
        self._left -= len(data)
        *lines, rest = (self._partial + data).split(b"\n")
        for line in lines:
            self._add_bytes(line)
        while len(rest) > EVENT_BYTES:
            cut = _character_boundary(rest, EVENT_BYTES)
            self._add_bytes(rest[:cut])
            rest = rest[cut:]
        self._partial = rest
        if self._left <= 0:
            self._end()
            self._add(f"[compute] output limit of {self._limit} bytes reached: the rest is not recorded")

    def _end(self) -> None:
        if self._partial:
            self._add_bytes(self._partial)
            self._partial = b""

    def _add_bytes(self, line: bytes) -> None:
        text = line.removesuffix(b"\r").decode(errors="replace")
        if text.strip() and not text.startswith(STRUCTURED_MARK):
            self._last.append(text[-LAST_LINE_CHARACTERS:])
        if self._watched and text.startswith(self._watched[0]):
            (_, then), self._watched = self._watched, None
            then()
        for piece in pieces_of(text):
            self._add(piece)

    def _add(self, message: str) -> None:
        # CloudWatch refuses empty messages; container log drivers drop empty lines.
        if message:
            self._pending.append((int(self._now().timestamp() * 1000), message))
            self._pending_bytes += len(message.encode()) + EVENT_OVERHEAD

    async def flush(self) -> None:
        for batch in batches_of(self._pending):
            await self._deliver(batch)
        self._pending, self._pending_bytes = [], 0

    async def _deliver(self, batch: Sequence[tuple[int, str]]) -> None:
        """Tries for a minute (the embedded cloud may be restarting), then gives the lines up, loudly."""
        for attempt in range(DELIVERY_ATTEMPTS):
            try:
                await self._blocking.run(self._sink.put, self._destination.group, self._destination.stream, batch)
            except LogDeliveryError as error:
                logger.warning("log lines not delivered", extra={"attempt": attempt, "reason": str(error)})
                await self._sleep(min(DELIVERY_PAUSE_SECONDS, 0.1 * 2**attempt))
            else:
                return
        logger.error("log lines lost", extra={"stream": self._destination.stream, "lines": len(batch)})


class LogDeliveryError(Exception):
    """CloudWatch Logs could not be reached or refused the lines."""


async def _read(descriptor: int, wait: float | None) -> bytes | None:
    """The next bytes; ``b""`` at the end; None when nothing came for `wait` seconds."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(descriptor, ready)
    try:
        await asyncio.wait_for(readable, wait)
    except TimeoutError:
        return None
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, READ_BYTES)


def pieces_of(text: str) -> Iterator[str]:
    """`text` in pieces that CloudWatch accepts as messages (counted in UTF-8 bytes)."""
    if len(text) * 4 <= EVENT_BYTES or len(text.encode()) <= EVENT_BYTES:
        yield text
        return
    # A character has at most four bytes.
    step = EVENT_BYTES // 4
    for start in range(0, len(text), step):
        yield text[start : start + step]


def batches_of(events: Sequence[tuple[int, str]]) -> Iterator[Sequence[tuple[int, str]]]:
    """`events` in order, in batches within the limits of one PutLogEvents call."""
    start, size = 0, 0
    for position, (_, message) in enumerate(events):
        length = len(message.encode()) + EVENT_OVERHEAD
        if position - start == BATCH_EVENTS or size + length > BATCH_BYTES:
            yield events[start:position]
            start, size = position, 0
        size += length
    if start < len(events):
        yield events[start:]


def _character_boundary(data: bytes, position: int) -> int:
    """The last start of a UTF-8 character at or before `position` (itself, if the bytes around are no UTF-8)."""
    for cut in range(position, position - 4, -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return position
