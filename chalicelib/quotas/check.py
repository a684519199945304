"""Recomputes every counter of a tenant from its jobs, and compares: the difference must be none, ever.

    users     each account against the jobs of its user
    tenant    the tenant's account against the sum of its users' accounts
    records   every job has a user with an account

So each counter is compared with the records, and nothing larger than one account is kept in mind: a check may stop at any
moment, say where (`position.py`), and go on from there in another process.

Counters move while they are checked. An account is compared only if its version is the same before and after what it is
compared with was read; one that moved is looked at again, and in the end said to be in motion. A difference counts when a
second look, after a pause in which the indexes have caught up with the table, still finds it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from chalicelib.quotas.position import Counters, Look, Phase, Position
from chalicelib.quotas.quota import Amounts, Number, Owner, Reservation
from chalicelib.quotas.store import QuotaStore, Stored

ROUNDS = 5
INDEX_LAG_SECONDS = 2.0


@dataclass(frozen=True)
class Charged:
    """A job as the counters see it: what it holds while it is open, what it took once it has ended."""

    user: str
    held: Reservation
    used: Amounts | None


@dataclass(frozen=True)
class Difference:
    """A counter that is not what the records say."""

    owner: Owner
    item: str
    counter: str
    recorded: Number
    recomputed: Number


@dataclass(frozen=True)
class Report:
    """What a check found, or a part of it.

    Attributes:
        in_motion: owners whose counters changed during each look.
    """

    owners: int = 0
    jobs: int = 0
    differences: tuple[Difference, ...] = ()
    in_motion: tuple[Owner, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report(
            self.owners + other.owners,
            self.jobs + other.jobs,
            self.differences + other.differences,
            self.in_motion + other.in_motion,
        )


JobsPage = Callable[[str, str | None, bool, str | None], tuple[list[Charged], str | None]]
"""Tenant, user (None: everybody), whether deleted ones, and where to go on → some jobs, and where to go on after them."""


def counted(jobs: Iterable[Charged]) -> Counters:
    """What the counters of one account must be if these are its jobs."""
    sums: dict[str, dict[str, Number]] = defaultdict(lambda: defaultdict(int))
    for job in jobs:
        for item, counter, amount in _counted(job):
            sums[item][counter] += amount
    return {item: dict(counters) for item, counters in sums.items()}


def added(some: Counters, more: Counters) -> Counters:
    return {
        item: {
            counter: some.get(item, {}).get(counter, 0) + more.get(item, {}).get(counter, 0)
            for counter in {*some.get(item, {}), *more.get(item, {})}
        }
        for item in {*some, *more}
    }


def compare(owner: Owner, recorded: Counters, recomputed: Counters) -> Iterator[Difference]:
    for item in sorted({*recorded, *recomputed}):
        there, right = recorded.get(item, {}), recomputed.get(item, {})
        for counter in sorted({*there, *right}):
            if there.get(counter, 0) != right.get(counter, 0):
                yield Difference(owner, item, counter, there.get(counter, 0), right.get(counter, 0))


@dataclass(frozen=True)
class QuotaCheck:
    """
    Args:
        jobs: pages of a tenant's or a user's jobs.
        monotonic: seconds, for when to stop.
    """

    store: QuotaStore
    jobs: JobsPage
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]

    def tenant(self, tenant: str) -> Report:
        """Check all accounts of a tenant, however long that takes."""
        report, position = self.step(tenant, Position(), math.inf)
        assert position is None  # noqa: S101  nothing stops it
        return report

    def step(self, tenant: str, position: Position, until: float) -> tuple[Report, Position | None]:
        """Go on from a position until a moment, or a little longer.

        Returns:
            What was found on the way, and where to go on; None when all has been checked.
        """
        report = Report()
        at: Position | None = position
        while at is not None:
            found, at = self._part(tenant, at, until)
            report += found
            if self.monotonic() >= until:
                break
        return report, at

    def _part(self, tenant: str, at: Position, until: float) -> tuple[Report, Position | None]:
        match at.phase:
            case Phase.USERS:
                return self._users(tenant, at, until)
            case Phase.TENANT:
                return self._tenant(Owner(tenant), at, until)
            case Phase.RECORDS:
                return self._records(tenant, at, until)

    def _users(self, tenant: str, at: Position, until: float) -> tuple[Report, Position | None]:
        report = Report()
        for owner in self.store.owners_after(tenant, at.user):
            found, look = self._user(owner, at.look, until)
            if look is not None:
                return report, replace(at, look=look)
            report, at = report + found, Position(Phase.USERS, owner.user)
            if self.monotonic() >= until:
                return report, at
        return report, Position(Phase.TENANT)

    def _user(self, owner: Owner, look: Look | None, until: float) -> tuple[Report, Look | None]:
        """One account against its jobs; or as far as one came."""
        look = look or Look(_versions(self.store.items(owner)))
        while True:
            while not look.is_read:
                jobs, cursor = self.jobs(owner.tenant, owner.user, look.is_deleted, look.cursor)
                look = replace(look, sums=added(look.sums, counted(jobs)), jobs=look.jobs + len(jobs)).past(cursor)
                if not look.is_read and self.monotonic() >= until:
                    return Report(), look
            found, again = self._judged(owner, look)
            if again is None:
                return found, None
            look = again

    def _tenant(self, owner: Owner, at: Position, until: float) -> tuple[Report, Position | None]:
        """The tenant's account against the sum of its users'."""
        look, user = at.look or Look(_versions(self.store.items(owner))), at.user
        while True:
            for each in self.store.owners_after(owner.tenant, user):
                look = replace(look, sums=added(look.sums, _counters(self.store.items(each))))
                user = each.user
                if self.monotonic() >= until:
                    return Report(), Position(Phase.TENANT, user, look)
            found, again = self._judged(owner, look)
            if again is None:
                return found, Position(Phase.RECORDS)
            look, user = again, None

    def _judged(self, owner: Owner, look: Look) -> tuple[Report, Look | None]:
        """What a finished look says, or the next look."""
        recorded = self.store.items(owner)
        if _versions(recorded) != look.versions:
            if look.round >= ROUNDS:
                return Report(1, look.jobs, in_motion=(owner,)), None
            return Report(), Look(_versions(recorded), round=look.round + 1, is_second=look.is_second)
        differences = tuple(compare(owner, _counters(recorded), look.sums))
        if differences and not look.is_second:
            self.sleep(INDEX_LAG_SECONDS)
            return Report(), Look(_versions(self.store.items(owner)), is_second=True)
        return Report(1, look.jobs, differences), None

    def _records(self, tenant: str, at: Position, until: float) -> tuple[Report, Position | None]:
        """Jobs whose user has no account at all; each such user is checked like the others."""
        look, report = at.look or Look({}), Report()
        # Those found before are noted where sums would be.
        known = {*look.sums, *(owner.user for owner in self.store.owners_after(tenant, None))}
        while not look.is_read:
            jobs, cursor = self.jobs(tenant, None, look.is_deleted, look.cursor)
            for user in sorted({job.user for job in jobs} - known):
                known.add(user)
                look = replace(look, sums={**look.sums, user: {}})
                report += self._user(Owner(tenant, user), None, math.inf)[0]
            look = look.past(cursor)
            if not look.is_read and self.monotonic() >= until:
                return report, Position(Phase.RECORDS, look=look)
        return report, None


def _counted(job: Charged) -> Iterator[tuple[str, str, Number]]:
    month = f"month#{job.held.month}"
    if job.used is None:
        yield from (("now", counter, amount) for counter, amount in job.held.held().items())
        yield from ((month, counter, amount) for counter, amount in job.held.most.monthly().items())
        return
    yield "now", "storage_bytes", job.used.storage_bytes
    yield "now", "used_storage_bytes", job.used.storage_bytes
    for counter, amount in job.used.monthly().items():
        yield month, counter, amount
        yield month, f"used_{counter}", amount


def _versions(items: Mapping[str, Stored]) -> dict[str, int]:
    return {name: item.version for name, item in items.items()}


def _counters(items: Mapping[str, Stored]) -> Counters:
    return {name: item.counters for name, item in items.items()}
