"""The capacity room on a DynamoDB in memory, with state machines reduced to "claim; wait; claim again"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from benchmarks.dynamodb import MemoryDynamoDB
from chalicelib.audit.recorder import Recorder
from chalicelib.audit.store import AuditStore
from chalicelib.capacity import items
from chalicelib.capacity.admission import Admission
from chalicelib.capacity.entry import Entry, State
from chalicelib.capacity.pool import LEVELS, Pool
from chalicelib.capacity.preemption import Preemption
from chalicelib.capacity.service import PoolService
from chalicelib.capacity.store import CapacityStore
from chalicelib.capacity.upkeep import Upkeep
from chalicelib.costs.estimate import Estimate
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job, JobStatus, TimeLimit
from chalicelib.jobs.life import CancelRequested, Ended
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.objects import Stored
from chalicelib.quotas import charge
from chalicelib.quotas.quota import Amounts
from chalicelib.table import Table, decode

POOL = "sagemaker/v100"
HOUR = 3600
ADMIN = Caller("default", "root", frozenset({"ADMIN"}))


@dataclass
class Clock:
    moment: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **time: float) -> None:
        self.moment += timedelta(**time)


@dataclass
class Machines:
    """Task tokens that were answered. `lose` answers are lost on the way, as when a process dies before it sends them."""

    told: list[str] = field(default_factory=list)
    lose: int = 0

    def succeed(self, token: str) -> None:
        if self.lose:
            self.lose -= 1
            raise ConnectionError("the call was lost")
        self.told.append(token)


@dataclass
class Checkpoints:
    """Stands for the bucket: which jobs have a checkpoint."""

    of: set[str] = field(default_factory=set)

    def below(self, prefix: str, *, at_most: int) -> Stored:
        assert (prefix.split("/")[-2], at_most) == ("checkpoints", 1)
        return Stored(int(prefix.split("/")[-3] in self.of), 1)


@dataclass
class StoppingBackends:
    """Remembers which attempts were told to stop. `lose` calls are lost on the way."""

    stopped: list[str] = field(default_factory=list)
    lose: int = 0

    def of(self, _backend: Backend) -> StoppingBackends:
        return self

    def stop(self, attempt: Attempt, _reason: str) -> None:
        if self.lose:
            self.lose -= 1
            raise ConnectionError("the call was lost")
        self.stopped.append(attempt.name)


@dataclass
class Room:
    """Everything of the room, over one clock."""

    clock: Clock = field(default_factory=Clock)
    machines: Machines = field(default_factory=Machines)
    checkpoints: Checkpoints = field(default_factory=lambda: Checkpoints())
    backends: StoppingBackends = field(default_factory=lambda: StoppingBackends())
    dynamodb: MemoryDynamoDB = field(default_factory=MemoryDynamoDB)
    client: Any = None
    seconds: Callable[[], float] = lambda: 0.0

    def __post_init__(self) -> None:
        for name in ("jobs", "capacity", "audit"):
            self.dynamodb.add_table(name, name)
        client: Any = self.client or self.dynamodb
        waiters: Any = self.machines
        ids = (f"entry-{number}" for number in count(1))
        self.jobs = JobStore(Table(client, "jobs"))
        self.store = CapacityStore(Table(client, "capacity"))
        self.admission = Admission(self.store, self.jobs, waiters, self.clock, self.seconds)
        backends: Any = self.backends
        objects: Any = self.checkpoints
        self.preemption = Preemption(self.store, self.jobs, objects, backends, self.clock)
        self.upkeep = Upkeep(self.store, self.admission, self.preemption, self.clock, self.seconds)
        audit = Recorder(lambda: AuditStore(Table(client, "audit")), self.clock, lambda: next(ids))
        self.pools = PoolService(self.store, self.admission, audit, self.clock)
        self._numbers = count(1)

    def limit(self, limit: int | None, **settings: Any) -> None:
        """Set the pool's limit, without admitting anybody."""
        before = self.store.pool(POOL)
        if before is None:
            self.store.create_pool(Pool(POOL, limit, self.clock(), **settings))
        else:
            self.store.change_settings(before, before.with_settings(self.clock(), limit=limit, **settings))

    def job(self, name: str, size: int = 1, priority: str = "medium", user: str = "alice", **more: Any) -> Job:
        """A recorded job, not planned yet."""
        job = job_of(name, size, priority, user, self.clock(), **more)
        self.jobs.create(job, None, "")
        return job

    def plan(self, job_id: str, tenant: str = "acme") -> bool:
        """What the machine does: whether the job may run; if not it waits, with its own id for a token."""
        job = self.jobs.require(tenant, job_id)
        if job.cancel_requested_at is not None:
            return False
        if self.admission.claim(job, is_on_its_way=job.attempts > 0) is not None:
            return True
        self.admission.begin_to_wait(tenant, job_id, f"{tenant}:{job_id}")
        return False

    def submit(self, name: str, size: int = 1, priority: str = "medium", user: str = "alice", **more: Any) -> bool:
        return self.plan(self.job(name, size, priority, user, **more).job_id, more.get("tenant", "acme"))

    def cancel(self, job_id: str) -> None:
        job = self.jobs.require("acme", job_id)
        if job.cancel_requested_at is None:
            cancelled = CancelRequested(self.clock())
            job = self.jobs.change(job, cancelled, self.clock(), *self.admission.waking(job))
        self.admission.wake(job)

    def finish(self, job_id: str, status: JobStatus = JobStatus.COMPLETED, tenant: str = "acme") -> None:
        while True:
            job = self.jobs.require(tenant, job_id)
            try:
                ended = Ended(status, self.clock(), Amounts())
                self.jobs.change(job, ended, self.clock(), *self.admission.release(job))
            except StaleJob:
                # As the finishing step does: an admission has noted itself on the record meanwhile.
                continue
            break
        if job.pool:
            self.admission.admit(job.pool)

    def told(self) -> list[str]:
        """Whose machines were told to go on since this was last asked."""
        names, self.machines.told = [token.partition(":")[2] for token in self.machines.told], []
        return names

    def entry(self, job_id: str) -> Entry | None:
        return self.store.entry("acme", job_id)

    def pool(self) -> Pool:
        pool = self.store.pool(POOL)
        assert pool is not None
        return pool

    def differences(self) -> list[str]:
        """Counters and places that are not what the entries say."""
        return differences([decode(item) for item in self.dynamodb.items_of("capacity")])


