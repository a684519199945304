"""A job's place in a pool, and the owner whose turn it is: frozen values, no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from chalicelib.capacity import share
from chalicelib.capacity.pool import HIGHEST, LEVELS, Pool, pool_name, size_in_pool
from chalicelib.jobs.job import Job
from chalicelib.quotas.charge import STOP_GRACE_SECONDS


class State(Enum):
    WAITING = "waiting"
    PARKED = "parked"  # larger than the pool: out of the others' way until the limit is raised
    ADMITTED = "admitted"


@dataclass(frozen=True)
class Entry:
    """
    Attributes:
        size: GPUs or vCPUs, as the pool counts.
        since: when the job was made, however often it has waited.
        level: index into `LEVELS`; grows with age.
        level_since: when it came to its level.
        version: grows by one with every change.
        token: of the Step Functions task that waits.
        charged: what its owner was charged when it was admitted, and at which time in half-lives.
        preempted_by, preempted_attempt: for whom it gave its place up last, and which attempt was stopped for that.
        preempted_at: while it is being stopped, since when.
    """

    tenant: str
    job_id: str
    user: str
    pool: str
    size: int
    since: datetime
    estimated_seconds: int
    limit_seconds: int
    base_level: int
    level: int
    level_since: datetime
    state: State = State.WAITING
    version: int = 1
    token: str | None = None
    admitted_at: datetime | None = None
    charged: tuple[float, float] = (0.0, 0.0)
    preempted_by: str | None = None
    preempted_attempt: int = 0
    preempted_at: datetime | None = None

    @classmethod
    def of(cls, job: Job) -> Entry:
        level = LEVELS.index(job.priority)
        return cls(
            tenant=job.tenant,
            job_id=job.job_id,
            user=job.user,
            pool=pool_name(job.allocation),
            size=size_in_pool(job.allocation),
            since=job.created_at,
            estimated_seconds=min(job.estimated_seconds, job.time_limit.seconds),
            limit_seconds=job.time_limit.seconds,
            base_level=level,
            level=level,
            level_since=job.created_at,
        )

    @property
    def owner(self) -> str:
        return owner_name(self.tenant, self.user)

    @property
    def is_admitted(self) -> bool:
        return self.state is State.ADMITTED

    @property
    def is_preempted(self) -> bool:
        """It still has its place and is being stopped."""
        return self.is_admitted and self.preempted_at is not None

    @property
    def expected_end(self) -> datetime:
        """When it ends, if it is as quick as jobs like it were; only of an admitted one."""
        if self.preempted_at is not None:
            return self.preempted_at + timedelta(seconds=STOP_GRACE_SECONDS)
        return self._admitted_at + timedelta(seconds=self.estimated_seconds)

    def since_admission(self, now: datetime) -> float:
        """Seconds."""
        return max(0.0, (now - self._admitted_at).total_seconds())

    def end(self, now: datetime) -> datetime:
        """When it is expected to end now: late ones by their time limit, at any moment after that."""
        if self.expected_end > now:
            return self.expected_end
        if self.is_preempted:
            return now
        return max(now, self._admitted_at + timedelta(seconds=self.limit_seconds))

    def admitted(self, pool: Pool, now: datetime) -> Entry:
        use = pool.share_half_lives(self.size, self.estimated_seconds)
        return replace(
            self,
            state=State.ADMITTED,
            admitted_at=now,
            token=None,
            version=self.version + 1,
            charged=(use, pool.half_lives(now)),
        )

    def preempted(self, by: Entry, attempt: int, now: datetime) -> Entry:
        """Told to give its place up. A job of another tenant is not named."""
        name = f"job {by.job_id}" if by.tenant == self.tenant else "a critical job"
        return replace(self, preempted_by=name, preempted_attempt=attempt, preempted_at=now, version=self.version + 1)

    def requeued(self, now: datetime, estimated_seconds: int, limit_seconds: int) -> Entry:
        """Back in the queue after its attempt was stopped: as low as it was submitted, it rises from now on.

        Args:
            estimated_seconds, limit_seconds: what is left of them.
        """
        return replace(
            self,
            state=State.WAITING,
            admitted_at=None,
            preempted_at=None,
            charged=(0.0, 0.0),
            level=self.base_level,
            level_since=now,
            estimated_seconds=max(1, estimated_seconds),
            limit_seconds=max(1, limit_seconds),
            version=self.version + 1,
        )

    def parked(self) -> Entry:
        return replace(self, state=State.PARKED, version=self.version + 1)

    def waiting(self, pool: Pool, now: datetime) -> Entry:
        """Back in the queue, at the level of its age."""
        entry = replace(self, state=State.WAITING, admitted_at=None, charged=(0.0, 0.0), version=self.version + 1)
        return entry.risen(pool, now) or entry

    def with_token(self, token: str) -> Entry:
        return replace(self, token=token, version=self.version + 1)

    def risen(self, pool: Pool, now: datetime) -> Entry | None:
        """At the level that its age gives it; None when it is there."""
        aging = timedelta(seconds=pool.aging_seconds)
        steps = min(HIGHEST - self.level, (now - self.level_since) // aging)
        if steps <= 0:
            return None
        return replace(
            self, level=self.level + steps, level_since=self.level_since + steps * aging, version=self.version + 1
        )

    def used(self, now: datetime) -> tuple[float, float]:
        """What its owner really used, in place of `charged`."""
        use, half_lives = self.charged
        return use * self.since_admission(now) / max(1, self.estimated_seconds), half_lives

    @property
    def _admitted_at(self) -> datetime:
        if self.admitted_at is None:
            raise ValueError(f"the job {self.job_id} is not admitted")
        return self.admitted_at


@dataclass(frozen=True)
class Owner:
    """Who waits in a pool: a tenant's user. Has one lane at each level where jobs of theirs wait.

    Attributes:
        score: see `share.py`.
        waiting: how many jobs wait, by level.
        least: by level, a size and a time limit that no job which waits there is below.
        version: grows by one with every change.
    """

    pool: str
    name: str
    score: float = -math.inf
    waiting: tuple[int, ...] = (0,) * len(LEVELS)
    least: tuple[tuple[int, int], ...] = ((0, 0),) * len(LEVELS)
    version: int = 0

    @property
    def levels(self) -> Iterator[int]:
        """Where jobs of theirs wait."""
        return (level for level, count in enumerate(self.waiting) if count)

    @property
    def is_waiting(self) -> bool:
        return any(self.waiting)

    def following(self, before: Entry | None, after: Entry | None, pool: Pool, now: datetime) -> Owner:
        """After one of their entries came, changed or went."""
        waiting, least, score = list(self.waiting), list(self.least), self.score
        if before and before.state is State.WAITING:
            waiting[before.level] -= 1
        if after and after.state is State.WAITING:
            size, seconds = least[after.level] if waiting[after.level] else (after.size, after.limit_seconds)
            least[after.level] = min(size, after.size), min(seconds, after.limit_seconds)
            waiting[after.level] += 1
        if before and before.is_admitted and not (after and after.is_admitted):
            score = share.charged(share.refunded(score, *before.charged), *before.used(now))
        if after and after.is_admitted and not (before and before.is_admitted):
            score = share.charged(score, *after.charged)
        if any(waiting) and not (self.is_waiting and math.isfinite(score)):
            score = share.at_least_nothing(score, pool.half_lives(now))
        return replace(self, score=score, waiting=tuple(waiting), least=tuple(least), version=self.version + 1)


@dataclass(frozen=True)
class Turn:
    """An owner among those who wait at a level; none of their jobs there is smaller or has a shorter time limit."""

    score: float
    owner: str
    size: int
    limit_seconds: int


def owner_name(tenant: str, user: str) -> str:
    return f"{tenant}/{user}"
