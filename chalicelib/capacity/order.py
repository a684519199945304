"""Whose turn it is. Pure: decided from the first few that wait and, only if the first does not fit, from what runs.

1. The head is the first that waits: the highest level, there the owner with the least share, of theirs the oldest.
2. If it fits, it is admitted. If not, it gets a reservation: its shadow time is when enough of what runs is expected to have
   ended, and what is free then and not needed by the head is extra.
3. Another may be admitted before the head only if it fits now and does not delay it: it ends by its time limit before the
   shadow time, or the extra is enough for it. The extra is not for those of a lower level while somebody else waits above
   them: they would keep it busy for ever.

This is EASY backfilling (Lifka 1995; Mu'alem and Feitelson, IEEE TPDS 12(6), 2001) with classes of priority.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.capacity.entry import Entry
from chalicelib.capacity.pool import Pool


@dataclass(frozen=True)
class Shadow:
    """The head's reservation: when it is expected to start, and what is left over then."""

    head: Entry
    at: datetime
    extra: int

    def extra_for(self, level: int, pool: Pool) -> int:
        """What is left over for those of a level: nothing while somebody but the head waits above them."""
        others = sum(pool.waiting[level + 1 :]) - (self.head.level > level)
        return 0 if others > 0 else self.extra


@dataclass(frozen=True)
class Choice:
    """
    Attributes:
        admit: who is next; None when nobody may start now.
        too_large: those met on the way that are larger than the whole pool; they wait elsewhere.
    """

    admit: Entry | None
    too_large: tuple[Entry, ...] = ()


@dataclass
class Order:
    """One decision.

    Args:
        admitted: by expected end; no more of it is read than is needed for a shadow time.
    """

    pool: Pool
    admitted: Callable[[], Iterable[Entry]]
    now: datetime
    _shadow: Shadow | None = None

    def choose(self, waiting: Iterable[Entry]) -> Choice:
        """Who is admitted next.

        Args:
            waiting: in order, without those in whose place nobody `may_start`; no more of it is read than is needed.
        """
        too_large: list[Entry] = []
        for entry in waiting:
            if self.pool.is_too_small_for(entry.size):
                too_large.append(entry)
            elif self.may_start(entry.level, entry.size, entry.limit_seconds):
                return Choice(entry, tuple(too_large))
            elif self._shadow is None:
                self._shadow = shadow_of(entry, self.pool, self.admitted(), self.now)
        return Choice(None, tuple(too_large))

    def may_start(self, level: int, size: int, limit_seconds: int) -> bool:
        """Whether one of this level, size and time limit fits now and does not delay the head."""
        shadow = self._shadow
        if shadow is None or not self.pool.fits(size):
            return self.pool.fits(size)
        ends_before = self.now + timedelta(seconds=limit_seconds) <= shadow.at
        return ends_before or size <= shadow.extra_for(level, self.pool)


def shadow_of(head: Entry, pool: Pool, admitted: Iterable[Entry], now: datetime) -> Shadow:
    """The reservation of a head that does not fit.

    If what is given does not set enough free, the shadow time is the last end that is known: too early, so that less is
    let past the head rather than more.

    Args:
        admitted: by expected end.
    """
    free = on_time = pool.free or 0
    ends: list[tuple[datetime, int]] = []
    for entry in admitted:
        # Those that are late stand first, with an end that is not their turn; those on time stand in order.
        if on_time >= head.size and entry.expected_end > ends[-1][0]:
            break
        ends.append((entry.end(now), entry.size))
        on_time += entry.size if entry.expected_end > now else 0
    at = now
    for end, size in sorted(ends):
        if free >= head.size and end > at:
            break
        at, free = end, free + size
    return Shadow(head, at, max(0, free - head.size))
