"""What the minute's schedule looks after: age, a raised limit, and what a lost call or a dead process left undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.capacity.admission import Admission
from chalicelib.capacity.entry import Entry
from chalicelib.capacity.pool import Pool
from chalicelib.capacity.preemption import Preemption
from chalicelib.capacity.store import CapacityStore, Stale
from chalicelib.clock import Clock

# How many entries one round looks at, of each kind.
ROUND = 100


@dataclass(frozen=True)
class Upkeep:
    store: CapacityStore
    admission: Admission
    preemption: Preemption
    now: Clock
    monotonic: Callable[[], float]

    def all(self, seconds: float) -> dict[str, int]:
        """Look after every pool, for some seconds at most; how many were admitted, by pool."""
        until = self.monotonic() + seconds
        return {pool.name: self.one(pool, until - self.monotonic()) for pool in self.store.pools()}

    def one(self, pool: Pool, seconds: float) -> int:
        until = self.monotonic() + seconds
        for job_id, token in self.store.untold(pool.name, ROUND):
            self.admission.tell(pool.name, job_id, token)
        self._raise_the_old(pool, until)
        self._let_back(pool, until)
        admitted = self.admission.admit(pool.name, until - self.monotonic())
        if pool.preempt_low:
            self.preemption.make_room(pool.name)
        return admitted

    def _raise_the_old(self, pool: Pool, until: float) -> None:
        """A level up for those who have waited long enough at theirs: the oldest first, so the first who has not ends it."""
        size = 1
        while not pool.is_queue_empty and self.monotonic() < until:
            entries = self.store.longest_at_their_level(pool.name, size)
            risen = [(entry, entry.risen(pool, self.now())) for entry in entries]
            moved = sum(self._moved(pool, before, after) for before, after in risen if after)
            if not moved or moved < size:
                return
            size = ROUND

    def _let_back(self, pool: Pool, until: float) -> None:
        """Back to the queue with those who were larger than the limit and are no more, the smallest first."""
        parked = pool.parked
        while parked > 0 and self.monotonic() < until:
            entry = self.store.smallest_parked(pool.name)
            if entry is None or pool.is_too_small_for(entry.size):
                return
            parked -= self._moved(pool, entry, entry.waiting(pool, self.now()))

    def _moved(self, pool: Pool, before: Entry, after: Entry) -> bool:
        owner = self.store.owner(pool.name, before.owner)
        try:
            self.store.transact(*self.store.moved(pool, owner, before, after, self.now()))
        except Stale:
            return False
        return True
