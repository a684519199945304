"""Metrics in DynamoDB.

    pk                              sk                        what
    <tenant>#<job_id>               counts                    how many points its processes have told, and their latest time
    <tenant>#<job_id>               series#<name>             a metric's latest value; so also which metrics there are
    <tenant>#<job_id>#<name>        tail#<first>#<last>#..    points as they came
                                    brief#<first>#<last>#..   the few of a full chunk that stand out
                                    outline#<first>#<last>..  the few of 16 chunks that stand out
                                    outlined                  up to which chunk there are outlines
    <tenant>#<job_id>#<name>#full   full#<first>#<last>#..    512 to 1,024 points

A series grows at its tail. About once in 512 points whoever wrote looks how long that is, and makes full chunks and their
briefs of it; about once in 16 chunks, an outline. So a point costs a small part of a write unit, each series has a partition
of its own, a page is found without what lies before it, and a chart of a million points is made of some hundred small items.

A chunk's key is made of its points: what comes twice is written once. Points that lie in two chunks, because a process died
between writing a full chunk and deleting what it was made of, are one when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Any

from chalicelib.clock import Clock, utc_now
from chalicelib.cursor import Cursor
from chalicelib.metrics.chunk import chunks_of, in_order
from chalicelib.metrics.items import full_pk, key_of, series_pk
from chalicelib.metrics.packing import Packing, is_time_to_fill
from chalicelib.metrics.point import HALF, MAX_NAME, MetricCount, MetricPoint, moment_of
from chalicelib.metrics.reading import Position, Reading
from chalicelib.table import MAX_BATCH_KEYS, ConditionFailed, Item, Table

_TOLD = "told "


def _as_long_as_the_job() -> None:
    return None


@dataclass(frozen=True)
class MetricPage:
    points: tuple[MetricPoint, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class MetricStore:
    """
    Args:
        days: for how long points are kept after they came; None: as long as their job. Asked for by who writes.
    """

    table: Table
    days: Callable[[], int | None] = _as_long_as_the_job
    now: Clock = utc_now

    def put(self, tenant: str, job_id: str, points: Iterable[MetricPoint]) -> None:
        """Add points; each that is there already stays one."""
        expires = self._expires()
        by_name = groupby(sorted(points, key=lambda point: point.name), key=lambda point: point.name)
        items: list[Item] = []
        grown: list[Callable[[], None]] = []
        for name, group in by_name:
            found = in_order(group)
            # Before its points: they are found, and deleted, by it.
            self._note_latest(tenant, job_id, found[-1], expires)
            packing = Packing(self.table, series_pk(tenant, job_id, name), name, expires)
            chunks = chunks_of(found)
            # What has a name is told on the bus; a brief, and what is only packed anew, has none.
            items += [
                item if item["sk"].startswith("brief#") else {**item, "name": name} for item in packing.items(chunks)
            ]
            if any(not chunk.is_full and is_time_to_fill(chunk) for chunk in chunks):
                grown.append(packing.fill)
            if full := [chunk.key for chunk in chunks if chunk.is_full]:
                grown.append(partial(packing.outline, full))
        self.table.put_all(items)
        for pack in grown:
            pack()

    def count(self, tenant: str, job_id: str, process: str, told: MetricCount) -> None:
        """Note how many points a process has told so far; an earlier count that comes late or again changes nothing.

        Args:
            process: an attempt may have several, one after the other, where its machine was lost.
        """
        last = round(told.last_at.timestamp() * 1000) if told.last_at else 0
        text = f"{told.points:020d}#{last + HALF:020d}"
        write = self.table.change(
            f"{tenant}#{job_id}",
            "counts",
            {f"{_TOLD}{process}": text, **self._expires()},
            condition="attribute_not_exists(#told) OR #told < :told",
            names={"#told": f"{_TOLD}{process}"},
            values={":told": text},
        )
        with suppress(ConditionFailed):
            self.table.write(write)

    def counts(self, tenant: str, job_ids: Sequence[str]) -> list[MetricCount]:
        """How many points there are of each job, strongly consistent: an item a job, in one call for a hundred of them."""
        found: list[MetricCount] = []
        for start in range(0, len(job_ids), MAX_BATCH_KEYS):
            keys = [(f"{tenant}#{job_id}", "counts") for job_id in job_ids[start : start + MAX_BATCH_KEYS]]
            found += [_count(item or {}) for item in self.table.get_many(keys)]
        return found

    def delete(self, tenant: str, job_id: str) -> None:
        """Delete all metrics of a job: may be repeated, and goes on where it was cut off."""
        for item in self.table.all_of(f"{tenant}#{job_id}", "series#"):
            pk = series_pk(tenant, job_id, item["series"])
            for each in (pk, full_pk(pk)):
                self.table.delete_all([(each, found["sk"]) for found in self.table.all_of(each)])
            self.table.delete_all([(item["pk"], item["sk"])])
        self.table.delete_all([(f"{tenant}#{job_id}", "counts")])

    def latest(self, tenant: str, job_id: str) -> list[MetricPoint]:
        """The latest value of each metric, by name."""
        return [
            MetricPoint(item["series"], float(item["value"]), item["step"], item.get("epoch"), moment_of(item["at"]))
            for item in self.table.all_of(f"{tenant}#{job_id}", "series#")
        ]

    def read(
        self, tenant: str, job_id: str, *, name: str | None, limit: int, after: Position | None = None
    ) -> MetricPage:
        """Points in order of name, step, time and value, of one metric or of all."""
        found: list[MetricPoint] = []
        position = after
        for series, series_name in self._series(tenant, job_id, name, after):
            reading = Reading(self.table, f"{tenant}#{job_id}#{series}", series_name)
            since = after if after is not None and after.series == series else None
            for point in reading.points(since):
                if len(found) == limit:
                    return MetricPage(tuple(found), position.to_cursor() if position else None)
                found.append(point)
                position = Position(series, point.order)
        return MetricPage(tuple(found), None)

    def chart(self, tenant: str, job_id: str, name: str, most: int) -> list[MetricPoint]:
        """At most so many points of a metric, in order, none of them left out that stands out."""
        if len(name) > MAX_NAME:
            return []
        return Reading(self.table, series_pk(tenant, job_id, name), name).chart(most)

    def _expires(self) -> dict[str, int]:
        days = self.days()
        return {"expires_at": int((self.now() + timedelta(days=days)).timestamp())} if days else {}

    def _series(self, tenant: str, job_id: str, name: str | None, after: Position | None) -> Iterator[tuple[str, str]]:
        if name is not None:
            if len(name) <= MAX_NAME:
                yield key_of(name), name
            return
        for item in self.table.all_of(f"{tenant}#{job_id}", "series#"):
            series = item["sk"].removeprefix("series#")
            if after is None or series.encode() >= after.series.encode():
                yield series, item["series"]

    def _note_latest(self, tenant: str, job_id: str, point: MetricPoint, expires: Mapping[str, int]) -> None:
        step, milliseconds, bits = point.order
        item = {
            "pk": f"{tenant}#{job_id}",
            "sk": f"series#{key_of(point.name)}",
            "series": point.name,
            "order": f"{step + HALF:020d}#{milliseconds + HALF:020d}#{bits:020d}",
            "value": repr(point.value),  # DynamoDB's numbers know neither NaN nor infinity
            "step": point.step,
            "epoch": point.epoch,
            "at": milliseconds,
            **expires,
        }
        newer = "attribute_not_exists(pk) OR #order < :order"
        try:
            self.table.write(
                self.table.put(item, condition=newer, values={":order": item["order"]}, names={"#order": "order"})
            )
        except ConditionFailed:
            return


def _count(item: Mapping[str, Any]) -> MetricCount:
    parts = [value.split("#") for name, value in item.items() if name.startswith(_TOLD)]
    latest = max((int(last) for _, last in parts), default=None)
    return MetricCount(sum(int(points) for points, _ in parts), moment_of(latest - HALF) if latest else None)
