"""Room for a `critical` job that waits, made by stopping `low` jobs with a checkpoint; off unless an operator allows it.

    mark     the entries of those who give way, all in one transaction: the intent, and whose sake it is for
    stop     their attempts on the backend; SageMaker gives them two minutes and keeps their checkpoints
    assess   sees a stopped attempt that was marked → back to the queue, same job, one attempt more: `Admission.requeue`
    admit    the critical job, by the usual order

A stop that was lost is repeated by the minute's schedule for as long as the entry is marked. Whoever ends by itself
meanwhile gives its room back as always.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chalicelib.capacity.entry import Entry
from chalicelib.capacity.pool import HIGHEST, LOWEST, Pool
from chalicelib.capacity.store import MARKED, CapacityStore, Stale
from chalicelib.clock import Clock
from chalicelib.jobs.gateways import Backends
from chalicelib.jobs.job import checkpoint_prefix
from chalicelib.jobs.store import JobStore
from chalicelib.log import logger
from chalicelib.objects import Objects
from chalicelib.quotas.charge import MIN_TIME_LIMIT_SECONDS, STOP_GRACE_SECONDS

# How many that might give way are asked for their checkpoints at once.
LOOKED_AT = 50


@dataclass(frozen=True)
class Preemption:
    """
    Args:
        objects: where checkpoints lie.
        backends: stop what gives way.
    """

    store: CapacityStore
    jobs: JobStore
    objects: Objects
    backends: Backends
    now: Clock

    def make_room(self, name: str) -> int:
        """Have others give way to the head of the queue, if it was submitted as critical and enough of them can.

        Returns:
            how many were told to stop now.
        """
        pool = self.store.pool(name)
        if pool is None or not pool.preempt_low:
            return 0
        self._stop_again(self.store.admitted(name))
        count = 0
        while (head := self._head(pool)) is not None:
            chosen = self._chosen(pool, head)
            if not chosen:
                break
            marked = [(entry, entry.preempted(head, self._attempts(entry), self.now())) for entry in chosen]
            try:
                self.store.mark(pool, marked)
            except Stale:
                pass
            else:
                for _, entry in marked:
                    logger.info("gives way", extra={"job_id": entry.job_id, "to": head.job_id, "pool": name})
                    self._stop(entry)
                count += len(marked)
            pool = self.store.pool(name) or pool
        return count

    def _chosen(self, pool: Pool, head: Entry) -> list[Entry]:
        admitted = list(self.store.admitted(pool.name))
        coming_free = sum(entry.size for entry in admitted if entry.is_preempted)
        # More than one transaction holds are marked in the next round.
        return fewest(head.size - (pool.free or 0) - coming_free, self._able(admitted))[:MARKED]

    def _head(self, pool: Pool) -> Entry | None:
        """Who is next, if it was submitted as critical and does not fit: becoming so by waiting takes nobody's place."""
        if not pool.waiting[HIGHEST]:
            return None
        head = next(self.store.waiting(pool, lambda *_: False), None)
        if head is None or head.base_level != HIGHEST or pool.fits(head.size) or pool.is_too_small_for(head.size):
            return None
        return head

    def _able(self, admitted: Iterable[Entry]) -> Iterator[Entry]:
        """Those who can give way and go on later, the newest first: they lose the least.

        A job that has waited long enough to rise is low no more. One whose time limit would leave nothing for another
        attempt would be ended, not interrupted.
        """
        low = (entry for entry in admitted if entry.level == LOWEST and not entry.is_preempted)
        for entry in sorted(low, key=lambda entry: entry.since_admission(self.now()))[:LOOKED_AT]:
            left = entry.limit_seconds - entry.since_admission(self.now()) - STOP_GRACE_SECONDS
            if left < MIN_TIME_LIMIT_SECONDS:
                continue
            job = self.jobs.require(entry.tenant, entry.job_id)
            if self.objects.below(checkpoint_prefix(job), at_most=1).objects:
                yield entry

    def _attempts(self, entry: Entry) -> int:
        return max(1, self.jobs.require(entry.tenant, entry.job_id).attempts)

    def _stop_again(self, admitted: Iterable[Entry]) -> None:
        for entry in admitted:
            if entry.is_preempted:
                self._stop(entry)

    def _stop(self, entry: Entry) -> None:
        attempt = self.jobs.attempt(entry.tenant, entry.job_id, entry.preempted_attempt)
        if attempt is not None:
            self.backends.of(attempt).stop(attempt, entry.preempted_by or "preempted")


def fewest(needed: int, able: Iterable[Entry]) -> list[Entry]:
    """Some of those that can give way, who set at least so much free; nobody where all are not enough, or none is needed.

    From the newest on until there is enough; then those are let off, the oldest first, without whom there still is.
    """
    chosen: list[Entry] = []
    size = 0
    for entry in able if needed > 0 else ():
        chosen.append(entry)
        size += entry.size
        if size >= needed:
            break
    if size < needed:
        return []
    for entry in reversed(chosen[:]):
        if size - entry.size >= needed:
            chosen.remove(entry)
            size -= entry.size
    return chosen
