"""When the next checkpoint of a job is long overdue. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.jobs.job import Checkpointing, Job, JobStatus

# A script may miss one or two, and a slow disk is no fault.
_INTERVALS, _LEAST_SECONDS = 3, 60.0


def interval_seconds(job: Job, seen: Checkpointing | None) -> float | None:
    """How often checkpoints come: what the job said, else the mean of what was seen; None when nobody knows."""
    asked = job.config.get("checkpoint_interval_seconds")
    if asked:
        return float(asked)
    return seen.interval_seconds() if seen else None


def overdue_at(job: Job, seen: Checkpointing | None) -> datetime | None:
    """From when on the next one counts as overdue; None for a job that does not run, or of which nothing is known."""
    interval, since = interval_seconds(job, seen), seen.last_at if seen else job.started_at
    if job.status is not JobStatus.RUNNING or interval is None or since is None:
        return None
    return since + timedelta(seconds=max(_LEAST_SECONDS, _INTERVALS * interval))


def is_overdue(job: Job, seen: Checkpointing | None, now: datetime) -> bool:
    at = overdue_at(job, seen)
    return at is not None and now > at
