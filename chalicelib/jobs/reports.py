"""What the agent's structured log lines say, and how that becomes records.

A line is believed when it carries the token of the attempt that it names: a script can print anything, but knows the
token of no other job. A line that is not well formed is counted and left alone; it must not hold up its neighbours.
"""

from __future__ import annotations

import base64
import gzip
import hmac
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from chalicelib.jobs.job import Attempt, Checkpointing, Progress, Run
from chalicelib.jobs.lifecycle import Lifecycle
from chalicelib.jobs.outcome import MAX_REASON
from chalicelib.jobs.store import JobStore
from chalicelib.log import logger
from chalicelib.metrics.point import MetricCount, MetricPoint, moment_of, point_from
from chalicelib.metrics.store import MetricStore

MARK = "#aimatrix "
MAX_EVENT_BYTES = 32 * 1024 * 1024
MAX_PROCESSES = 16
"""Of an attempt, that are counted from the lines that come together: it has one, and one more for each lost machine."""


@dataclass(frozen=True, order=True)
class Source:
    """Which attempt a line says it is from, and its proof."""

    tenant: str
    job_id: str
    number: int
    token: str = field(repr=False)


@dataclass(frozen=True)
class Line:
    source: Source
    kind: str
    values: Mapping[str, Any]


def lines_of(event: Mapping[str, Any]) -> list[str]:
    """The messages of a CloudWatch Logs subscription event."""
    packed = base64.b64decode(event["awslogs"]["data"])
    with gzip.open(io.BytesIO(packed)) as stream:
        text = stream.read(MAX_EVENT_BYTES)
    document = json.loads(text)
    if document.get("messageType") != "DATA_MESSAGE":
        return []
    return [entry["message"] for entry in document["logEvents"]]


def parse(message: str) -> Line | None:
    """A structured line, or None when it is none."""
    if not message.startswith(MARK):
        return None
    try:
        values = json.loads(message[len(MARK) :])
        tenant, _, job_id = values["j"].partition("#")
        source = Source(tenant, job_id, int(values["n"]), str(values["k"]))
        return Line(source, str(values["t"]), values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def points_in(message: str, attempt: Attempt) -> tuple[MetricPoint, ...]:
    """The points of metrics that a line of an attempt's own log tells; none where it is not genuine."""
    line = parse(message)
    if line is None or line.kind != "metrics" or not _is_of(line.source, attempt):
        return ()
    given = line.values.get("points")
    return tuple(_points(given)[0]) if isinstance(given, list) else ()


def _is_of(source: Source, attempt: Attempt) -> bool:
    named = (source.tenant, source.job_id, source.number) == (attempt.tenant, attempt.job_id, attempt.number)
    return named and hmac.compare_digest(attempt.token.encode(), source.token.encode())


@dataclass(frozen=True)
class Reports:
    """
    Args:
        for_job: is told whose lines were taken, and how many: the job that the work is for.
    """

    store: JobStore
    metrics: MetricStore
    lifecycle: Lifecycle
    for_job: Callable[[str, str, int], None]

    def take(self, messages: Iterable[str]) -> int:
        """Record what the messages report; returns how many of them could not be used."""
        parsed = [parse(message) for message in messages]
        lines = sorted((line for line in parsed if line), key=lambda line: line.source)
        refused = len(parsed) - len(lines)
        for source, group in groupby(lines, key=lambda line: line.source):
            said = list(group)
            if self._is_genuine(source):
                self.for_job(source.tenant, source.job_id, len(said))
                refused += self._of_one_attempt(source, said)
            else:
                refused += len(said)
        if refused:
            logger.warning("lines were not used", extra={"refused": refused})
        return refused

    def _is_genuine(self, source: Source) -> bool:
        attempt = self.store.attempt(source.tenant, source.job_id, source.number)
        return attempt is not None and _is_of(source, attempt)

    def _of_one_attempt(self, source: Source, lines: list[Line]) -> int:
        refused = 0
        points: list[MetricPoint] = []
        told: dict[str, MetricCount] = {}
        progress: Progress | None = None
        checkpoints: list[tuple[datetime, int, int]] = []
        for line in lines:
            try:
                match line.kind:
                    case "started":
                        since = moment_of(line.values["at"])
                        self.lifecycle.running(source.tenant, source.job_id, since, None)
                    case "run":
                        run = Run(str(line.values["experiment_id"]), str(line.values["run_id"]))
                        self.store.set_run(source.tenant, source.job_id, run)
                    case "metrics":
                        fresh, wrong = _points(line.values["points"])
                        points.extend(fresh)
                        refused += wrong
                        if "total" in line.values:
                            process, count = _told(source, line.values)
                            if process not in told and len(told) == MAX_PROCESSES:
                                raise ValueError("more processes than an attempt has")
                            told[process] = max(told.get(process, count), count, key=lambda each: each.points)
                    case "exit":
                        reason = line.values.get("reason")
                        self.store.set_exit_reason(
                            source.tenant, source.job_id, str(reason)[:MAX_REASON] if reason else None
                        )
                    case "checkpoint":
                        moment = moment_of(line.values["at"])
                        checkpoints.append((moment, int(line.values["files"]), int(line.values["bytes"])))
                    case "progress":
                        progress = (progress or Progress()).updated(_progress(line.values))
            except (ValueError, KeyError, TypeError, OverflowError):
                refused += 1
        if points:
            self.metrics.put(source.tenant, source.job_id, points)
        if checkpoints:
            self._note(source, sorted(checkpoints))
        if progress:
            before = self.store.report(source.tenant, source.job_id).progress
            self.store.set_progress(source.tenant, source.job_id, before.updated(progress))
        for process, count in told.items():
            self.metrics.count(source.tenant, source.job_id, process, count)
        return refused

    def _note(self, source: Source, checkpoints: list[tuple[datetime, int, int]]) -> None:
        before = seen = self.store.report(source.tenant, source.job_id).checkpointing
        for at, files, size in checkpoints:
            files, size = _room_for(files), _room_for(size)
            seen = seen.seen(at, files, size) if seen else Checkpointing(at, at, 1, files, size)
        if seen is not None and seen != before:
            self.store.set_checkpointing(source.tenant, source.job_id, seen)


def _room_for(size: int) -> int:
    """DynamoDB's numbers have 38 digits; a count that a script made up may have more."""
    return max(0, min(size, 2**60))


def _points(given: Iterable[Any]) -> tuple[list[MetricPoint], int]:
    """The points of a line, and how many of it are none: one that is wrong takes no other with it."""
    points, wrong = [], 0
    for values in given:
        try:
            points.append(point_from(values))
        except (ValueError, TypeError, OverflowError):
            wrong += 1
    return points, wrong


def _told(source: Source, values: Mapping[str, Any]) -> tuple[str, MetricCount]:
    """Which process tells, and what it has told by the end of a line: totals, so that a line may come twice or late.

    An attempt that lost its machine goes on in another process, which begins to count anew.
    """
    process = f"{source.number}#{_room_for(int(values['since']))}"
    return process, MetricCount(_room_for(int(values["total"])), moment_of(values["latest"]))


def _progress(values: Mapping[str, Any]) -> Progress:
    whole = {name: int(values[name]) for name in ("epoch", "epochs", "step", "steps") if values.get(name) is not None}
    percent = values.get("percent")
    return Progress(**whole, percent=float(percent) if percent is not None else None)
