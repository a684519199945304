"""Metric points of a job: one item a point, in order of name and step.

    pk  <tenant>#<job_id>      sk  <name>#<step, 20 digits>#<milliseconds, 15 digits>

The same point written twice is one item, so log lines may be delivered more than once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.cursor import Cursor
from chalicelib.table import Item, Table

MAX_NAME = 250
# Step and time take 37 of the 1,024 bytes that a sort key has.
_MAX_KEY_BYTES, _BEGINNING_BYTES = 980, 800
_STEP_ZERO = 2**63  # MLflow's steps are signed 64 bit; shifted, text order is number order


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric. `value` may be NaN or infinite."""

    name: str
    value: float
    step: int
    epoch: int | None
    timestamp: datetime


@dataclass(frozen=True)
class MetricPage:
    points: tuple[MetricPoint, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class MetricStore:
    table: Table

    def put(self, tenant: str, job_id: str, points: Iterable[MetricPoint]) -> None:
        items = {(item["pk"], item["sk"]): item for item in (item_of(tenant, job_id, point) for point in points)}
        self.table.put_all(list(items.values()))

    def delete(self, tenant: str, job_id: str) -> None:
        pk = f"{tenant}#{job_id}"
        self.table.delete_all([(pk, item["sk"]) for item in self.table.all_of(pk)])

    def read(self, tenant: str, job_id: str, *, name: str | None, limit: int, after: Cursor | None) -> MetricPage:
        """Points in order of name and step, of one metric or of all."""
        if name is not None and len(name) > MAX_NAME:
            return MetricPage((), None)
        prefix = ("sk", f"{_key_of(name)}#") if name is not None else None
        page = self.table.query(("pk", f"{tenant}#{job_id}"), begins_with=prefix, after=after, limit=limit)
        return MetricPage(tuple(point_of(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, job_id: str) -> Cursor | None:
        cursor = Cursor.decode(text, names=frozenset({"pk", "sk"}))
        return Cursor({**cursor.key, "pk": f"{tenant}#{job_id}"}) if cursor else None


def _key_of(name: str) -> str:
    """A name as the sort key begins with it: readable; where 1,024 bytes are too few, its beginning and a hash."""
    escaped = name.replace("%", "%25").replace("#", "%23")
    if len(escaped.encode()) <= _MAX_KEY_BYTES:
        return escaped
    beginning = escaped.encode()[:_BEGINNING_BYTES].decode(errors="ignore")
    # No name has these two characters side by side when it is escaped.
    return f"{beginning}%~{hashlib.sha256(name.encode()).hexdigest()}"


def item_of(tenant: str, job_id: str, point: MetricPoint) -> Item:
    milliseconds = round(point.timestamp.timestamp() * 1000)
    return {
        "pk": f"{tenant}#{job_id}",
        "sk": f"{_key_of(point.name)}#{point.step + _STEP_ZERO:020d}#{milliseconds:015d}",
        "name": point.name,
        "value": repr(point.value),  # DynamoDB's numbers know neither NaN nor infinity
        "step": point.step,
        "epoch": point.epoch,
        "at": milliseconds,
    }


def point_of(item: Item) -> MetricPoint:
    moment = datetime.fromtimestamp(item["at"] / 1000, UTC)
    return MetricPoint(item["name"], float(item["value"]), item["step"], item.get("epoch"), moment)


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
    if not -_STEP_ZERO <= step < _STEP_ZERO:
        raise ValueError("a step is out of range")
    return MetricPoint(name, number, step, int(epoch) if epoch is not None else None, moment_of(milliseconds))
