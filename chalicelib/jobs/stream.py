"""All that happens to a job as one stream with one cursor: what it prints, what it measures, what becomes of it.

Lines and metrics come from the job's own log, in its order; states from its ledger. A reader that was cut off goes on from
the last cursor that it has whole, and misses nothing and reads nothing twice. That a stream has ended is said.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.clock import Clock
from chalicelib.cursor import Cursor, not_ours
from chalicelib.jobs.job import Job
from chalicelib.jobs.ledger import Change
from chalicelib.jobs.ledger_store import LedgerStore
from chalicelib.jobs.life import State, apply, state_of
from chalicelib.jobs.logs import LogEntry, LogReader, Position
from chalicelib.jobs.store import JobStore

LATE_CHANGES = timedelta(minutes=1)
"""The ledger is written by the table's stream: a moment after the record. A job's last change is waited for so long."""
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 1.0


@dataclass(frozen=True)
class Became:
    """A change of the job's record, and the state that it led to."""

    timestamp: datetime
    version: int
    event: str
    state: State
    secondary_status: str | None


Record = LogEntry | Became


@dataclass(frozen=True)
class StreamPosition:
    """
    Attributes:
        version: of the last change that was read.
    """

    lines: Position
    version: int = 0

    def to_cursor(self) -> Cursor:
        return Cursor({**self.lines.to_cursor().key, "v": self.version})

    @classmethod
    def from_text(cls, text: str | None) -> StreamPosition:
        """
        Raises:
            InvalidRequest: no cursor of ours.
        """
        cursor = Cursor.decode(text)
        if cursor is None:
            return cls(Position())
        version = cursor.key.pop("v", None)
        if not isinstance(version, int) or version < 0:
            raise not_ours()
        return cls(Position.from_text(cursor.encode()), version)


@dataclass(frozen=True)
class StreamPage:
    records: tuple[Record, ...]
    position: StreamPosition
    is_end: bool


@dataclass(frozen=True)
class JobStream:
    """
    Args:
        sleep: waits between looks while following.
    """

    logs: LogReader
    ledger: LedgerStore
    store: JobStore
    now: Clock
    sleep: Callable[[float], None]

    def read(self, job: Job, position: StreamPosition, limit: int) -> StreamPage:
        """The next records after a position, at once. The limit is one of lines: a line may tell many points."""
        page = self.logs.read(job, position.lines, limit, with_metrics=True)
        changes = [each for each in self._became(job) if each.version > position.version]
        version = changes[-1].version if changes else position.version
        is_late = job.completed_at is not None and self.now() >= job.completed_at + LATE_CHANGES
        is_end = page.is_end and job.status.is_finished and (version >= job.version or is_late)
        # Each in its own order, whatever the clocks of different machines say.
        both: tuple[Iterable[Record], Iterable[Record]] = (page.entries, changes)
        records = heapq.merge(*both, key=lambda record: record.timestamp)
        return StreamPage(tuple(records), StreamPosition(page.position, version), is_end)

    def follow(self, job: Job, position: StreamPosition, limit: int, seconds: float) -> StreamPage:
        """The next records, waiting for them up to some seconds."""
        deadline = self.now() + timedelta(seconds=seconds)
        pause = _FIRST_PAUSE
        while True:
            page = self.read(job, position, limit)
            left = (deadline - self.now()).total_seconds()
            if page.records or page.is_end or left <= 0:
                return page
            self.sleep(min(pause, left))
            pause = min(_LAST_PAUSE, pause * 1.5)
            position = page.position
            job = self.store.get(job.tenant, job.job_id) or job

    def _became(self, job: Job) -> Iterator[Became]:
        """The changes of a job in order, as far as they are there without a gap."""
        current: Job | None = None
        for change in self.ledger.changes(job.tenant, job.job_id):
            current = _after(current, change)
            if current is None or current.version != change.version:
                return
            kind = type(change.event).__name__
            yield Became(change.at, change.version, kind, state_of(current), current.secondary_status)


def _after(before: Job | None, change: Change) -> Job | None:
    if before is None:
        return change.record
    if change.version != before.version + 1:
        return None
    return replace(apply(before, change.event), version=change.version, updated_at=change.at)
