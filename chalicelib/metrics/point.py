"""One value of one metric."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_NAME = 250
HALF = 2**63
"""MLflow's steps are signed 64 bit; shifted by so much, their order is that of text of the same length."""


@dataclass(frozen=True)
class MetricCount:
    """How many points there are, and the latest time that one has."""

    points: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of one metric. `value` may be NaN or infinite."""

    name: str
    value: float
    step: int
    epoch: int | None
    timestamp: datetime

    @property
    def milliseconds(self) -> int:
        return round(self.timestamp.timestamp() * 1000)

    @property
    def order(self) -> tuple[int, int, int]:
        """By step, then time, then value: the last in this order is the metric's latest value, as in MLflow.

        Two points alike in it are one: a report may come more than once. MLflow's rule is in its
        `mlflow/store/tracking/sqlalchemy_store.py`, `_update_latest_metrics_if_necessary`.
        """
        return self.step, self.milliseconds, ordered_bits(self.value)


def ordered_bits(value: float) -> int:
    """64 bits whose order is that of the numbers; NaN is the least of all."""
    if math.isnan(value):
        return 0
    bits = int.from_bytes(struct.pack(">d", value), "big")
    return (bits ^ (2**64 - 1)) if bits >= HALF else (bits | HALF)


def json_number(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are sent as text, as MLflow does."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def moment_of(milliseconds: Any) -> datetime:
    """
    Raises:
        ValueError, TypeError, OverflowError: no time that there can be.
    """
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    except OSError as error:
        # Not to be left as it is: what fails on its way to AWS is one too, and that must be tried again.
        raise ValueError("a time is out of range") from error


def point_from(values: Any) -> MetricPoint:
    """Read `[name, value, step, epoch, milliseconds]` of a structured log line.

    Raises:
        ValueError, TypeError: not a point.
    """
    name, value, step, epoch, milliseconds = values
    number = float(value)
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise ValueError("a metric's name is missing or too long")
    name.encode()  # half of a character is no text
    step = int(step or 0)
    epoch = int(epoch) if epoch is not None else None
    if not -HALF <= step < HALF or not -HALF < (epoch or 0) < HALF:
        raise ValueError("a step or an epoch is out of range")
    return MetricPoint(name, number, step, epoch, moment_of(milliseconds))
