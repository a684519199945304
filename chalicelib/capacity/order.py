"""Whose turn it is. Pure: decided from the first few that wait and, only if the first does not fit, from what runs.

1. The head is the first that waits: the highest level, there the owner with the least share, of theirs the oldest.
2. If it fits, it is admitted. If not, it gets a reservation: its shadow time is when enough of what runs is expected to have
   ended, and what is free then and not needed by the head is extra.
3. Another may be admitted before the head only if it fits now and does not delay it: it ends by its time limit before the
   shadow time, or the extra is enough for it.

This is EASY backfilling (Lifka 1995; Mu'alem and Feitelson, IEEE TPDS 12(6), 2001).
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

    at: datetime
    extra: int

    def allows(self, size: int, limit_seconds: int, now: datetime) -> bool:
        return size <= self.extra or now + timedelta(seconds=limit_seconds) <= self.at


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
            elif self.may_start(entry.size, entry.limit_seconds):
                return Choice(entry, tuple(too_large))
            elif self._shadow is None:
                self._shadow = shadow_of(entry, self.pool, self.admitted(), self.now)
        return Choice(None, tuple(too_large))

    def may_start(self, size: int, limit_seconds: int) -> bool:
        """Whether one of this size and time limit fits now and does not delay the head."""
        if not self.pool.fits(size):
            return False
        return self._shadow is None or self._shadow.allows(size, limit_seconds, self.now)


def shadow_of(head: Entry, pool: Pool, admitted: Iterable[Entry], now: datetime) -> Shadow:
    """The reservation of a head that does not fit.

    If what is given does not set enough free, the shadow time is the last end that is known: too early, so that less is
    let past the head rather than more.

    Args:
        admitted: by expected end.
    """
    free = on_time = pool.free or 0
    ends = []
    for entry in admitted:
        ends.append((entry.end(now), entry.size))
        # Those that are late stand first, with an end that is not their turn; those on time stand in order.
        on_time += entry.size if entry.expected_end > now else 0
        if on_time >= head.size:
            break
    at = now
    for end, size in sorted(ends):
        if free >= head.size:
            break
        at, free = end, free + size
    return Shadow(at, max(0, free - head.size))
