"""From a job's pipe to CloudWatch Logs."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from localcloud.compute.host import Blocking
from localcloud.compute.log_shipping import BATCH_BYTES, EVENT_BYTES, LogDestination, LogPump, batches_of, pieces_of
from tests.unit.compute.fakes import FakeLogs

DESTINATION = LogDestination("group", "stream")


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


async def ship(
    logs: FakeLogs, write: Callable[[int], None], limit: int = 10**9, copy: io.BytesIO | None = None
) -> None:
    """Lets `write` fill a pipe in a thread while a pump empties it."""
    blocking = Blocking(4)
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)

    def fill() -> None:
        try:
            write(write_end)
        finally:
            os.close(write_end)

    pump = LogPump(logs, DESTINATION, blocking, lambda: datetime.now(UTC), no_wait, limit, copy)
    await asyncio.gather(pump.run(read_end), blocking.run(fill))
    blocking.close()


def write_all(data: bytes) -> Callable[[int], None]:
    def write(descriptor: int) -> None:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)

    return write


def shipped(data: bytes, limit: int = 10**9) -> list[str]:
    logs = FakeLogs()
    asyncio.run(ship(logs, write_all(data), limit))
    return logs.lines()


class TestLines:
    @pytest.mark.parametrize(
        ("data", "lines"),
        [
            (b"one\ntwo\n", ["one", "two"]),
            (b"no newline at the end", ["no newline at the end"]),
            (b"windows\r\nends\r\n", ["windows", "ends"]),
            (b"\n\n\nempty lines\n\n", ["empty lines"]),
            ("grüße 日本\n".encode(), ["grüße 日本"]),
            (b"\xff\xfe bad \x80\n", ["\ufffd\ufffd bad \ufffd"]),
            (b"nul \x00 byte\n", ["nul \x00 byte"]),
            (b"", []),
        ],
    )
    def test_come_out_as_printed(self, data: bytes, lines: list[str]) -> None:
        assert shipped(data) == lines

    def test_a_line_longer_than_an_event_is_split_between_characters(self) -> None:
        line = "ä" * EVENT_BYTES

        pieces = shipped(line.encode() + b"\nnext\n")

        assert "".join(pieces[:-1]) == line
        assert pieces[-1] == "next"
        assert all(len(piece.encode()) <= EVENT_BYTES for piece in pieces)

    def test_an_endless_line_of_garbage_is_bounded_too(self) -> None:
        pieces = shipped(b"\xff" * 3 * EVENT_BYTES)

        assert all(len(piece.encode()) <= EVENT_BYTES for piece in pieces)
        assert sum(len(piece) for piece in pieces) == 3 * EVENT_BYTES

    def test_fifty_megabytes_arrive_complete_and_in_order(self) -> None:
        count = 500_000
        data = b"".join(b"%07d %s\n" % (n, b"x" * 92) for n in range(count))
        assert len(data) > 50_000_000

        lines = shipped(data)

        assert [int(line[:7]) for line in lines] == list(range(count))


class TestLimits:
    def test_batches_stay_within_the_limits_of_one_call(self) -> None:
        events = [(0, "x" * 1000)] * 25_000

        batches = list(batches_of(events))

        assert [event for batch in batches for event in batch] == events
        assert all(len(batch) <= 10_000 for batch in batches)
        assert all(sum(len(message) + 26 for _, message in batch) <= BATCH_BYTES for batch in batches)

    def test_a_short_text_is_one_piece(self) -> None:
        assert list(pieces_of("x")) == ["x"]

    def test_beyond_its_limit_output_is_dropped_with_one_line_that_says_so(self) -> None:
        lines = shipped(b"".join(b"line %06d\n" % n for n in range(100_000)), limit=100_000)

        assert lines[0] == "line 000000"
        assert lines[-1] == "[compute] output limit of 100000 bytes reached: the rest is not recorded"
        assert sum(line.startswith("[compute]") for line in lines) == 1
        assert len(lines) < 20_000

    def test_the_copy_gets_every_byte(self) -> None:
        copy = io.BytesIO()

        asyncio.run(ship(FakeLogs(), write_all(b"a\n" * 1000), limit=10, copy=copy))

        assert copy.getvalue() == b"a\n" * 1000


class TestDelivery:
    def test_a_slow_cloud_slows_the_job_down_and_memory_stays(self) -> None:
        """While a delivery hangs, the writer gets no further than the pipe and one read hold."""
        logs = FakeLogs()
        written = 0

        def write(descriptor: int) -> None:
            nonlocal written
            for _ in range(200):
                written += os.write(descriptor, b"x" * 9_999 + b"\n")

        async def scenario() -> int:
            with logs.stalled():
                shipping = asyncio.create_task(ship(logs, write))
                before = -1
                while written != before or not written:
                    before = written
                    await asyncio.sleep(0.1)
            await shipping
            return before

        stalled_at = asyncio.run(scenario())

        assert stalled_at < 400_000
        assert written == 2_000_000
        assert sum(len(line) for line in logs.lines()) == 200 * 9_999

    def test_lines_survive_a_cloud_that_is_away_for_a_moment(self) -> None:
        logs = FakeLogs(broken=3)

        asyncio.run(ship(logs, write_all(b"one\ntwo\n")))

        assert logs.lines() == ["one", "two"]

    def test_a_cloud_that_stays_away_does_not_keep_the_job_for_ever(self) -> None:
        logs = FakeLogs(broken=10**6)

        asyncio.run(ship(logs, write_all(b"one\n")))

        assert logs.lines() == []
