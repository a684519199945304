"""A series is read in order, a page at a time, or drawn as a whole with few points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chalicelib.cursor import Cursor, not_ours, pages
from chalicelib.metrics.chunk import Chunk, in_order
from chalicelib.metrics.items import BRIEF_POINTS, MAX_KEY_BYTES, chunk_from, full_pk, key_of, step_key
from chalicelib.metrics.packing import LAYERS, Packing
from chalicelib.metrics.point import HALF, MetricPoint
from chalicelib.metrics.thinning import thin
from chalicelib.table import Item, Table

_FULL_PER_READ = 4


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
        in_range = -HALF <= key["p"] < HALF and 0 < len(series.encode()) <= MAX_KEY_BYTES
        if not in_range or (name is not None and series != key_of(name)):
            raise not_ours()
        return cls(series, (key["p"], key["t"], key["v"]))


@dataclass(frozen=True)
class Reading:
    """A series in order: full chunks as they are needed, the tail among them."""

    table: Table
    pk: str
    name: str

    def points(self, after: Position | None) -> Iterator[MetricPoint]:
        waiting = [
            point for item in self.table.all_of(self.pk, "tail#") for point in chunk_from(item).points(self.name)
        ]
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
            least = f"{step_key(step)}~"  # behind every key that begins with this step
            yield from self._around(step, least)
        full, reach = full_pk(self.pk), ("sk", f"full#{least}", "full#~")
        for page in pages(
            lambda after: self.table.query(("pk", full), between=reach, after=after, limit=_FULL_PER_READ)
        ):
            yield from (chunk_from(item) for item in page.items)

    def _around(self, step: int, least: str) -> list[Chunk]:
        """Chunks that begin at or before a step and go on to it or behind it, found by their briefs."""
        reach = ("sk", "brief#", f"brief#{least}")
        briefs = self.table.query(("pk", self.pk), between=reach, limit=LAYERS, newest_first=True).items
        full = full_pk(self.pk)
        keys = [(full, item["sk"].replace("brief", "full", 1)) for item in briefs if chunk_from(item).last >= step]
        found = [chunk_from(item) for item in self.table.get_many(keys) if item] if keys else []
        return sorted(found, key=lambda chunk: chunk.first)

    def chart(self, most: int) -> list[MetricPoint]:
        """At most so many points of the series, none of them left out that stands out."""
        # The tail first: what is packed meanwhile is read twice, and not never.
        tail = list(self.table.all_of(self.pk, "tail#"))
        return thin(in_order(point for item in (*tail, *self._sketch(most)) for point in self._points(item)), most)

    def _sketch(self, most: int) -> list[Item]:
        """As few items as have enough points between them: outlines, briefs or the full chunks."""
        # How far they go before they are read: what comes between is read twice, and not never.
        reached = Packing(self.table, self.pk, self.name, {}).reached()
        outlines = list(self.table.all_of(self.pk, "outline#")) if reached else []
        if len(outlines) * BRIEF_POINTS >= most:
            behind = self.table.every(self.pk, ("sk", f"brief#{reached}~", "brief#~"))
            return [*outlines, *behind]
        briefs = list(self.table.all_of(self.pk, "brief#"))
        enough = len(briefs) * BRIEF_POINTS >= most
        return briefs if enough else list(self.table.all_of(full_pk(self.pk), "full#"))

    def _points(self, item: Item) -> list[MetricPoint]:
        return chunk_from(item).points(self.name)


def _later(points: Iterable[MetricPoint], given: tuple[int, int, int] | None) -> Iterator[MetricPoint]:
    return (point for point in points if given is None or point.order > given)
