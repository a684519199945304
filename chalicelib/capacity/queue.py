"""Why a job waits, or would: the binding limit, who holds it, who goes before, and when it is expected to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, takewhile

from chalicelib.capacity import share
from chalicelib.capacity.answer import HOLDERS, BindingLimit, Holder, Line, QueueAnswer, may_see
from chalicelib.capacity.batch_queue import BatchQueue
from chalicelib.capacity.entry import Entry, State
from chalicelib.capacity.forecast import Lane, in_line, start_of
from chalicelib.capacity.order import Order
from chalicelib.capacity.pool import HIGHEST, LEVELS, Pool, pool_name
from chalicelib.capacity.store import ADMITTED, CapacityStore
from chalicelib.clock import Clock
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.job import Attempt, Backend, Job, JobStatus
from chalicelib.jobs.service import JobService

# How far the line is followed.
OWNERS, IN_LANE, IN_LINE = 50, 100, 1000


@dataclass(frozen=True)
class Queue:
    """
    Args:
        batch: of an installation with Batch queues: why a job waits there.
        training: of one whose SageMaker jobs wait in an operator's Batch queue: the same.
    """

    jobs: JobService
    store: CapacityStore
    now: Clock
    batch: BatchQueue | None = None
    training: BatchQueue | None = None

    def why(self, caller: Caller, job_id: str) -> QueueAnswer:
        """
        Raises:
            NotFound: not there, or not this caller's to see.
        """
        job = self.jobs.get(caller, job_id)
        if job.status.is_finished:
            return QueueAnswer(job, "finished", f"The job is {job.status.value}.")
        entry = self.store.entry(job.tenant, job.job_id) if job.pool else None
        if entry is None or entry.is_admitted:
            return self._let_in(caller, job, entry)
        pool = self.store.pool(entry.pool)
        if pool is None:
            raise LookupError(f"there is no pool {entry.pool}, and pools are never deleted")
        return self._waiting(caller, job, pool, entry)

    def prospect(self, caller: Caller, job: Job) -> QueueAnswer:
        """What would happen to a job that is not made yet, if it were submitted now; changes nothing.

        It stands where admission would put it: behind the other jobs of its owner, with the owner's share as it is.
        """
        caller.require(Permission.JOBS_SUBMIT)
        elsewhere = self._elsewhere(job)
        if elsewhere is not None:
            return elsewhere.prospect(job)
        pool = self.store.pool(pool_name(job.allocation)) if job.backend in self.jobs.admission.gated else None
        if pool is None or pool.limit is None:
            return QueueAnswer(job, "admitted", "No limit would keep it from starting.")
        entry = Entry.of(job)
        if pool.is_too_small_for(entry.size):
            return self._waiting(caller, job, pool, entry.parked())
        answer = self._waiting(caller, job, pool, entry, is_new=True)
        return self._starting(answer, pool) if self._starts_at_once(pool, entry, answer) else answer

    def _starts_at_once(self, pool: Pool, entry: Entry, answer: QueueAnswer) -> bool:
        """As `admission.py` decides: it is the first and fits, or it fits and delays nobody who goes before."""
        order = Order(pool, partial(self.store.admitted, pool.name), self.now())
        is_first = answer.line is not None and answer.line.is_exact and answer.line.jobs_ahead == 0
        if not is_first and order.choose(self.store.waiting(pool, order.may_start)).admit is not None:
            return False
        return order.may_start(entry.level, entry.size, entry.limit_seconds)

    def _starting(self, answer: QueueAnswer, pool: Pool) -> QueueAnswer:
        line = Line(0, is_exact=True, expected_start=self.now(), basis=f"there is room in the pool {pool.name}")
        reason = f"There is room for it in the pool {pool.name}: it would start at once."
        return replace(answer, state="admitted", reason=reason, rises_at=None, line=line)

    def _let_in(self, caller: Caller, job: Job, entry: Entry | None) -> QueueAnswer:
        """Of a job that no pool of ours keeps waiting: it runs, or its next attempt waits in Batch or is on its way."""
        if job.status is JobStatus.RUNNING and job.attempts == 1:
            return QueueAnswer(job, "running", _runs(entry))
        attempts = self.jobs.store.attempts(job.tenant, job.job_id)
        # The status stays what it was between two attempts; the attempt says whether it has begun.
        if job.status is JobStatus.RUNNING and attempts[-1].started_at is not None:
            return QueueAnswer(job, "running", _runs(entry))
        elsewhere = self._elsewhere(job)
        waits = elsewhere.why(caller, job, attempts[-1]) if elsewhere and attempts else None
        if waits is None:
            return QueueAnswer(job, "admitted", _on_its_way(job, attempts))
        ended = _ended(attempts)
        return replace(waits, reason=f"{waits.reason} The attempt before ended: {ended}") if ended else waits

    def _elsewhere(self, job: Job) -> BatchQueue | None:
        """The queue of Batch that a job waits in, where it is not one of our pools."""
        if job.backend in self.jobs.admission.gated:
            return None
        return self.batch if job.backend is Backend.BATCH else self.training

    def _waiting(self, caller: Caller, job: Job, pool: Pool, entry: Entry, *, is_new: bool = False) -> QueueAnswer:
        """
        Args:
            is_new: the entry is none of those that are recorded.
        """
        now = self.now()
        admitted = list(self.store.admitted(pool.name))
        seen = [each for each in admitted if may_see(caller, each.tenant, each.user)][:HOLDERS]
        holders = tuple(Holder(each.job_id, each.user, each.size, each.end(now)) for each in seen)
        aging = timedelta(seconds=pool.aging_seconds)
        return QueueAnswer(
            job=job,
            state="waiting",
            reason=_reason(pool, entry),
            binding=BindingLimit(pool.name, pool.unit, pool.limit, pool.in_use, entry.size),
            holders=holders,
            held_by_others=pool.in_use - sum(holder.amount for holder in holders),
            level=LEVELS[entry.level],
            rises_at=entry.level_since + aging if entry.level < HIGHEST and entry.state is State.WAITING else None,
            line=self._line(pool, entry, admitted, now, is_new=is_new) if entry.state is State.WAITING else None,
        )

    def _line(self, pool: Pool, entry: Entry, admitted: Sequence[Entry], now: datetime, *, is_new: bool) -> Line:
        ahead: list[Entry] = []
        is_exact = True
        for level in range(HIGHEST, entry.level - 1, -1):
            new = entry if is_new and level == entry.level else None
            is_looked_at = is_exact and (pool.waiting[level] or new)
            line = self._in_line(pool, level, now, new) if is_looked_at else iter(())
            of_level = list(islice(line, IN_LINE - len(ahead)))
            if level == entry.level:
                before = list(takewhile(lambda each: each.job_id != entry.job_id, of_level))
                is_exact = is_exact and len(before) < len(of_level)
                ahead += before
            else:
                is_exact = is_exact and len(of_level) >= pool.waiting[level]
                ahead += of_level
        jobs_ahead = max(len(ahead), sum(pool.waiting[entry.level + 1 :]))
        if not is_exact or len(admitted) >= ADMITTED:
            return Line(jobs_ahead, is_exact, None, "unknown: too many jobs run or go before")
        start = start_of(pool, admitted, ahead, entry, now)
        if start is None:
            return Line(jobs_ahead, is_exact, None, f"unknown: the limit is {pool.limit}")
        return Line(jobs_ahead, is_exact, start, _basis(len(admitted), len(ahead)))

    def _in_line(self, pool: Pool, level: int, now: datetime, new: Entry | None) -> Iterator[Entry]:
        """
        Args:
            new: one more who waits at this level.
        """
        turns = self.store.turns(pool.name, level, OWNERS)
        lanes = []
        for turn in turns:
            entries = self.store.lane(pool.name, level, turn.owner, IN_LANE)
            is_whole = len(entries) < IN_LANE
            if new and turn.owner == new.owner and is_whole:
                entries, new = [*entries, new], None
            lanes.append(Lane(turn.score, turn.owner, entries, is_whole))
        are_all_owners = len(turns) < OWNERS
        if new and new.owner not in {turn.owner for turn in turns}:
            owner = self.store.owner(pool.name, new.owner)
            score = share.at_least_nothing(owner.score, pool.half_lives(now))
            # Beyond the last owner who was read, others may stand before it.
            if are_all_owners or score < lanes[-1].score:
                lanes.insert(0, Lane(score, new.owner, [new]))
        return in_line(pool, lanes, now, are_all_owners=are_all_owners)


def _runs(entry: Entry | None) -> str:
    if entry is None or not entry.is_preempted:
        return "The job runs."
    return f"Preempted by {entry.preempted_by}: it is being stopped with its checkpoint kept, and goes back into the queue."


def _ended(attempts: Sequence[Attempt]) -> str | None:
    """Why the last attempt before the present one ended."""
    return next((each.reason for each in reversed(attempts[:-1]) if each.reason), None)


def _on_its_way(job: Job, attempts: Sequence[Attempt]) -> str:
    """What happens to a job that is let in and does not run yet, in its backend's words."""
    ended = _ended(attempts)
    if ended:
        return f"Attempt {len(attempts)} is on its way; the one before ended: {ended}"
    if job.secondary_status:
        return f"{job.backend.value} says: {job.secondary_status}."
    return "No limit keeps it from starting: it is on its way."


def _reason(pool: Pool, entry: Entry) -> str:
    preempted = f"Preempted by {entry.preempted_by}. " if entry.preempted_by else ""
    return preempted + _needs(pool, entry)


def _needs(pool: Pool, entry: Entry) -> str:
    if pool.is_too_small_for(entry.size):
        return f"It needs {entry.size} {pool.unit}, more than the limit of the pool {pool.name}, {pool.limit}."
    if pool.fits(entry.size):
        return f"It needs {entry.size} {pool.unit} of the pool {pool.name}, which are kept for jobs that go before."
    return f"It needs {entry.size} {pool.unit}; {pool.in_use} of the {pool.limit} of the pool {pool.name} are in use."


def _basis(admitted: int, ahead: int) -> str:
    return (
        f"the expected ends of {admitted} admitted jobs and {ahead} jobs ahead: how long jobs of the same name took on the "
        "same instance type, else their time limits"
    )
