"""A job's log and metrics as files in S3, for whoever wants to keep them, or to work on them elsewhere.

Each file is JSON lines, gzipped: a line of the log or a point of a metric each, as the API shows them. The files lie below
the job and go with it; another export takes their place.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, from_text, to_text
from chalicelib.function import Function
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs import views
from chalicelib.jobs.items import pk_of
from chalicelib.jobs.job import Job, job_prefix
from chalicelib.jobs.logs import MAX_LINES, LogReader, Position
from chalicelib.jobs.service import JobService
from chalicelib.jobs.store import JobStore
from chalicelib.metrics.reading import Position as MetricPosition
from chalicelib.metrics.store import MetricStore
from chalicelib.objects import Objects
from chalicelib.table import Item, Table, as_json

TAKES_AT_MOST = timedelta(minutes=20)
"""The function has 15 minutes, and Lambda tries it again a minute or two after it failed."""
_POINTS = 10_000
_SK = "export"


class ExportStatus(Enum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True)
class File:
    """
    Attributes:
        lines: how many it holds.
        size: bytes, packed.
    """

    name: str
    key: str
    lines: int
    size: int


@dataclass(frozen=True)
class Export:
    """
    Attributes:
        is_whole: nothing can be added any more: the job had ended, and its log with it.
    """

    requested_at: datetime
    completed_at: datetime | None = None
    is_whole: bool = False
    files: tuple[File, ...] = ()

    def status(self, now: datetime) -> ExportStatus:
        if self.completed_at is not None:
            return ExportStatus.COMPLETED
        return ExportStatus.RUNNING if now - self.requested_at < TAKES_AT_MOST else ExportStatus.FAILED


@dataclass(frozen=True)
class ExportStore:
    """The last export of a job, beside its record: it goes with the job."""

    table: Table

    def get(self, tenant: str, job_id: str) -> Export | None:
        item = self.table.get(pk_of(tenant, job_id), _SK)
        return _export(item) if item else None

    def put(self, tenant: str, job_id: str, export: Export) -> None:
        item = {
            "pk": pk_of(tenant, job_id),
            "sk": _SK,
            "requested_at": to_text(export.requested_at),
            "completed_at": to_text(export.completed_at) if export.completed_at else None,
            "is_whole": export.is_whole,
            "files": as_json([vars(file) for file in export.files]),
        }
        self.table.write(self.table.put(item))


def _export(item: Item) -> Export:
    return Export(
        requested_at=from_text(item["requested_at"]),
        completed_at=from_text(item["completed_at"]) if item.get("completed_at") else None,
        is_whole=item["is_whole"],
        files=tuple(File(**values) for values in json.loads(item["files"])),
    )


@dataclass(frozen=True)
class ExportService:
    """What a caller may ask for."""

    jobs: JobService
    store: ExportStore
    function: Callable[[], Function]
    audit: Recorder
    now: Clock

    def request(self, caller: Caller, job_id: str) -> Export:
        """Have a job exported; one that is under way is left alone.

        Raises:
            NotFound: there is no such job, or it is not this caller's to see.
        """
        caller.require(Permission.JOBS_SUBMIT)
        job = self.jobs.find(caller, job_id, Permission.JOBS_READ_ALL)
        now = self.now()
        last = self.store.get(job.tenant, job_id)
        if last is not None and last.status(now) is ExportStatus.RUNNING:
            # Whoever asked may have died before the call. Two at once write the same files.
            export = last
        else:
            export = Export(now)
            self.store.put(job.tenant, job_id, export)
        self.audit.record(caller, Action.EXPORT_JOB, subject("job", job_id), owner=job.user)
        self.function().call({"tenant": job.tenant, "job_id": job_id})
        return export

    def get(self, caller: Caller, job_id: str) -> Export | None:
        """The last export; None when nobody has asked for one.

        Raises:
            NotFound: there is no such job, or it is not this caller's to see.
        """
        job = self.jobs.get(caller, job_id)
        return self.store.get(job.tenant, job_id)


@dataclass(frozen=True)
class Exporting:
    """Writes the files. May be repeated."""

    jobs: JobStore
    store: ExportStore
    logs: LogReader
    metrics: MetricStore
    objects: Objects
    now: Clock

    def run(self, tenant: str, job_id: str) -> Export | None:
        """Export a job; None when it is gone, or nobody wants it any more."""
        job, export = self.jobs.get(tenant, job_id), self.store.get(tenant, job_id)
        if job is None or export is None:
            return None
        log = _Log(self.logs, job)
        files = (
            self._written(job, "logs.jsonl.gz", log.lines()),
            self._written(job, "metrics.jsonl.gz", self._points(job)),
        )
        done = replace(export, completed_at=self.now(), is_whole=log.is_whole, files=files)
        self.store.put(tenant, job_id, done)
        return done

    def _points(self, job: Job) -> Iterator[Mapping[str, Any]]:
        after: MetricPosition | None = None
        while True:
            page = self.metrics.read(job.tenant, job.job_id, name=None, limit=_POINTS, after=after)
            yield from (views.metric(point) for point in page.points)
            if page.cursor is None:
                return
            after = MetricPosition.from_text(page.cursor.encode(), None)

    def _written(self, job: Job, name: str, documents: Iterable[Mapping[str, Any]]) -> File:
        key = f"{job_prefix(job.tenant, job.job_id)}export/{name}"
        lines = 0
        with tempfile.TemporaryFile() as file:
            # The same content gives the same bytes: no time, no name.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                for document in documents:
                    packed.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
                    lines += 1
            size = file.tell()
            file.seek(0)
            self.objects.write_file(key, file, "application/gzip")
        return File(name, key, lines, size)


@dataclass
class _Log:
    """
    Attributes:
        is_whole: once all lines are read, whether there will be no more.
    """

    reader: LogReader
    job: Job
    is_whole: bool = False

    def lines(self) -> Iterator[Mapping[str, Any]]:
        position = Position()
        while True:
            page = self.reader.read(self.job, position, MAX_LINES)
            yield from (views.log_entry(entry) for entry in page.entries)
            if page.is_end or not page.entries:
                self.is_whole = page.is_end
                return
            position = page.position
