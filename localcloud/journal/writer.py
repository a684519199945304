"""Appends changes and makes them durable."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable

from localcloud.journal import frames
from localcloud.journal.directory import JournalDirectory
from localcloud.journal.records import Change, Contents

logger = logging.getLogger(__name__)

MIN_COMPACT_BYTES = 64 * 1024 * 1024

Run = Callable[[Callable[[], None]], None]


class JournalError(Exception):
    """Changes could not be written: nothing may be acknowledged."""


def in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="journal-compaction", daemon=True).start()


class Journal:
    """The open journal of one state. Methods may be called from any thread.

    Changes are collected by `append` and written by `flush`, in their order, all that wait in one write: whoever comes first
    to an answer makes the others' changes durable too.
    """

    def __init__(
        self, directory: JournalDirectory, *, compact_bytes: int = MIN_COMPACT_BYTES, run: Run = in_thread
    ) -> None:
        """Create it; `open` makes it usable.

        Args:
            compact_bytes: the least size of a journal that is worth compacting.
            run: runs a compaction beside everything else.
        """
        self._directory = directory
        self._compact_bytes = compact_bytes
        self._run = run
        self._lock = threading.Lock()
        self._compaction = threading.Lock()
        self._pending: list[bytes] = []
        self._descriptor = -1
        self._number = 0
        self._size = 0
        self._limit = 0

    def open(self) -> Contents:
        """Read back what there is, write it as a snapshot, and begin a new journal; returns what there is."""
        self._directory.create()
        number = self._directory.newest() + 1
        contents = self._directory.read()
        self._directory.write_snapshot(number, contents)
        with self._lock:
            self._begin(number)
        return contents

    def append(self, change: Change) -> None:
        """Note a change; it is durable after the next `flush`."""
        encoded = json.dumps(change, separators=(",", ":")).encode()
        with self._lock:
            self._pending.append(encoded)

    def flush(self) -> None:
        """Make every change noted so far durable.

        Raises:
            JournalError: that failed; the changes are kept for the next attempt.
        """
        if not self._pending:
            return
        with self._lock:
            if not self._pending:
                return
            frame = frames.encode(self._pending)
            self._write(frame)
            self._pending.clear()
            self._size += len(frame)
            full = self._size > self._limit
            if full:
                self._begin(self._number + 1)
                number = self._number
        if full:
            self._run(lambda: self._compact(number))

    def close(self) -> None:
        self.flush()
        with self._compaction, self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self, number: int) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        path = self._directory.journal(number)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._number = number
        self._size = 0
        self._write(frames.HEADER)
        self._size = len(frames.HEADER)
        self._limit = max(self._compact_bytes, self._directory.size(number))

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            # What was written of it must go, or whatever follows would lie behind a torn frame and never be read.
            os.ftruncate(self._descriptor, self._size)
            raise JournalError(f"the journal could not be written: {error}") from error

    def _compact(self, number: int) -> None:
        with self._compaction:
            try:
                self._directory.compact(number)
            except Exception:
                # The files are still all there; the next start compacts them.
                logger.exception("the journal could not be compacted")
                return
            with self._lock:
                if self._number == number:
                    self._limit = max(self._compact_bytes, self._directory.size(number))
