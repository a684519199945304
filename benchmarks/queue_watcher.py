"""Holds every admission of a simulated queue against the rules, from books of its own."""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from benchmarks.queue_world import World
from chalicelib.capacity.entry import Entry, Owner, State
from chalicelib.capacity.order import Shadow
from chalicelib.capacity.pool import HIGHEST, LEVELS, Pool


@dataclass
class Books:
    """
    Attributes:
        inversions: admissions of a job while one of a higher level, that age counted, might have started.
        delays: admissions before a head that did not fit, which its reservation did not allow.
        over_limit: admissions that did not fit.
        waits: seconds from arrival to admission, by class.
        held: GPU seconds by owner, and since when.
    """

    world: World
    inversions: int = 0
    delays: int = 0
    over_limit: int = 0
    let_past: int = 0
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lanes: dict[tuple[int, str], list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    waiting: dict[str, Entry] = field(default_factory=dict)
    admitted: dict[str, Entry] = field(default_factory=dict)
    kinds: list[Counter[tuple[int, int]]] = field(default_factory=lambda: [Counter() for _ in LEVELS])
    scores: dict[str, float] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)

    def moved(self, pool: Pool, owner: Owner, before: Entry | None, after: Entry | None) -> None:
        if before and before.state is State.WAITING:
            self._leaves(before)
        if after and after.is_admitted:
            self._is_admitted(pool, after)
        if before and before.is_admitted:
            del self.admitted[before.job_id]
            self._charge(before)
        if after and after.state is State.WAITING:
            self.waiting[after.job_id] = after
            insort(self.lanes[after.level, after.owner], (after.since, after.job_id))
            self.kinds[after.level][after.size, after.limit_seconds] += 1
        self.scores[owner.name] = owner.following(before, after, pool, self.world.now).score

    def held(self, owner: str) -> float:
        """GPU seconds that an owner has had until now."""
        running = (e for e in self.admitted.values() if e.owner == owner)
        return self.used[owner] + sum(e.size * self._ran(e) for e in running)

    def owners_waiting(self) -> set[str]:
        return {owner for (_level, owner), lane in self.lanes.items() if lane}

    def _leaves(self, entry: Entry) -> None:
        del self.waiting[entry.job_id]
        self.lanes[entry.level, entry.owner].remove((entry.since, entry.job_id))
        self.kinds[entry.level][entry.size, entry.limit_seconds] -= 1

    def _charge(self, entry: Entry) -> None:
        self.used[entry.owner] += int(entry.size * self._ran(entry))

    def _ran(self, entry: Entry) -> float:
        assert entry.admitted_at is not None
        return (self.world.now - entry.admitted_at).total_seconds()

    def _is_admitted(self, pool: Pool, entry: Entry) -> None:
        self.over_limit += not pool.fits(entry.size)
        self.waits[LEVELS[entry.base_level]].append((self.world.now - entry.since).total_seconds())
        head = self._head(entry.level)
        if head is not None and not pool.fits(head.size):
            shadow = self._shadow(pool, head)
            self.let_past += 1
            self.delays += not self._is_allowed(shadow, entry.level, entry.size, entry.limit_seconds)
            self.inversions += self._might_start(pool, entry.level, shadow)
        elif head is not None:
            self.inversions += self._might_start(pool, entry.level, None)
        self.admitted[entry.job_id] = entry

    def _head(self, above: int) -> Entry | None:
        """The first in order of those who wait at a higher level."""
        for level in range(HIGHEST, above, -1):
            owners = [owner for (at, owner), lane in self.lanes.items() if at == level and lane]
            if owners:
                owner = min(owners, key=lambda name: (self.scores[name], name))
                return self.waiting[self.lanes[level, owner][0][1]]
        return None

    def _shadow(self, pool: Pool, head: Entry) -> Shadow:
        """When the head is expected to fit, and what is left over then: from all that runs."""
        free, at = pool.free or 0, self.world.now
        for end, size in sorted((each.end(self.world.now), each.size) for each in self.admitted.values()):
            if free >= head.size and end > at:
                break
            at, free = end, free + size
        return Shadow(head, at, max(0, free - head.size))

    def _might_start(self, pool: Pool, above: int, shadow: Shadow | None) -> bool:
        return any(
            count > 0 and pool.fits(size) and (shadow is None or self._is_allowed(shadow, level, size, seconds))
            for level in range(above + 1, HIGHEST + 1)
            for (size, seconds), count in self.kinds[level].items()
        )

    def _is_allowed(self, shadow: Shadow, level: int, size: int, limit_seconds: int) -> bool:
        above = sum(sum(kinds.values()) for kinds in self.kinds[level + 1 :]) - (shadow.head.level > level)
        ends_before = self.world.now + timedelta(seconds=limit_seconds) <= shadow.at
        return ends_before or (not above and size <= shadow.extra)


@dataclass
class Shares:
    """How equally owners have shared since the beginning, looked at every hour while all of them have jobs waiting."""

    books: Books
    owners: int
    jains: list[float] = field(default_factory=list)

    @property
    def looks(self) -> int:
        return len(self.jains)

    def look(self) -> None:
        waiting = self.books.owners_waiting()
        if len(waiting) == self.owners:
            self.jains.append(jain([self.books.held(owner) for owner in sorted(waiting)]))

    def least(self, after: int = 0) -> float:
        """From so many looks on."""
        return min(self.jains[after:])

    def looks_until(self, target: float) -> int:
        """How many looks it took to come to a target for good."""
        below = [number for number, index in enumerate(self.jains, 1) if index < target]
        return 1 + max(below, default=0)


def jain(shares: list[float]) -> float:
    """1 when all are equal, 1/n when one has everything: Jain, Chiu and Hawe, DEC TR-301, 1984."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def hours(seconds: float) -> float:
    return seconds / timedelta(hours=1).total_seconds()
