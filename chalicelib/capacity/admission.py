"""Enter a pool, wait in it, be admitted, leave it. Every step may be repeated, and is whole or not at all.

    plan     claim: no limit, or room and nobody before it → run
             else: entry and job's record in one transaction → look once more → wait
    machine  await: note the token → admitted or cancelled meanwhile? answer
    finish   release: with the terminal status, in its transaction → admit
    assess   requeue: an attempt that was stopped for another job's sake (`preemption.py`) → admit
    admit    the next in order, if the pool is as it was read → answer its token

Nobody is left waiting beside free room, because everybody writes first and looks then: who enters looks for room after
the entry is there, who leaves looks for entries after the room is there; who waits looks for its admission after the token
is there, who admits finds the token or has its transaction fail and reads again. What is lost after that (a process dies
between an admission and its answer) is made good by the minute's schedule, see `upkeep.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from chalicelib.aws import AwsError
from chalicelib.capacity.entry import Entry
from chalicelib.capacity.gateways import Waiters
from chalicelib.capacity.order import Order
from chalicelib.capacity.pool import GATED, Pool, pool_name
from chalicelib.capacity.store import CapacityStore, Stale
from chalicelib.clock import Clock
from chalicelib.jobs.job import Backend, Job
from chalicelib.jobs.life import Entered, Requeued
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.log import logger
from chalicelib.table import Write

# What a task that has something else to do gives to admitting others.
ADMIT_SECONDS = 10.0


@dataclass(frozen=True)
class Admission:
    """
    Args:
        monotonic: seconds, for how long admitting others has taken.
        gated: backends whose jobs wait here.
    """

    store: CapacityStore
    jobs: JobStore
    waiters: Waiters
    now: Clock
    monotonic: Callable[[], float]
    gated: frozenset[Backend] = GATED

    def claim(self, job: Job, *, is_on_its_way: bool = False) -> Job | None:
        """The job as it is recorded now, if it may run; None when it has to wait.

        A job that needs no admission (its backend has a queue of its own, its pool no limit, or it was on its way before
        there was one) costs one read at most.

        Args:
            is_on_its_way: the attempt that it is asked for was recorded before.
        """
        if job.pool is None and not is_on_its_way:
            entered = self._enter(job)
            if entered is None or entered.pool is None:
                return entered or job
            job = entered
        entry = self.store.entry(job.tenant, job.job_id)
        if entry is not None and not entry.is_admitted:
            pool = self._pool(entry.pool)
            if pool.fits(entry.size):
                self.admit(pool.name)
                entry = self.store.entry(job.tenant, job.job_id)
        return job if entry is None or entry.is_admitted else None

    def begin_to_wait(self, tenant: str, job_id: str, token: str) -> bool:
        """Note who waits, and answer at once when there is nothing to wait for; True when answered."""
        while True:
            entry = self.store.entry(tenant, job_id)
            if entry is None or entry.is_admitted:
                break
            try:
                self.store.change_token(entry, entry.with_token(token))
            except Stale:
                continue
            job = self.jobs.get(tenant, job_id)
            if job is not None and job.cancel_requested_at is None and not job.status.is_finished:
                return False
            break
        self.waiters.succeed(token)
        return True

    def waking(self, job: Job) -> list[Write]:
        """What lets the machine of a job that waits go on: to be written with the wish to cancel it. Then `wake`."""
        entry = self.store.entry(job.tenant, job.job_id) if job.pool else None
        return [self.store.remember_untold(entry, entry.token)] if entry and entry.token else []

    def wake(self, job: Job) -> None:
        entry = self.store.entry(job.tenant, job.job_id) if job.pool else None
        if entry and entry.token:
            self.tell(entry.pool, entry.job_id, entry.token)

    def release(self, job: Job) -> list[Write]:
        """What ends a job's stay in its pool: to be written with its terminal status. Then `admit`."""
        entry = self.store.entry(job.tenant, job.job_id) if job.pool else None
        if entry is None:
            return []
        owner = self.store.owner(entry.pool, entry.owner)
        return self.store.moved(self._pool(entry.pool), owner, entry, None, self.now())

    def preempted_by(self, job: Job, number: int) -> str | None:
        """For whom an attempt was stopped; None when that is not why it ended. So also once the job is back in the queue."""
        entry = self.store.entry(job.tenant, job.job_id) if job.pool else None
        return entry.preempted_by if entry and entry.preempted_attempt == number else None

    def requeue(self, job: Job, attempts: int) -> None:
        """Back to the queue with a job whose attempt was stopped for another's sake; once, however often this is repeated.

        Args:
            attempts: the number of the attempt that it waits for.
        """
        while not job.status.is_finished:
            entry = self.store.entry(job.tenant, job.job_id)
            if entry is None or not entry.is_preempted:
                break
            pool = self._pool(entry.pool)
            billed = self.jobs.taken_seconds(job.tenant, job.job_id, attempts - 1)
            limit = job.time_limit.seconds
            after = entry.requeued(self.now(), min(job.estimated_seconds, limit) - billed, limit - billed)
            reason = f"Preempted by {entry.preempted_by}, its checkpoint is kept. {_reason(pool, entry)}"
            moved = self.store.moved(pool, self.store.owner(pool.name, entry.owner), entry, after, self.now())
            try:
                self.jobs.change(job, Requeued(attempts, reason), self.now(), *moved)
            except StaleJob:
                job = self.jobs.require(job.tenant, job.job_id)
        if job.pool:
            self.admit(job.pool)

    def admit(self, name: str, seconds: float = ADMIT_SECONDS, at_most: int | None = None) -> int:
        """Admit those whose turn it is while there is room, for some seconds at most; how many were admitted."""
        until = self.monotonic() + seconds
        count = 0
        while self.monotonic() < until and count != at_most:
            pool = self._pool(name)
            if pool.is_queue_empty or not pool.fits(1):
                break
            order = Order(pool, partial(self.store.admitted, name), self.now())
            choice = order.choose(self.store.waiting(pool, order.may_start))
            try:
                for entry in choice.too_large:
                    self._move(pool, entry, entry.parked())
                if choice.admit is None:
                    break
                self._admit(pool, choice.admit)
                count += 1
            except Stale:
                continue
        return count

    def tell(self, pool: str, job_id: str, token: str) -> None:
        """Answer the machine of an admitted job, and forget that it had to be told."""
        try:
            self.waiters.succeed(token)
            self.store.told(pool, job_id)
        except AwsError:
            # It is admitted, and noted as untold: the schedule tells it.
            logger.warning("could not tell a job of its admission", extra={"job_id": job_id}, exc_info=True)

    def _enter(self, job: Job) -> Job | None:
        """Into the pool, admitted at once if there is room and nobody before it.

        Returns:
            The job, recorded with its pool; None when there is no limit for it.
        """
        while job.pool is None:
            if job.backend not in self.gated or job.status.is_finished:
                return None
            pool = self.store.pool(pool_name(job.allocation))
            if pool is None or pool.limit is None:
                return None
            entry = Entry.of(job)
            is_free = pool.is_queue_empty and pool.fits(entry.size)
            entered = Entered(pool.name, None if is_free else _reason(pool, entry))
            entry = entry.admitted(pool, self.now()) if is_free else entry
            moved = self.store.moved(pool, self.store.owner(pool.name, entry.owner), None, entry, self.now())
            try:
                job = self.jobs.change(job, entered, self.now(), *moved)
            except StaleJob:
                job = self.jobs.require(job.tenant, job.job_id)
        return job

    def _admit(self, pool: Pool, entry: Entry) -> None:
        told = [self.store.remember_untold(entry, entry.token)] if entry.token else []
        self._move(pool, entry, entry.admitted(pool, self.now()), *told)
        logger.info("admitted", extra={"job_id": entry.job_id, "pool": pool.name, "size": entry.size})
        if entry.token:
            self.tell(pool.name, entry.job_id, entry.token)

    def _move(self, pool: Pool, before: Entry, after: Entry, *also: Write) -> None:
        owner = self.store.owner(pool.name, before.owner)
        self.store.transact(*self.store.moved(pool, owner, before, after, self.now()), *also)

    def _pool(self, name: str) -> Pool:
        pool = self.store.pool(name)
        if pool is None:
            raise LookupError(f"there is no pool {name}, and pools are never deleted")
        return pool


def _reason(pool: Pool, entry: Entry) -> str:
    return (
        f"Waits for {entry.size} of the {pool.limit} {pool.unit} of the pool {pool.name}; "
        f"GET /api/v1/training/jobs/{entry.job_id}/queue says for whom."
    )
