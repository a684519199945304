"""Time and identity, injected everywhere so that tests decide both."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

Clock = Callable[[], datetime]
IdMaker = Callable[[], str]

# The 22nd field of /proc/self/stat, counted from the one after the command's name.
_START_TIME = 19
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_DURATION = re.compile(r"PT(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?")
# Names derived from another id live in a space of their own, so that they can't meet random ones.
_DERIVED = uuid.UUID("5f0c8f4e-7a0b-4f57-9d3e-2f6f6c1d9a11")


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    """A random UUID, for records that a caller creates."""
    return str(uuid.uuid4())


def process_seconds() -> float:
    """How long this process has been running, by Linux's own account: https://man7.org/linux/man-pages/man5/proc.5.html"""
    started_ticks = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[_START_TIME])
    uptime = float(Path("/proc/uptime").read_text("ascii").split()[0])
    return max(0.0, uptime - started_ticks / os.sysconf("SC_CLK_TCK"))


def derived_id(*parts: str) -> str:
    """The same UUID for the same parts: for records that a repeated task must not create twice."""
    return str(uuid.uuid5(_DERIVED, "\x1f".join(parts)))


def is_id(text: str) -> bool:
    """Whether a text can be an id of ours; anything else is not there, and no store is asked about it."""
    return _ID.fullmatch(text) is not None


def to_text(moment: datetime) -> str:
    """RFC 3339 with milliseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    return datetime.fromisoformat(text)


def duration(seconds: float) -> str:
    """ISO 8601 duration, for example PT2H30M; whole seconds."""
    hours, rest = divmod(max(0, round(seconds)), 3600)
    minutes, seconds = divmod(rest, 60)
    text = "".join(f"{value}{unit}" for value, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if value)
    return f"PT{text or '0S'}"


def duration_seconds(text: str) -> int | None:
    """How long a duration of hours, minutes and seconds is (`PT2H30M`); None for other text."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds
