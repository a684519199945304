"""Which service job starts, and which is preempted. Pure: a decision over values.

Capacity is counted in units: `NUM_INSTANCES`, or instances of one type. A queue without quota shares starts its jobs in
their order, and none before one that does not fit yet. With quota shares each share has what it is entitled to; it may
borrow what others lend and do not use, and they take it back by preempting the newest of those that borrow. AWS describes
this and publishes no formula: https://docs.aws.amazon.com/batch/latest/userguide/quota-shares.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NUM_INSTANCES = "NUM_INSTANCES"
NO_CAPACITY = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - the service environments of the job queue can't hold the job"


@dataclass(frozen=True)
class Share:
    """A quota share.

    Attributes:
        borrow_percent: of its own capacity, what it may borrow on top; -1 for no bound.
    """

    name: str
    limits: Mapping[str, int]
    lends: bool = True
    borrows: bool = False
    borrow_percent: int = -1
    preempts_within: bool = False


@dataclass(frozen=True)
class Job:
    """
    Attributes:
        instances: how many, and of which type.
        since: a number that grows from job to job in the order of submission, or of the start for those that run.
    """

    job_id: str
    instance_type: str
    instances: int
    since: float
    share: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Decision:
    starts: Sequence[str] = ()
    preempts: Sequence[str] = ()
    stuck: Sequence[str] = ()


@dataclass
class _Room:
    """What is in use, by unit, in all and by share; and what each share may have."""

    limits: Mapping[str, int]
    used: Counter[str] = field(default_factory=Counter)
    by_share: dict[str, Counter[str]] = field(default_factory=dict)

    def unit(self, job: Job) -> str | None:
        return next((unit for unit in (job.instance_type, NUM_INSTANCES) if unit in self.limits), None)

    def take(self, job: Job, sign: int = 1) -> None:
        unit = self.unit(job)
        if unit is not None:
            self.used[unit] += sign * job.instances
            self.by_share.setdefault(job.share, Counter())[unit] += sign * job.instances

    def fits(self, job: Job) -> bool:
        unit = self.unit(job)
        return unit is not None and self.used[unit] + job.instances <= self.limits[unit]

    def never(self, job: Job) -> bool:
        unit = self.unit(job)
        return unit is None or job.instances > self.limits[unit]

    def of(self, share: str, unit: str) -> int:
        return self.by_share.get(share, Counter())[unit]


def in_order(limits: Mapping[str, int], waiting: Sequence[Job], running: Sequence[Job]) -> Decision:
    """A queue without quota shares; `waiting` is in the order in which jobs are to start."""
    room = _Room(limits)
    for job in running:
        room.take(job)
    stuck = [job.job_id for job in waiting if room.never(job)]
    starts = []
    for job in waiting:
        if room.never(job):
            continue
        if not room.fits(job):
            break
        room.take(job)
        starts.append(job.job_id)
    return Decision(starts, (), stuck)


def by_quota(
    limits: Mapping[str, int], shares: Sequence[Share], waiting: Sequence[Job], running: Sequence[Job]
) -> Decision:
    """A queue of quota shares; the jobs of a share go by priority, then by age."""
    room = _Room(limits)
    for job in running:
        room.take(job)
    known = {share.name: share for share in shares}
    stays = list(running)
    starts: list[str] = []
    preempts: list[str] = []
    stuck: list[str] = []
    in_turn: list[tuple[Job, Share, str]] = []
    for job in sorted(waiting, key=lambda each: (-each.priority, each.since)):
        share = known.get(job.share)
        unit = room.unit(job)
        if share is None or unit is None or room.never(job) or job.instances > _most(share, unit):
            stuck.append(job.job_id)
        else:
            in_turn.append((job, share, unit))
    # Who is entitled goes before who would borrow.
    in_turn.sort(key=lambda each: not _is_entitled(room, *each))
    for job, share, unit in in_turn:
        victims = _victims(room, known, share, unit, job, stays)
        if victims is None:
            continue
        for victim in victims:
            room.take(victim, -1)
            stays.remove(victim)
            preempts.append(victim.job_id)
        # Who gives way needs its grace period: the job starts when the room is there.
        room.take(job)
        if not victims:
            starts.append(job.job_id)
    return Decision(starts, preempts, stuck)


def _victims(
    room: _Room, shares: Mapping[str, Share], share: Share, unit: str, job: Job, stays: Sequence[Job]
) -> list[Job] | None:
    """Who must give way so that a job fits; nobody when there is room, None when it has to wait."""
    own = room.of(share.name, unit) + job.instances
    if _is_entitled(room, job, share, unit):
        return _freed(room, unit, job, _borrowing(room, shares, unit, stays))
    if share.borrows and own <= _most(share, unit) and room.fits(job):
        lent = sum(
            max(0, other.limits.get(unit, 0) - room.of(other.name, unit))
            for other in shares.values()
            if other.lends and other.name != share.name
        )
        if own - share.limits.get(unit, 0) <= lent:
            return []
    if share.preempts_within:
        lower = [each for each in stays if each.share == share.name and each.priority < job.priority]
        lower = [each for each in lower if room.unit(each) == unit]
        chosen: list[Job] = []
        for each in sorted(lower, key=lambda one: (one.priority, -one.since)):
            chosen.append(each)
            if own - sum(one.instances for one in chosen) <= share.limits.get(unit, 0):
                return chosen
    return None


def _is_entitled(room: _Room, job: Job, share: Share, unit: str) -> bool:
    return room.of(share.name, unit) + job.instances <= share.limits.get(unit, 0)


def _freed(room: _Room, unit: str, job: Job, candidates: Sequence[Job]) -> list[Job] | None:
    missing = room.used[unit] + job.instances - room.limits[unit]
    chosen: list[Job] = []
    for each in candidates:
        if missing <= 0:
            break
        chosen.append(each)
        missing -= each.instances
    return chosen if missing <= 0 else None


def _borrowing(room: _Room, shares: Mapping[str, Share], unit: str, stays: Sequence[Job]) -> list[Job]:
    """Jobs on capacity that their share is not entitled to, the newest first."""
    found: list[Job] = []
    over = {
        name: room.of(name, unit) - (shares[name].limits.get(unit, 0) if name in shares else 0)
        for name in room.by_share
    }
    for job in sorted(stays, key=lambda each: -each.since):
        if room.unit(job) == unit and over.get(job.share, 0) > 0:
            over[job.share] -= job.instances
            found.append(job)
    return found


def _most(share: Share, unit: str) -> float:
    own = share.limits.get(unit, 0)
    if not share.borrows:
        return own
    return float("inf") if share.borrow_percent < 0 else own * (1 + share.borrow_percent / 100)
