"""Pools and entries for the tests of the rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.capacity.entry import Entry
from chalicelib.capacity.pool import LEVELS, Pool

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = 3600


def pool(limit: int | None = 8, in_use: int = 0, **more: Any) -> Pool:
    return Pool("sagemaker/v100", limit, NOW, in_use=in_use, **more)


def entry(
    job_id: str = "job-1", size: int = 1, level: str = "medium", user: str = "alice", hours: float = 1, **more: Any
) -> Entry:
    """A job that waits since now, and runs as long as its time limit."""
    seconds = int(hours * HOUR)
    values: dict[str, Any] = {"since": NOW, "level_since": NOW, "estimated_seconds": seconds, "limit_seconds": seconds}
    index = LEVELS.index(level)
    return Entry("acme", job_id, user, "sagemaker/v100", size, base_level=index, level=index, **values | more)


def running(job_id: str, size: int, ends_in_hours: float, hours: float = 10) -> Entry:
    """An admitted job that is expected to end in so many hours."""
    begun = NOW + timedelta(hours=ends_in_hours - hours)
    return entry(job_id, size, hours=hours).admitted(pool(), begun)
