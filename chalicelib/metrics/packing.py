"""A series is packed as it grows: its tail into full chunks, and their briefs into outlines.

Whether it is time to look follows from the hash of what was written: by chance, but the same for the same points. So no
counter has to be kept, and a repetition does the same again. Two at once do no harm either: what lies there twice is one
point when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.metrics.chunk import FULL, POINTS, Chunk, chunks_of, in_order
from chalicelib.metrics.items import BRIEF_POINTS, brief_item, chunk_from, chunk_item, key_from
from chalicelib.metrics.point import HALF
from chalicelib.metrics.thinning import thin
from chalicelib.table import ConditionFailed, Item, Table

OUTLINED = 16
"""Chunks that are told in one outline."""
# So many of the newest are looked through for how far something goes: more than a job has attempts that ran the same steps.
LAYERS = 32
_REACHED = "outlined"


def is_time_to_fill(chunk: Chunk) -> bool:
    """About once in half a chunk's points."""
    return _chance(chunk.key) % FULL < chunk.count


def _chance(key: str) -> int:
    return int(key[-8:], 16)


@dataclass(frozen=True)
class Packing:
    """
    Args:
        pk: the partition of the series.
        expires: what every item says of its end.
    """

    table: Table
    pk: str
    name: str
    expires: Mapping[str, int]

    def items(self, chunks: Iterable[Chunk]) -> list[Item]:
        """Chunks as they are written: full ones with their briefs, others into the tail."""
        made: list[Item] = []
        for chunk in chunks:
            made.append(chunk_item(self.pk, "full" if chunk.is_full else "tail", chunk))
            if chunk.is_full:
                made.append(brief_item(self.pk, self.name, chunk))
        return [{**item, **self.expires} for item in made]

    def fill(self) -> None:
        """Make full chunks of the tail, if it is long enough.

        What came late, behind points that are in full chunks already, is kept apart: an attempt that begins again in the
        middle makes full chunks of its own, and a few stragglers stay in the tail, so that no chunk is wide and thin.
        """
        tail = list(self.table.all_of(self.pk, "tail#", consistent=True))
        points = in_order(point for item in tail for point in chunk_from(item).points(self.name))
        if len(points) < POINTS:
            return
        newest = self.table.query(("pk", self.pk), begins_with=("sk", "brief#"), limit=LAYERS, newest_first=True).items
        reached = max((chunk_from(item).last for item in newest), default=-HALF - 1)
        late = [point for point in points if point.step <= reached]
        chunks = [*chunks_of(late), *chunks_of(points[len(late) :])]
        items = self.items(chunks)
        self.table.put_all(items)
        kept = {item["sk"] for item in items}
        self.table.delete_all([(self.pk, item["sk"]) for item in tail if item["sk"] not in kept])
        self.outline(chunk.key for chunk in chunks if chunk.is_full)

    def outline(self, keys: Iterable[str]) -> None:
        """See to it that each full chunk of these keys will be in a chart that is made of outlines.

        Those say up to which key they tell of every chunk; what lies behind is read from the briefs. A chunk that comes
        before that key has an outline of its own.
        """
        keys = sorted(keys)
        if not keys:
            return
        reached = self.reached()
        missed = {key for key in keys if key <= reached}
        if any(_chance(key) % OUTLINED == 0 for key in keys):
            missed |= self._outline_from(reached)
        briefs = (self.table.get(self.pk, f"brief#{key}") for key in sorted(missed))
        alone = [chunk_item(self.pk, "outline", chunk_from(item), key_from(item)) for item in briefs if item]
        self.table.put_all([{**item, **self.expires} for item in alone])

    def reached(self) -> str:
        """The key up to which the outlines tell of every chunk; empty before the first."""
        item = self.table.get(self.pk, _REACHED)
        return str(item["reached"]) if item else ""

    def _reach(self, key: str) -> None:
        item = {"pk": self.pk, "sk": _REACHED, "reached": key, **self.expires}
        with suppress(ConditionFailed):
            self.table.write(
                self.table.put(item, condition="attribute_not_exists(pk) OR reached < :key", values={":key": key})
            )

    def _outline_from(self, reached: str) -> set[str]:
        """Outline all whole groups of briefs behind a key; the keys of those that came while this was done."""
        seen = self._briefs(reached, "~")
        whole = len(seen) - len(seen) % OUTLINED
        made: list[Item] = []
        for start in range(0, whole, OUTLINED):
            group = seen[start : start + OUTLINED]
            points = in_order(point for item in group for point in chunk_from(item).points(self.name))
            item = chunk_item(self.pk, "outline", Chunk.of(thin(points, BRIEF_POINTS)))
            made.append({**item, **self.expires})
        if not made:
            return set()
        last = key_from(seen[whole - 1])
        self.table.put_all(made)
        self._reach(last)
        # Whoever wrote a brief meanwhile, and asked how far outlines go before this was said, counts on its being read.
        told = {key_from(item) for item in seen[:whole]}
        return {key_from(item) for item in self._briefs(reached, last)} - told

    def _briefs(self, after: str, until: str) -> list[Item]:
        """Behind one key, up to another and with it."""
        found = self.table.every(self.pk, ("sk", f"brief#{after}", f"brief#{until}"), consistent=True)
        return [item for item in found if key_from(item) > after]
