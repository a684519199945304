"""What became of the jobs of a framework: counters of a day, and their sum over days. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta

from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.jobs.job import Job

MAX_DAYS = 366
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_HOUR = 3600


@dataclass(frozen=True)
class Totals:
    """Jobs that were submitted on certain days, whatever became of them since; they stay counted when they are deleted.

    Attributes:
        timed: how many of those that have ended had started.
        milliseconds: from start to end, of all those together.
        gpu_seconds: that were billed.
    """

    jobs: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    timed: int = 0
    milliseconds: int = 0
    gpu_seconds: int = 0

    @property
    def mean_seconds(self) -> float | None:
        """None where no job has run to its end yet."""
        return self.milliseconds / self.timed / 1000 if self.timed else None

    @property
    def gpu_hours(self) -> float:
        return self.gpu_seconds / _HOUR

    @classmethod
    def sum(cls, parts: Iterable[Totals]) -> Totals:
        found = list(parts)
        return cls(*(sum(getattr(part, each.name) for part in found) for each in fields(cls)))

    def amounts(self) -> dict[str, int]:
        """What there is to add to counters."""
        return {name: amount for name, amount in vars(self).items() if amount}


SUBMITTED = Totals(jobs=1)
"""What a new job adds to the counters of its day."""


def ended(job: Job) -> Totals:
    """What a job that has ended now adds to the counters of the day of its submission."""
    milliseconds = 0
    if job.started_at is not None and job.completed_at is not None:
        milliseconds = max(0, _milliseconds(job.completed_at) - _milliseconds(job.started_at))
    return Totals(
        **{job.status.value: 1},
        timed=1 if job.started_at is not None else 0,
        milliseconds=milliseconds,
        gpu_seconds=job.used.gpu_seconds if job.used else 0,
    )


def _milliseconds(moment: datetime) -> int:
    """As records keep it."""
    return (moment - _EPOCH) // _MILLISECOND


@dataclass(frozen=True)
class Period:
    """Days, in UTC, both of them included."""

    first: date
    last: date

    @classmethod
    def of(cls, first: str | None, last: str | None, now: datetime) -> Period:
        """
        Args:
            first: `2026-11-01`; by default the first of the month of `last`.
            last: by default the day of now.

        Raises:
            InvalidRequest: one is no date, or they are no period of at most `MAX_DAYS`.
        """
        end = _date("to", last) if last is not None else now.astimezone(UTC).date()
        start = _date("from", first) if first is not None else end.replace(day=1)
        if start > end:
            raise InvalidRequest.about(
                FieldProblem("from", f"is after {end}", "Let it be the earlier one of both dates.")
            )
        if (end - start).days >= MAX_DAYS:
            raise InvalidRequest.about(
                FieldProblem("from", f"is more than {MAX_DAYS} days before {end}", "Ask for a part of it at a time.")
            )
        return cls(start, end)


def _date(field: str, text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest.about(FieldProblem(field, f"is {text[:40]!r}", "Use YYYY-MM-DD, for example 2026-11-01."))
