"""What a job's script printed, read from CloudWatch Logs with one resume cursor over all attempts.

The agent's last line says that an attempt's log is complete. A job that ended without one (its machine died) is given
some seconds for the last lines to arrive before its log counts as ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chalicelib.clock import Clock
from chalicelib.cursor import Cursor, not_ours
from chalicelib.jobs.gateways import Backends
from chalicelib.jobs.job import Attempt, Backend, Job
from chalicelib.jobs.reports import MARK, points_in
from chalicelib.jobs.store import JobStore
from chalicelib.metrics.point import MetricPoint

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

MAX_LINES = 1000
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a Lambda answers at most 6 MB
LATE_LINES = timedelta(seconds=10)
_CALLS_PER_READ = 8
_POINT_BYTES = 150  # as JSON
MAX_ATTEMPTS = 9999
_INSTANCE = re.compile(r"[A-Za-z0-9_.-]{0,100}")
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 1.0

AGENT_PREFIX = "aimatrix: "
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b")
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"}


@dataclass(frozen=True)
class LogEntry:
    """
    Attributes:
        points: of metrics that were logged here; an entry that has some is no line of the script.
    """

    timestamp: datetime
    message: str
    attempt: int
    points: tuple[MetricPoint, ...] = ()

    @property
    def source(self) -> str:
        """Who printed the line: the script, or the agent around it."""
        return "agent" if self.message.startswith(AGENT_PREFIX) else "script"

    @property
    def level(self) -> str:
        """The level that the line itself names near its start, as Python's logging writes it; INFO otherwise."""
        if self.message.startswith("Traceback (most recent call last)"):
            return "ERROR"
        found = _LEVEL.search(self.message[:80])
        return _LEVELS.get(found[1], found[1]) if found else "INFO"


@dataclass(frozen=True)
class Position:
    """Where a reader is.

    Attributes:
        instance: the last part of a SageMaker stream's name, which only SageMaker knows. The part before it is always the
            attempt's own name, so that no cursor leads into the log of another job.
        token: CloudWatch's own position.
        ended: whether the attempt's last line was seen.
    """

    attempt: int = 1
    instance: str = ""
    token: str = ""
    ended: bool = False

    def to_cursor(self) -> Cursor:
        return Cursor({"a": self.attempt, "i": self.instance, "t": self.token, "e": int(self.ended)})

    @classmethod
    def from_text(cls, text: str | None, only: int | None = None) -> Position:
        """
        Args:
            only: the one attempt that is to be read.

        Raises:
            InvalidRequest: no cursor of ours, or one of another attempt.
        """
        cursor = Cursor.decode(text, names={"a": int, "i": str, "t": str, "e": int})
        if cursor is None:
            return cls(only or 1)
        key = cursor.key
        if not 1 <= key["a"] <= MAX_ATTEMPTS or not _INSTANCE.fullmatch(key["i"]):
            raise not_ours()
        if only is not None and key["a"] != only:
            raise not_ours()
        return cls(key["a"], key["i"], key["t"], bool(key["e"]))


@dataclass(frozen=True)
class LogPage:
    entries: tuple[LogEntry, ...]
    position: Position
    is_end: bool


