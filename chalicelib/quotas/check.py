"""Recomputes every counter of a tenant from its jobs, and compares: the difference must be none, ever.

Counters move while they are checked. An account is compared only if its version is the same before and after its jobs
were read; one that moved is read again, and in the end said to be in motion. A difference counts when a second look, after
a pause in which the indexes have caught up with the table, still finds it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

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
    """What a check found.

    Attributes:
        in_motion: owners whose counters changed during each look.
    """

    owners: int = 0
    jobs: int = 0
    differences: tuple[Difference, ...] = ()
    in_motion: tuple[Owner, ...] = ()


Counters = Mapping[str, Mapping[str, Number]]
"""By item (`now`, `month#2026-11`), by counter."""


def recompute(tenant: str, jobs: Iterable[Charged]) -> dict[Owner, Counters]:
    """What the counters of every owner must be."""
    sums: dict[Owner, dict[str, dict[str, Number]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for job in jobs:
        for owner in (Owner(tenant, job.user), Owner(tenant)):
            for item, counter, amount in _counted(job):
                sums[owner][item][counter] += amount
    return {owner: {item: dict(counters) for item, counters in items.items()} for owner, items in sums.items()}


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
        jobs_of: every job of a tenant, deleted ones too.
    """

    store: QuotaStore
    jobs_of: Callable[[str], Iterable[Charged]]
    sleep: Callable[[float], None]

    def tenant(self, tenant: str) -> Report:
        """Check all accounts of a tenant."""
        report = self._look(tenant)
        if report.differences:
            self.sleep(INDEX_LAG_SECONDS)
            report = self._look(tenant)
        return report

    def _look(self, tenant: str) -> Report:
        differences: dict[Owner, tuple[Difference, ...]] = {}
        moved: tuple[Owner, ...] = ()
        for _ in range(ROUNDS):
            before = self.store.accounts(tenant)
            jobs = list(self.jobs_of(tenant))
            after = self.store.accounts(tenant)
            right = recompute(tenant, jobs)
            moved = tuple(owner for owner in after if _version(before.get(owner)) != _version(after[owner]))
            still = {owner: after.get(owner, {}) for owner in {*after, *right} if owner not in moved}
            differences = {
                owner: tuple(compare(owner, _counters(items), right.get(owner, {}))) for owner, items in still.items()
            }
            if not moved:
                break
        found = tuple(each for owner in differences for each in differences[owner])
        return Report(len(after), len(jobs), found, moved)


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


def _version(items: Mapping[str, Stored] | None) -> dict[str, int]:
    return {name: item.version for name, item in (items or {}).items()}


def _counters(items: Mapping[str, Stored]) -> Counters:
    return {name: item.counters for name, item in items.items()}
