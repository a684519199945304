"""Why a job waits in a queue of AWS Batch, whose order is Batch's own: answered as for our pools, from what Batch says.

Read from Batch when it is asked: the queue's snapshot (who is next, what is in use), what runs, a description of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from chalicelib.capacity.answer import HOLDERS, BindingLimit, Holder, Line, QueueAnswer, may_see
from chalicelib.capacity.forecast import first_fit
from chalicelib.capacity.pool import pool_name
from chalicelib.clock import Clock
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Attempt, Job

HAVE_A_MACHINE = ("STARTING", "RUNNING")


@dataclass(frozen=True)
class Queued:
    """A job of a Batch queue.

    Attributes:
        size: what it takes of the queue's capacity.
        reason: what Batch says of why it waits, if it says anything.
        until: when its attempt ends at the latest, if it runs.
    """

    backend_id: str
    status: str
    size: float
    limit_seconds: float
    tenant: str | None
    job_id: str | None
    reason: str | None
    until: datetime | None


class View(Protocol):
    """What Batch says of its queues: of containers (`container_queues.py`), or of training jobs (`service_queues.py`).

    Attributes:
        unit: what capacity is counted in.
    """

    @property
    def unit(self) -> str: ...

    def queue_of(self, job: Job) -> str:
        """ARN of the queue that a job waits in."""

    def size_of(self, job: Job) -> float:
        """What a job takes of a queue's capacity."""

    def snapshot(self, queue: str, job: Job) -> Snapshot: ...

    def find(self, attempt: Attempt) -> str | None:
        """The id under which Batch knows an attempt."""

    def running(self, queue: str) -> list[str]:
        """Ids of the jobs that have a machine, or as many as Batch lists at once."""

    def describe(self, backend_ids: Sequence[str]) -> dict[str, Queued]:
        """Some jobs by id, the first ones; as many as can be described at once."""


@dataclass(frozen=True)
class Snapshot:
    """
    Attributes:
        front: ids of the first jobs in order, a hundred at most.
    """

    front: Sequence[str]
    in_use: float
    limit: int


@dataclass(frozen=True)
class BatchQueue:
    """
    Args:
        owner: the user of a tenant's job; None when it is not there.
    """

    view: View
    owner: Callable[[str, str], str | None]
    now: Clock

    def why(self, caller: Caller, job: Job, attempt: Attempt) -> QueueAnswer | None:
        """None when the attempt does not wait in the queue: it is not there yet, or has left it."""
        if attempt.queue is None:
            return None
        backend_id = self.view.find(attempt)
        if backend_id is None:
            return None
        seen = self.view.snapshot(attempt.queue, job)
        running = self.view.running(attempt.queue)
        ahead = seen.front[: seen.front.index(backend_id)] if backend_id in seen.front else seen.front
        # The asked one first: there may be more than can be described.
        described = self.view.describe([backend_id, *running, *ahead])
        mine = described.get(backend_id)
        if mine is None or mine.status != "RUNNABLE":
            return None
        holders = tuple(self._holders(caller, [described[each] for each in running if each in described]))
        return QueueAnswer(
            job=job,
            state="waiting",
            reason=mine.reason or self._reason(attempt.queue, mine.size, seen),
            binding=self._binding(job, mine.size, seen),
            holders=holders,
            held_by_others=max(0, round(seen.in_use) - sum(holder.amount for holder in holders)),
            level=job.priority,
            line=self._line(backend_id, mine, seen, ahead, running, described),
        )

    def prospect(self, job: Job) -> QueueAnswer:
        """What a job that is not made yet would meet: whether there is room, and what is in use now."""
        queue, needed = self.view.queue_of(job), self.view.size_of(job)
        seen = self.view.snapshot(queue, job)
        if not seen.front and seen.in_use + needed <= seen.limit:
            reason = f"There is room in the Batch queue {_name(queue)}: it would start at once."
            return QueueAnswer(job, "admitted", reason)
        return QueueAnswer(
            job=job,
            state="waiting",
            reason=self._reason(queue, needed, seen),
            binding=self._binding(job, needed, seen),
            held_by_others=round(seen.in_use),
            level=job.priority,
        )

    def _binding(self, job: Job, needed: float, seen: Snapshot) -> BindingLimit:
        return BindingLimit(pool_name(job.allocation), self.view.unit, seen.limit, round(seen.in_use), round(needed))

    def _reason(self, queue: str, needed: float, seen: Snapshot) -> str:
        needs, of_queue = f"It needs {needed:g} {self.view.unit}", f"the Batch queue {_name(queue)}"
        if needed > seen.limit:
            return f"{needs}, more than the {seen.limit} of {of_queue}."
        if seen.in_use + needed <= seen.limit:
            return f"{needs} of {of_queue}: its machine is starting, or what is free is kept for jobs that go before."
        return f"{needs}; {seen.in_use:g} of the {seen.limit} of {of_queue} are in use."

    def _holders(self, caller: Caller, holding: Iterable[Queued]) -> Iterable[Holder]:
        named = 0
        for each in holding:
            if each.tenant != caller.tenant or each.job_id is None or each.until is None or named == HOLDERS:
                continue
            user = self.owner(each.tenant, each.job_id)
            if user is not None and may_see(caller, each.tenant, user):
                named += 1
                yield Holder(each.job_id, user, round(each.size), each.until)

    def _line(
        self,
        backend_id: str,
        mine: Queued,
        seen: Snapshot,
        ahead: Sequence[str],
        running: Sequence[str],
        described: Mapping[str, Queued],
    ) -> Line:
        if backend_id not in seen.front:
            return Line(len(seen.front), False, None, "unknown: Batch shows the first hundred jobs of a queue")
        if mine.size > seen.limit:
            return Line(len(ahead), True, None, f"unknown: the limit is {seen.limit}")
        if any(each not in described for each in (*running, *ahead)):
            return Line(len(ahead), True, None, "unknown: too many jobs run or go before")
        now = self.now()
        start = first_fit(
            seen.limit,
            [(described[each].until or now, described[each].size) for each in running],
            [(described[each].size, described[each].limit_seconds) for each in ahead],
            mine.size,
            now,
        )
        return Line(
            len(ahead), True, start, f"the time limits of {len(running)} running jobs and {len(ahead)} jobs ahead"
        )


def until(document: Mapping[str, Any], seconds: float) -> datetime | None:
    """When a described job ends at the latest; None when it does not run."""
    if document["status"] not in HAVE_A_MACHINE:
        return None
    began = document.get("startedAt") or document.get("scheduledAt") or document["createdAt"]
    return datetime.fromtimestamp(began / 1000, UTC) + timedelta(seconds=seconds)


def ids_of(jobs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(each["jobArn"]).rpartition("/")[2] for each in jobs]


def _name(queue: str) -> str:
    return queue.rpartition("/")[2]