@dataclass(frozen=True)
class LogReader:
    """
    Args:
        group_of: the log group of a backend.
        sleep: waits between looks while following.
    """

    client: CloudWatchLogsClient
    store: JobStore
    backends: Backends
    group_of: Callable[[Backend], str]
    now: Clock
    sleep: Callable[[float], None]

    def read(
        self, job: Job, position: Position, limit: int, only: int | None = None, *, with_metrics: bool = False
    ) -> LogPage:
        """The next lines after a position, at once.

        Args:
            only: the attempt whose end is the end; None for that of the job.
            with_metrics: what was logged of metrics too, in its place among the lines.
        """
        entries: list[LogEntry] = []
        size = 0
        for _ in range(_CALLS_PER_READ):
            attempt = self.store.attempt(job.tenant, job.job_id, position.attempt)
            fresh, position = (
                self._step(attempt, position, limit - len(entries), with_metrics) if attempt else ([], position)
            )
            entries.extend(fresh)
            size += sum(len(entry.message) + _POINT_BYTES * len(entry.points) for entry in fresh)
            if len(entries) >= limit or size > MAX_ANSWER_BYTES // 2:
                return LogPage(tuple(entries), position, is_end=False)
            if not fresh and self._is_complete(job, position):
                if position.attempt >= job.attempts or position.attempt == only:
                    is_over = job.status.is_finished or position.attempt < job.attempts
                    return LogPage(tuple(entries), position, is_end=is_over)
                position = Position(position.attempt + 1)
            elif not fresh:
                break
        return LogPage(tuple(entries), position, is_end=False)

    def follow(self, job: Job, position: Position, limit: int, seconds: float, only: int | None = None) -> LogPage:
        """The next lines, waiting for them up to some seconds."""
        deadline = self.now() + timedelta(seconds=seconds)
        pause = _FIRST_PAUSE
        while True:
            page = self.read(job, position, limit, only)
            if page.entries or page.is_end or self.now() >= deadline:
                return page
            self.sleep(min(pause, max(0.0, (deadline - self.now()).total_seconds())))
            pause = min(_LAST_PAUSE, pause * 1.5)
            position = page.position
            job = self.store.get(job.tenant, job.job_id) or job

    def _step(
        self, attempt: Attempt, position: Position, limit: int, with_metrics: bool
    ) -> tuple[list[LogEntry], Position]:
        group = self.group_of(attempt.backend)
        stream = self._stream(attempt, group, position.instance)
        if not stream:
            return [], position
        arguments = {
            "logGroupName": group,
            "logStreamName": stream,
            "startFromHead": True,
            "limit": min(limit, MAX_LINES),
        }
        if position.token:
            arguments["nextToken"] = position.token
        try:
            answer = self.client.get_log_events(**arguments)  # type: ignore[arg-type]
        except self.client.exceptions.InvalidParameterException:
            raise not_ours() from None
        except self.client.exceptions.ResourceNotFoundException:
            return [], position
        # CloudWatch gives the same token back at the end of what there is.
        token = answer["nextForwardToken"]
        ended = position.ended
        entries = []
        for event in answer["events"]:
            message = event["message"]
            moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            if not message.startswith(MARK):
                entries.append(LogEntry(moment, message, attempt.number))
                continue
            ended = ended or _is_exit(message)
            if with_metrics and (points := points_in(message, attempt)):
                entries.append(LogEntry(moment, "", attempt.number, points))
        instance = "" if attempt.backend is Backend.BATCH else stream.partition("/")[2]
        position = replace(position, instance=instance, token=token, ended=ended)
        if not entries and answer["events"]:
            # Only structured lines: there may be more behind them.
            return self._step(attempt, position, limit, with_metrics)
        return entries, position

    def _stream(self, attempt: Attempt, group: str, instance: str) -> str:
        if attempt.backend is Backend.BATCH:
            return attempt.log_stream or self.backends.batch.describe(attempt).log_stream or ""
        training_job = attempt.name
        if attempt.queue:
            # Batch chose the name of the training job.
            training_job = attempt.backend_id or self.backends.of(attempt).describe(attempt).backend_id or ""
        if not training_job:
            return ""
        if instance:
            return f"{training_job}/{instance}"
        try:
            found = self.client.describe_log_streams(
                logGroupName=group, logStreamNamePrefix=f"{training_job}/", limit=1
            )
        except self.client.exceptions.ResourceNotFoundException:
            return ""
        return found["logStreams"][0]["logStreamName"] if found["logStreams"] else ""

    def _is_complete(self, job: Job, position: Position) -> bool:
        if position.ended or position.attempt < job.attempts:
            return True
        if job.attempts == 0:
            return job.status.is_finished
        return job.completed_at is not None and self.now() >= job.completed_at + LATE_LINES


def _is_exit(message: str) -> bool:
    try:
        return bool(json.loads(message[len(MARK) :]).get("t") == "exit")
    except (ValueError, AttributeError):
        return False
