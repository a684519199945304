"""A world for the queue to run in: jobs that arrive and end in virtual time, machines that wait, a DynamoDB in memory.

Everything between a job's arrival and its end is the service's own code: the record, the claim, the wait, the admission, the
release. Only the state machine, reduced to "claim; wait; claim again", and the training itself are played.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from benchmarks.dynamodb import MemoryDynamoDB
from chalicelib.capacity.admission import Admission
from chalicelib.capacity.entry import Entry, Owner
from chalicelib.capacity.pool import Pool
from chalicelib.capacity.preemption import Preemption
from chalicelib.capacity.store import CapacityStore
from chalicelib.capacity.upkeep import Upkeep
from chalicelib.costs.estimate import Estimate
from chalicelib.jobs.job import Allocation, Backend, Job, JobStatus, TimeLimit
from chalicelib.jobs.life import Ended
from chalicelib.jobs.store import JobStore
from chalicelib.quotas import charge
from chalicelib.quotas.quota import Amounts
from chalicelib.table import Table, Write

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANT, POOL = "acme", "sagemaker/v100"
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Arrival:
    """A job to come: when, whose, how important, how large, and how long it will run."""

    second: float
    user: str
    priority: str
    size: int
    runs_for: float


@dataclass
class Machines:
    """The state machines: who waits with which token, and who was told to go on."""

    told: list[str] = field(default_factory=list)

    def succeed(self, token: str) -> None:
        self.told.append(token)


class Watcher(Protocol):
    def moved(self, pool: Pool, owner: Owner, before: Entry | None, after: Entry | None) -> None:
        """An entry comes, changes or goes; pool and owner are as they were before."""


@dataclass
class World:
    limit: int
    watcher: Watcher | None = None
    now: datetime = START
    seconds_of_work: float = 0.0
    expected: int = 0
    finished: int = 0
    dynamodb: MemoryDynamoDB = field(default_factory=MemoryDynamoDB)
    machines: Machines = field(default_factory=Machines)
    runs_for: dict[str, float] = field(default_factory=dict)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        for table in ("jobs", "capacity"):
            self.dynamodb.add_table(table, table)
        client: Any = self.dynamodb
        self.jobs = JobStore(Table(client, "jobs"))
        self.store = Watched(Table(client, "capacity"), self)
        waiters: Any = self.machines
        self.admission = Admission(self.store, self.jobs, waiters, lambda: self.now, time.monotonic)
        nowhere: Any = None  # the pool's jobs never give way
        preemption = Preemption(self.store, self.jobs, nowhere, nowhere, lambda: self.now)
        self.upkeep = Upkeep(self.store, self.admission, preemption, lambda: self.now, time.monotonic)
        self.store.create_pool(Pool(POOL, self.limit, START))

    def run(self, arrivals: Iterable[Arrival]) -> None:
        """Let everything happen in its order, a look-after each minute included, until all jobs have ended."""
        for arrival in arrivals:
            self.expected += 1
            self._at(arrival.second, partial(self.arrive, arrival))
        self._at(MINUTE, self._look_after)
        while self._events:
            second, _, happen = heapq.heappop(self._events)
            self.now = START + timedelta(seconds=second)
            began = time.perf_counter()
            happen()
            self.seconds_of_work += time.perf_counter() - began

    def arrive(self, arrival: Arrival) -> None:
        self._count += 1
        job = job_of(arrival, f"job-{self._count:06d}", self.now)
        self.runs_for[job.job_id] = arrival.runs_for
        self.jobs.create(job, None, "")
        self._go_on(job)
        self._let_told_go_on()

    def every_hour(self, happen: Callable[[], None]) -> None:
        def again() -> None:
            happen()
            if self.expected > self.finished:
                self._at((self.now - START).total_seconds() + HOUR, again)

        self._at(HOUR, again)

    def admit_one(self) -> None:
        """One admission, and what its machine does then."""
        self.admission.admit(POOL, at_most=1)
        self.machines.told.clear()

    def finish(self, job_id: str) -> None:
        job = self.jobs.require(TENANT, job_id)
        ended = Ended(JobStatus.COMPLETED, self.now, Amounts())
        self.jobs.change(job, ended, self.now, *self.admission.release(job))
        self.finished += 1
        self.admission.admit(POOL)
        self._let_told_go_on()

    def pool(self) -> Pool:
        pool = self.store.pool(POOL)
        assert pool is not None
        return pool

    def _go_on(self, job: Job) -> None:
        """What the state machine does: claim, and run or wait."""
        if self.admission.claim(job) is None:
            self.admission.begin_to_wait(job.tenant, job.job_id, job.job_id)
            return
        second = (self.now - START).total_seconds() + self.runs_for[job.job_id]
        self._at(second, lambda: self.finish(job.job_id))

    def _let_told_go_on(self) -> None:
        while self.machines.told:
            self._go_on(self.jobs.require(TENANT, self.machines.told.pop(0)))

    def _look_after(self) -> None:
        self.upkeep.all(20)
        self._let_told_go_on()
        if self.expected > self.finished:
            self._at((self.now - START).total_seconds() + MINUTE, self._look_after)

    def _at(self, second: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (second, self._count, happen))


@dataclass(frozen=True)
class Watched(CapacityStore):
    """The real store, which tells the watcher of every move: here no transaction of one fails."""

    world: World

    def moved(self, pool: Pool, owner: Owner, before: Entry | None, after: Entry | None, now: datetime) -> list[Write]:
        if self.world.watcher:
            self.world.watcher.moved(pool, owner, before, after)
        return super().moved(pool, owner, before, after, now)


def job_of(arrival: Arrival, job_id: str, now: datetime) -> Job:
    allocation = Allocation(
        Backend.SAGEMAKER, "ml.p3", 1, arrival.size, "v100", 8, 61, 100, Decimal("3.825"), "invented", "2026-01-01"
    )
    seconds = int(arrival.runs_for * 2)
    return Job(
        tenant=TENANT,
        job_id=job_id,
        user=arrival.user,
        name="churn",
        framework="pytorch",
        config={},
        time_limit=TimeLimit(seconds),
        reservation=charge.reservation(allocation, seconds, now),
        allocation=allocation,
        created_at=now,
        updated_at=now,
        priority=arrival.priority,
        estimate=Estimate(expected=int(arrival.runs_for)),
    )
