"""The calls about training jobs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from aimatrix.client.capacity import QueuePlace
from aimatrix.client.errors import ServiceError, UnreachableError, UploadError
from aimatrix.client.history import History
from aimatrix.client.jobs import Export, ExportedFile, Job, JobRequest, LogEntry, LogPage, Metric, StreamPage
from aimatrix.client.paging import each_document
from aimatrix.client.retry import RetryPolicy
from aimatrix.client.transport import Transport
from aimatrix.client.upload_calls import TRANSFER_TIMEOUT
from aimatrix.client.waiting import wait_until

P = TypeVar("P", LogPage, StreamPage)
JOBS = "/training/jobs"
ADMIN_JOBS = "/admin/training/jobs"

# How stubbornly a follower reconnects: about two minutes without any answer. Each success starts the count anew.
RECONNECT = RetryPolicy(attempts=14, base=0.5, cap=20.0)

# An empty answer that came at once wasn't a long poll; ask again at this pace rather than in a tight loop.
EMPTY_ANSWER_PAUSE = 0.5


# The table's stream brings a change into the ledger within a second or two.
LEDGER_WITHIN, _LEDGER_PAUSE = 20.0, 0.5


@dataclass(frozen=True)
class JobCalls:
    """``client.jobs``."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic
    new_key: Callable[[], str] = lambda: str(uuid.uuid4())
    reconnect: RetryPolicy = RECONNECT

    def submit(self, request: JobRequest, idempotency_key: str | None = None) -> Job:
        """Submits a job, with an idempotency key: when the answer is lost, asking again makes no second job.

        Args:
            idempotency_key: give one to make the submission repeatable across processes too; made up by default.

        Raises:
            InvalidRequestError: ``errors`` names each field and its cure.
            QuotaExceededError: over a limit of the user's or the tenant's; ``limits`` says which.
            ConflictError: the key was used with another request.
        """
        headers = {"Idempotency-Key": idempotency_key or self.new_key()}
        document = self.transport.document("POST", JOBS, body=request.to_document(), headers=headers)
        return Job.from_document({"framework": request.framework, **document})

    def plan(self, request: JobRequest) -> dict[str, Any]:
        """What submitting this request would do and cost: checked like a submission, and nothing is made.

        Raises:
            InvalidRequestError, QuotaExceededError: as ``submit`` would.
        """
        return self.transport.document("POST", JOBS, params={"dry_run": True}, body=request.to_document())

    def get(self, job_id: str) -> Job:
        return Job.from_document(self.transport.document("GET", _path(job_id)))

    def list(
        self,
        *,
        status: str | None = None,
        user_id: str | None = None,
        page_size: int = 50,
    ) -> Iterator[Job]:
        """The jobs the caller may see, latest first, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"status": status, "user_id": user_id, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", JOBS, params=params)

        return (Job.from_document(each) for each in each_document(fetch, "jobs"))

    def cancel(self, job_id: str) -> None:
        """Asks for the job to be stopped.

        Raises:
            NotFoundError: no such job of the caller's.
            ConflictError: it has finished already.
        """
        self.transport.call("DELETE", _path(job_id))

    def history(self, job_id: str, *, timeout: float = LEDGER_WITHIN) -> History:
        """Every change of a job's record, and whether a replay of them gives the record.

        Args:
            timeout: for how many seconds a change that was made a moment ago is waited for; 0 asks once.

        Raises:
            NotFoundError: no such job of the caller's.
        """
        deadline = self.monotonic() + timeout
        while True:
            found = History.from_document(self.transport.document("GET", f"{_path(job_id)}/history"))
            if not found.behind or self.monotonic() >= deadline:
                return found
            self.transport.sleep(_LEDGER_PAUSE)

    def delete(self, job_id: str) -> None:
        """Deletes a finished job of anybody in the tenant, with its files; needs the permission to delete jobs.

        Raises:
            NotFoundError: no such job, or it is deleted already.
            ConflictError: it hasn't finished, or a model lies among its files.
        """
        self.transport.call("DELETE", f"{ADMIN_JOBS}/{quote(job_id, safe='')}")

    def queue(self, job_id: str) -> QueuePlace:
        """Why a job waits, who holds what it waits for, and when it is expected to start."""
        return QueuePlace.from_document(self.transport.document("GET", f"{_path(job_id)}/queue"))

    def attempts(self, job_id: str) -> tuple[dict[str, Any], ...]:
        """Each try of a job: when it ran, why it ended (`cause`, `reason`), what it cost."""
        return tuple(self.transport.document("GET", f"{_path(job_id)}/attempts")["attempts"])

    def metrics(self, job_id: str, name: str | None = None) -> Iterator[Metric]:
        """Every point logged so far, by name and step."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"name": name, "cursor": cursor}
            return self.transport.document("GET", f"{_path(job_id)}/metrics", params=params)

        return (Metric.from_document(each) for each in each_document(fetch, "metrics"))

    def chart(self, job_id: str, name: str, max_points: int = 1000) -> tuple[Metric, ...]:
        """A metric thinned out to so many points at most: of each stretch of steps the least and the greatest value, and
        whatever is no number.

        Args:
            max_points: 10 to 10,000.
        """
        params = {"name": name, "max_points": str(max_points)}
        document = self.transport.document("GET", f"{_path(job_id)}/metrics", params=params)
        return tuple(Metric.from_document(each) for each in document["metrics"])

    def log_page(self, job_id: str, cursor: str | None = None, *, follow: bool = False) -> LogPage:
        """Some lines from a cursor on (from the first line without one).

        Args:
            follow: let the service wait for new lines (up to 20 s) rather than answer with none.
        """
        response = self.transport.call(
            "GET",
            f"{_path(job_id)}/logs",
            params={"follow": follow or None, "cursor": cursor},
            headers={"Accept": "application/x-ndjson"},
        )
        return LogPage(
            entries=tuple(LogEntry.from_document(each) for each in _documents(response)),
            next_cursor=response.headers.get("x-next-cursor") or cursor,
            ended=response.headers.get("x-stream-end", "").lower() == "true",
        )

    def log_pages(self, job_id: str, cursor: str | None = None, *, follow: bool = False) -> Iterator[LogPage]:
        """Pages of lines until there is no more: with ``follow``, until the job's last line.

        A page is given out only when it has arrived whole, and the next is asked for from its cursor: what a dropped
        connection cut off is fetched again, what was given out is not.

        Raises:
            UnreachableError: the service stayed away for longer than ``reconnect`` allows.
        """
        return self._pages(lambda at: self.log_page(job_id, at, follow=follow), cursor, follow)

    def export(self, job_id: str, timeout: float = 1200) -> Export:
        """Has a job's log and metrics written to S3, and waits for it.

        Raises:
            WaitTimeoutError: it is not ready; it goes on.
        """
        self.transport.call("POST", f"{_path(job_id)}/export")
        return wait_until(
            lambda: self.last_export(job_id),
            Export.is_finished,
            describe=f"export of job {job_id}",
            timeout=timeout,
            sleep=self.transport.sleep,
            monotonic=self.monotonic,
        )

    def last_export(self, job_id: str) -> Export:
        """The last one, however far it is."""
        return Export.from_document(self.transport.document("GET", f"{_path(job_id)}/export"))

    def download(self, file: ExportedFile, folder: Path) -> Path:
        """Fetches an exported file into a folder; a file that is there is replaced once all of the new one has come.

        Raises:
            UploadError: the artifact store refused it, or the connection broke.
        """
        folder.mkdir(parents=True, exist_ok=True)
        target, part = folder / file.name, folder / f"{file.name}.part"
        try:
            with (
                self.transport.http.stream("GET", file.url, timeout=TRANSFER_TIMEOUT) as response,
                part.open("wb") as to,
            ):
                if not response.is_success:
                    raise UploadError(f"{file.name}: the artifact store answered {response.status_code}")
                for chunk in response.iter_raw():
                    to.write(chunk)
            part.replace(target)
        except httpx.TransportError as error:
            raise UploadError(f"{file.name}: {str(error) or type(error).__name__}") from error
        finally:
            part.unlink(missing_ok=True)
        return target

    def stream_page(self, job_id: str, cursor: str | None = None, *, follow: bool = False) -> StreamPage:
        """Some of what a job printed, measured and became, from a cursor on (from the beginning without one).

        Args:
            follow: let the service wait for more (up to 20 s) rather than answer with nothing.
        """
        params = {"follow": follow or None, "cursor": cursor}
        response = self.transport.call("GET", f"{_path(job_id)}/stream", params=params)
        return StreamPage(
            entries=tuple(_documents(response)),
            next_cursor=response.headers.get("x-next-cursor") or cursor,
            ended=response.headers.get("x-stream-end", "").lower() == "true",
        )

    def stream_pages(self, job_id: str, cursor: str | None = None, *, follow: bool = False) -> Iterator[StreamPage]:
        """The same, until there is no more; with ``follow``, until the end is told. As safe against cuts as `log_pages`.

        Raises:
            UnreachableError: the service stayed away for longer than ``reconnect`` allows.
        """
        return self._pages(lambda at: self.stream_page(job_id, at, follow=follow), cursor, follow)

    def _pages(self, fetch: Callable[[str | None], P], cursor: str | None, follow: bool) -> Iterator[P]:
        failures = 0
        while True:
            asked = self.monotonic()
            try:
                page = fetch(cursor)
            except (UnreachableError, ServiceError):
                failures += 1
                delay = self.reconnect.delay(failures, None, self.transport.rng)
                if delay is None:
                    raise
                self.transport.sleep(delay)
                continue
            failures = 0
            yield page
            if page.ended or not (follow or page.entries):
                return
            cursor = page.next_cursor
            if not page.entries and self.monotonic() - asked < EMPTY_ANSWER_PAUSE:
                self.transport.sleep(EMPTY_ANSWER_PAUSE)

    def logs(self, job_id: str) -> Iterator[LogEntry]:
        """The lines that are there now."""
        return (entry for page in self.log_pages(job_id) for entry in page.entries)

    def follow_logs(self, job_id: str, cursor: str | None = None) -> Iterator[LogEntry]:
        """Each line once, in order, as it is printed, until the job's last; dropped connections don't show."""
        return (entry for page in self.log_pages(job_id, cursor, follow=True) for entry in page.entries)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job, once it has finished (in whatever way: ask ``succeeded()``).

        Raises:
            WaitTimeoutError: it hadn't after ``timeout`` seconds; it goes on.
        """
        return wait_until(
            lambda: self.get(job_id),
            Job.is_finished,
            describe=f"job {job_id}",
            timeout=timeout,
            sleep=self.transport.sleep,
            monotonic=self.monotonic,
        )


def _path(job_id: str) -> str:
    return f"{JOBS}/{quote(job_id, safe='')}"


def _documents(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The lines of an NDJSON body.

    Raises:
        ServiceError: a line isn't whole, as when a proxy ends a body early without saying so.
    """
    for line in response.content.split(b"\n"):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as error:
            raise ServiceError(response.status_code, "truncated_log", "a log answer was cut short") from error
