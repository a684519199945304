"""Metrics in DynamoDB.

    pk                              sk                        what
    <tenant>#<job_id>               series#<name>             a metric's latest value; so also which metrics there are
    <tenant>#<job_id>#<name>        tail#<first>#<last>#..    points as they came
                                    brief#<first>#<last>#..   the few of a full chunk that stand out
    <tenant>#<job_id>#<name>#full   full#<first>#<last>#..    512 to 1,024 points

A series grows at its tail. About once in 512 points whoever wrote looks how long that is, and makes full chunks and their
briefs of it. So a point costs a small part of a write unit, each series has a partition of its own, a page is found
without what lies before it, and a chart of a million points is made of a thousand briefs.

A chunk's key is made of its points: what comes twice is written once. Points that lie in two chunks, because a process died
between writing a full chunk and deleting what it was made of, are one when they are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from chalicelib.clock import Clock, utc_now
from chalicelib.cursor import Cursor, not_ours
from chalicelib.metrics.chunk import POINTS, Chunk, chunks_of, in_order
from chalicelib.metrics.point import HALF, MAX_NAME, MetricPoint, moment_of
from chalicelib.metrics.thinning import thin
from chalicelib.table import ConditionFailed, Item, Table

BRIEF_POINTS = 16
_LOOK_EVERY = POINTS // 2
_FULL_PER_READ = 4
# So many chunks are looked through for those that a step lies in: more than a job has attempts that ran the same steps.
_LAYERS = 32
# A name takes at most so many of the 2,048 bytes of a partition key and of the 1,024 of a sort key.
_MAX_KEY_BYTES, _BEGINNING_BYTES = 980, 800


def _as_long_as_the_job() -> None:
    return None


@dataclass(frozen=True)
class MetricPage:
    points: tuple[MetricPoint, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class Position:
    """Where a page ended.

    Attributes:
        series: the metric, as keys have it.
        order: of the last point that was given.
    """

    series: str
    order: tuple[int, int, int]

    def to_cursor(self) -> Cursor:
        step, milliseconds, bits = self.order
        return Cursor({"s": self.series, "p": step, "t": milliseconds, "v": bits})

    @classmethod
    def from_text(cls, text: str | None, name: str | None) -> Position | None:
        """
        Args:
            name: the one metric that is read, if it is one.

        Raises:
            InvalidRequest: no cursor of ours, or one of another metric.
        """
        cursor = Cursor.decode(text, names={"s": str, "p": int, "t": int, "v": int})
        if cursor is None:
            return None
        key = cursor.key
        series = key["s"]
        in_range = -HALF <= key["p"] < HALF and 0 < len(series.encode()) <= _MAX_KEY_BYTES
        if not in_range or (name is not None and series != key_of(name)):
            raise not_ours()
        return cls(series, (key["p"], key["t"], key["v"]))


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
        days = self.days()
        expires = {"expires_at": int((self.now() + timedelta(days=days)).timestamp())} if days else {}
        by_name = groupby(sorted(points, key=lambda point: point.name), key=lambda point: point.name)
        items: list[Item] = []
        grown: list[str] = []
        for name, group in by_name:
            found = in_order(group)
            # Before its points: they are found, and deleted, by it.
            self._note_latest(tenant, job_id, found[-1], expires)
            pk = _series_pk(tenant, job_id, name)
            for chunk in chunks_of(found):
                kind = "full" if chunk.is_full else "tail"
                # What has a name is told on the bus; what is only packed anew has none.
                items.append({**_item(pk, kind, chunk), "name": name, **expires})
                if kind == "full":
                    items.append({**_brief(pk, name, chunk), **expires})
                elif _is_time_to_look(chunk):
                    grown.append(name)
        self.table.put_all(items)
        for name in grown:
            self._fill(_series_pk(tenant, job_id, name), name, expires)

    def delete(self, tenant: str, job_id: str) -> None:
        """Delete all metrics of a job: may be repeated, and goes on where it was cut off."""
        for item in self.table.all_of(f"{tenant}#{job_id}", "series#"):
            pk = _series_pk(tenant, job_id, item["series"])
            for each in (pk, _full_pk(pk)):
                self.table.delete_all([(each, found["sk"]) for found in self.table.all_of(each)])
            self.table.delete_all([(item["pk"], item["sk"])])

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
            reading = _Reading(self.table, f"{tenant}#{job_id}#{series}", series_name)
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
        pk = _series_pk(tenant, job_id, name)
        tail = self._points(pk, "tail", name)
        briefs = list(self.table.all_of(pk, "brief#"))
        if len(briefs) * BRIEF_POINTS >= 2 * most:
            packed = [point for item in briefs for point in _chunk(item).points(name)]
        else:
            packed = self._points(_full_pk(pk), "full", name)
        return thin(in_order([*packed, *tail]), most)

    def _series(self, tenant: str, job_id: str, name: str | None, after: Position | None) -> Iterator[tuple[str, str]]:
        if name is not None:
            if len(name) <= MAX_NAME:
                yield key_of(name), name
            return
        for item in self.table.all_of(f"{tenant}#{job_id}", "series#"):
            series = item["sk"].removeprefix("series#")
            if after is None or series.encode() >= after.series.encode():
                yield series, item["series"]

    def _points(self, pk: str, kind: str, name: str) -> list[MetricPoint]:
        return [point for item in self.table.all_of(pk, f"{kind}#") for point in _chunk(item).points(name)]

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

    def _fill(self, pk: str, name: str, expires: Mapping[str, int]) -> None:
        """Make full chunks of the tail, if it is long enough. Two at once do no harm.

        What came late, behind points that are in full chunks already, is kept apart: an attempt that begins again in the
        middle makes full chunks of its own, and a few stragglers stay in the tail, so that no chunk is wide and thin.
        """
        tail = list(self.table.all_of(pk, "tail#", consistent=True))
        points = in_order(point for item in tail for point in _chunk(item).points(name))
        if len(points) < POINTS:
            return
        newest = self.table.query(("pk", pk), begins_with=("sk", "brief#"), limit=_LAYERS, newest_first=True).items
        reached = max((_chunk(item).last for item in newest), default=-HALF - 1)
        late = [point for point in points if point.step <= reached]
        items: list[Item] = []
        for chunk in (*chunks_of(late), *chunks_of(points[len(late) :])):
            if chunk.is_full:
                items += [{**_item(pk, "full", chunk), **expires}, {**_brief(pk, name, chunk), **expires}]
            else:
                items.append({**_item(pk, "tail", chunk), **expires})
        self.table.put_all(items)
        kept = {item["sk"] for item in items}
        self.table.delete_all([(pk, item["sk"]) for item in tail if item["sk"] not in kept])


@dataclass(frozen=True)
class _Reading:
    """A series in order: full chunks as they are needed, the tail among them."""

    table: Table
    pk: str
    name: str

    def points(self, after: Position | None) -> Iterator[MetricPoint]:
        waiting = [point for item in self.table.all_of(self.pk, "tail#") for point in _chunk(item).points(self.name)]
        given = after.order if after else None
        for chunk in self._full(after):
            # What is before the first step of a chunk is before all that follow.
            ready = [point for point in waiting if point.step < chunk.first]
            for point in _later(in_order(ready), given):
                given = point.order
                yield point
            waiting = [point for point in waiting if point.step >= chunk.first] + chunk.points(self.name)
        yield from _later(in_order(waiting), given)

    def _full(self, after: Position | None) -> Iterator[Chunk]:
        """Full chunks in order of their first steps, without those that lie before a position."""
        least = ""
        if after is not None:
            step = after.order[0]
            least = f"{step + HALF:020d}~"  # behind every key that begins with this step
            yield from self._around(step, least)
        full, reach = _full_pk(self.pk), ("sk", f"full#{least}", "full#~")
        following: Cursor | None = None
        while True:
            page = self.table.query(("pk", full), between=reach, after=following, limit=_FULL_PER_READ)
            yield from (_chunk(item) for item in page.items)
            following = page.cursor
            if following is None:
                return

    def _around(self, step: int, least: str) -> list[Chunk]:
        """Chunks that begin at or before a step and go on to it or behind it, found by their briefs."""
        reach = ("sk", "brief#", f"brief#{least}")
        briefs = self.table.query(("pk", self.pk), between=reach, limit=_LAYERS, newest_first=True).items
        full = _full_pk(self.pk)
        keys = [(full, item["sk"].replace("brief", "full", 1)) for item in briefs if _chunk(item).last >= step]
        found = [_chunk(item) for item in self.table.get_many(keys) if item] if keys else []
        return sorted(found, key=lambda chunk: chunk.first)


def _later(points: Iterable[MetricPoint], given: tuple[int, int, int] | None) -> Iterator[MetricPoint]:
    return (point for point in points if given is None or point.order > given)


def _is_time_to_look(chunk: Chunk) -> bool:
    """By chance, but the same for the same points: no counter has to be kept, and a repetition does the same again."""
    return int(chunk.key[-8:], 16) % _LOOK_EVERY < chunk.count


def _item(pk: str, kind: str, chunk: Chunk) -> Item:
    where = _full_pk(pk) if kind == "full" else pk
    return {"pk": where, "sk": f"{kind}#{chunk.key}", "count": chunk.count, "body": chunk.body}


def _brief(pk: str, name: str, chunk: Chunk) -> Item:
    """Under the key of its chunk, so that either leads to the other."""
    shown = Chunk.of(thin(chunk.points(name), BRIEF_POINTS))
    return {"pk": pk, "sk": f"brief#{chunk.key}", "count": shown.count, "body": shown.body}


def _chunk(item: Item) -> Chunk:
    _, first, last, _ = item["sk"].split("#")
    return Chunk(int(first) - HALF, int(last) - HALF, item["count"], item["body"])


def points_of(item: Item) -> list[MetricPoint]:
    """The points of an item that came as a whole: it says of which metric it is."""
    return _chunk(item).points(item["name"])


def job_of(pk: str) -> tuple[str, str]:
    """Tenant and id of the job that a partition is about."""
    tenant, job_id, *_ = pk.split("#", 2)
    return tenant, job_id


def _full_pk(pk: str) -> str:
    """Where the full chunks of a series lie: apart, so that its tail and its briefs are a small partition."""
    return f"{pk}#full"


def _series_pk(tenant: str, job_id: str, name: str) -> str:
    return f"{tenant}#{job_id}#{key_of(name)}"


def key_of(name: str) -> str:
    """A name as keys have it: readable; where they have too few bytes, its beginning and a hash."""
    escaped = name.replace("%", "%25").replace("#", "%23")
    if len(escaped.encode()) <= _MAX_KEY_BYTES:
        return escaped
    beginning = escaped.encode()[:_BEGINNING_BYTES].decode(errors="ignore")
    # No name has these two characters side by side when it is escaped.
    return f"{beginning}%~{hashlib.sha256(name.encode()).hexdigest()}"
