"""Following a job: its lines, metrics and status changes as one stream of events.

Lines arrive by long poll, on a thread of their own; the record and its metrics are asked for in between. So the stream
has no state that the service hasn't: whoever is cut off or interrupted starts again from ``Watch.cursor``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aimatrix.client import Client, Job, LogEntry, LogPage, Metric

# Seconds between two looks at the record: quick while a person is probably watching, then easy on a long job.
QUICK, EASY, EASY_AFTER = 0.5, 3.0, 60.0

# Seconds between two looks once the lines have ended.
AFTER_LINES = 0.2

# How long the last lines may take after the job has finished: one long poll and some.
LAST_LINES = 30.0

# Points looked at while following; of a job with more, ``aimatrix jobs metrics`` shows all.
MOST_POINTS = 20_000

# Reading metrics may take this part of the time: one in so many.
METRIC_REST = 5.0


@dataclass(frozen=True)
class Changed:
    """The record differs from the last one seen in status, secondary status, progress or attempt."""

    job: Job


@dataclass(frozen=True)
class Printed:
    """Lines, in order."""

    entries: tuple[LogEntry, ...]


@dataclass(frozen=True)
class Measured:
    """New points, in order."""

    metrics: tuple[Metric, ...]


Event = Changed | Printed | Measured


class Watch:
    """Iterate over it for the events, the last of which is the ``Changed`` to a finished job.

    Attributes:
        cursor: where the lines go on after those given out so far.
        job: the record as last seen.
    """

    def __init__(
        self,
        client: Client,
        job: Job,
        cursor: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cursor = cursor
        self.job = job
        self._client = client
        self._monotonic = monotonic
        self._sleep = sleep
        self._pages: queue.SimpleQueue[LogPage | Exception | None] = queue.SimpleQueue()
        self._left = threading.Event()
        self._metrics = _MetricTail(client, job.job_id, monotonic)

    def __iter__(self) -> Iterator[Event]:
        threading.Thread(target=self._read_lines, args=(self.cursor,), name="job-lines", daemon=True).start()
        try:
            yield from self._events()
        finally:
            self._left.set()

    def _events(self) -> Iterator[Event]:
        started = self._monotonic()
        finished_at: float | None = None
        lines_ended = False
        yield Changed(self.job)
        while True:
            if lines_ended:
                # The lines end when the job does: its record can't be far behind.
                self._sleep(AFTER_LINES)
            else:
                for page in self._arrived(QUICK if self._monotonic() - started < EASY_AFTER else EASY):
                    if page is None:
                        lines_ended = True
                        break
                    self.cursor = page.next_cursor
                    if page.entries:
                        yield Printed(page.entries)
            job = self._client.jobs.get(self.job.job_id)
            points = self._metrics.read(final=job.is_finished())
            if points:
                yield Measured(points)
            if job.is_finished():
                finished_at = self._monotonic() if finished_at is None else finished_at
                if lines_ended or self._monotonic() - finished_at > LAST_LINES:
                    self.job = job
                    yield Changed(job)
                    return
            elif _differs(self.job, job):
                self.job = job
                yield Changed(job)

    def _read_lines(self, cursor: str | None) -> None:
        try:
            for page in self._client.jobs.log_pages(self.job.job_id, cursor, follow=True):
                self._pages.put(page)
                if self._left.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - crosses to the thread that iterates, which raises it
            self._pages.put(error)
        else:
            self._pages.put(None)

    def _arrived(self, patience: float) -> Iterator[LogPage | None]:
        """The pages of the next ``patience`` seconds; None, and nothing after it, when the lines have ended."""
        deadline = self._monotonic() + patience
        while True:
            try:
                page = self._pages.get(timeout=max(0.0, deadline - self._monotonic()))
            except queue.Empty:
                return
            if isinstance(page, Exception):
                raise page
            yield page
            if page is None:
                return


class _MetricTail:
    """New points since the last reading.

    The service lists points by name and step, so a new one may land anywhere in the list: each reading goes through it,
    and drops what is known. It rests for a while in proportion to what that cost.
    """

    def __init__(self, client: Client, job_id: str, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._job_id = job_id
        self._monotonic = monotonic
        self._known: set[Metric] = set()
        self._rest_until = 0.0

    def read(self, *, final: bool) -> tuple[Metric, ...]:
        started = self._monotonic()
        if started < self._rest_until and not final:
            return ()
        fresh = [
            metric
            for metric in islice(self._client.jobs.metrics(self._job_id), MOST_POINTS)
            if metric not in self._known
        ]
        self._known.update(fresh)
        ended = self._monotonic()
        self._rest_until = ended + METRIC_REST * (ended - started)
        return tuple(sorted(fresh, key=lambda metric: (metric.timestamp, metric.step or 0)))


def _differs(before: Job, after: Job) -> bool:
    return (before.status, before.secondary_status, before.progress, before.attempts) != (
        after.status,
        after.secondary_status,
        after.progress,
        after.attempts,
    )
