"""Many points of one metric as one text: columns of numbers, packed.

Steps and times are written as differences, which are nearly all alike and pack to almost nothing; a value takes its eight
bytes. As text, and not as bytes, because a table's stream hands items on as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import attrgetter

from chalicelib.metrics.point import HALF, MetricPoint, moment_of

POINTS = 1024
"""The most that a chunk has; with their values that is some 13 KB, and 70 of them are a page of DynamoDB."""
FULL = POINTS // 2
"""From so many on it is worth its place, and packed no more."""
_ALL = 2**64 - 1
_NO_EPOCH = -HALF


@dataclass(frozen=True)
class Chunk:
    """Points of one metric, in order.

    Attributes:
        first, last: their least and greatest step.
        body: the points.
    """

    first: int
    last: int
    count: int
    body: str

    @classmethod
    def of(cls, points: Sequence[MetricPoint]) -> Chunk:
        """
        Args:
            points: of one metric, in order, at least one.
        """
        return cls(points[0].step, points[-1].step, len(points), _packed(points))

    @property
    def is_full(self) -> bool:
        return self.count >= FULL

    @property
    def key(self) -> str:
        """In order of the first step; the same points have the same key, however often they come."""
        digest = hashlib.sha256(self.body.encode()).hexdigest()[:16]
        return f"{self.first + HALF:020d}#{self.last + HALF:020d}#{digest}"

    def points(self, name: str) -> list[MetricPoint]:
        return list(_unpacked(name, self.body, self.count))


def in_order(points: Iterable[MetricPoint]) -> list[MetricPoint]:
    """Sorted, each once."""
    found = sorted(points, key=attrgetter("step"))
    # Nearly always each step is there once, and nothing more has to be compared.
    if all(one.step < other.step for one, other in pairwise(found)):
        return found
    by_order = {point.order: point for point in found}
    return [by_order[order] for order in sorted(by_order)]


def chunks_of(points: Sequence[MetricPoint]) -> list[Chunk]:
    """Points of one metric, in order, as chunks that are as large as can be but for the last."""
    return [Chunk.of(points[at : at + POINTS]) for at in range(0, len(points), POINTS)]


def _packed(points: Sequence[MetricPoint]) -> str:
    count = len(points)
    epochs = [_NO_EPOCH if point.epoch is None else point.epoch for point in points]
    columns = [
        _differences([point.step for point in points]),
        _differences([point.milliseconds for point in points]),
        _differences(epochs) if any(epoch != _NO_EPOCH for epoch in epochs) else b"",
        struct.pack(f"<{count}d", *(point.value for point in points)),
    ]
    # The values last: their length is known, and whether there are epochs is what is left.
    return base64.b64encode(zlib.compress(b"".join(columns), 6)).decode()


def _unpacked(name: str, body: str, count: int) -> Iterator[MetricPoint]:
    raw = zlib.decompress(base64.b64decode(body))
    size = 8 * count
    steps, times = _sums(raw[:size], count), _sums(raw[size : 2 * size], count)
    has_epochs = len(raw) == 4 * size
    epochs = _sums(raw[2 * size : 3 * size], count) if has_epochs else [_NO_EPOCH] * count
    values = struct.unpack(f"<{count}d", raw[-size:])
    for step, time, epoch, value in zip(steps, times, epochs, values, strict=True):
        yield MetricPoint(name, value, step, None if epoch == _NO_EPOCH else epoch, moment_of(time))


def _differences(numbers: Sequence[int]) -> bytes:
    """Modulo 2⁶⁴: between two signed numbers of 64 bits lies more than one of them can say."""
    before = (0, *numbers[:-1])
    differences = ((number - previous) & _ALL for number, previous in zip(numbers, before, strict=True))
    return struct.pack(f"<{len(numbers)}Q", *differences)


def _sums(column: bytes, count: int) -> list[int]:
    differences = struct.unpack(f"<{count}Q", column)
    return [((number + HALF) & _ALL) - HALF for number in accumulate(differences)]