def job_of(
    name: str,
    size: int,
    priority: str,
    user: str,
    now: datetime,
    *,
    seconds: int = HOUR,
    estimated: int | None = None,
    tenant: str = "acme",
    backend: Backend = Backend.SAGEMAKER,
    attempts: int = 0,
) -> Job:
    allocation = Allocation(backend, "ml.p3", 1, size, "v100", 8, 61, 100, Decimal("3.825"), "invented", "2026-01-01")
    return Job(
        tenant=tenant,
        job_id=name,
        user=user,
        name="churn",
        framework="pytorch",
        config={},
        allocation=allocation,
        created_at=now,
        updated_at=now,
        time_limit=TimeLimit(seconds),
        reservation=charge.reservation(allocation, seconds, now),
        priority=priority,
        estimate=Estimate(0, estimated or seconds, seconds),
        attempts=attempts,
    )


def differences(rows: list[Mapping[str, Any]]) -> list[str]:
    entries = [items.entry_of(row) for row in rows if row["sk"] == "entry"]
    found: list[str] = []
    for pool in (items.pool_of(row) for row in rows if row["pk"] == "pools"):
        mine = [entry for entry in entries if entry.pool == pool.name]
        waiting = [entry for entry in mine if entry.state is State.WAITING]
        expected = {
            "in_use": sum(entry.size for entry in mine if entry.is_admitted),
            "waiting": tuple(sum(entry.level == level for entry in waiting) for level in range(len(LEVELS))),
            "parked": sum(entry.state is State.PARKED for entry in mine),
        }
        found += [f"{pool.name}: {name}" for name, value in expected.items() if getattr(pool, name) != value]
        found += _places(pool, mine, rows) + _turns(pool, waiting, rows)
    return found


def _places(pool: Pool, entries: list[Entry], rows: list[Mapping[str, Any]]) -> list[str]:
    others = {*(items.level_pk(pool.name, level) for level in range(len(LEVELS))), items.owner_key(pool.name, "")[0]}
    others |= {items.untold_key(pool.name, "")[0]}
    stand = {(r["pk"], r["sk"]) for r in rows if r["pk"].startswith(f"{pool.name}#") and r["pk"] not in others}
    return [] if stand == {items.place_key(entry) for entry in entries} else [f"{pool.name}: places"]


def _turns(pool: Pool, waiting: list[Entry], rows: list[Mapping[str, Any]]) -> list[str]:
    owners = [items.owner_of(r, pool.name) for r in rows if r["pk"] == items.owner_key(pool.name, "")[0]]
    counted = {
        owner.name: tuple(sum(e.owner == owner.name and e.level == level for e in waiting) for level in range(4))
        for owner in owners
    }
    found = [f"{owner.name}: waiting" for owner in owners if owner.waiting != counted[owner.name]]
    level_pks = {items.level_pk(pool.name, level) for level in range(len(LEVELS))}
    stand = {(r["pk"], r["sk"]) for r in rows if r["pk"] in level_pks}
    due = {items.turn_key(owner, level) for owner in owners for level in owner.levels}
    return found if stand == due else [*found, f"{pool.name}: turns"]


@pytest.fixture
def room() -> Room:
    return Room()
