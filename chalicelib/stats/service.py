"""Who may see which statistics, and what each is read from. Nothing here changes anything."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.clock import Clock
from chalicelib.cursor import Cursor, not_ours
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.job import Job, JobFilter, JobStatus
from chalicelib.jobs.service import JobService
from chalicelib.metrics.point import MetricCount
from chalicelib.metrics.store import MetricStore
from chalicelib.models.model import ModelFilter
from chalicelib.models.service import ModelService
from chalicelib.models.store import ModelPage
from chalicelib.quotas.quota import Account, Owner, month_of
from chalicelib.quotas.store import QuotaStore
from chalicelib.stats.framework import Period, Totals
from chalicelib.stats.store import FrameworkStore

# As jobs go from one to the other: who begins to run while the pages are read may be told twice, and is not missed.
_ACTIVE = (JobStatus.PENDING, JobStatus.RUNNING)
_LIST = "status"


@dataclass(frozen=True)
class ActiveJob:
    job: Job
    metrics: MetricCount


@dataclass(frozen=True)
class ActivePage:
    jobs: tuple[ActiveJob, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class AccountPage:
    accounts: tuple[Account, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class StatsService:
    jobs: JobService
    metrics: MetricStore
    quotas: QuotaStore
    models: ModelService
    frameworks: FrameworkStore
    now: Clock

    def active_jobs(self, caller: Caller, user: str | None, limit: int, cursor: str | None) -> ActivePage:
        """Pending jobs, then running ones, each newest first: own ones, or everybody's in the tenant with the permission.

        Args:
            user: whose; None for all that the caller may see.
        """
        status, position = _position(cursor)
        found: list[Job] = []
        following: Cursor | None = None
        for current in _ACTIVE[_ACTIVE.index(status) :]:
            wanted = JobFilter(current, user)
            page = self.jobs.search(caller, wanted, limit - len(found), 0, position)
            found += page.jobs
            position = None
            if page.cursor is not None:
                following = Cursor({**page.cursor.key, _LIST: current.value})
                break
            if len(found) == limit and current is not _ACTIVE[-1]:
                following = Cursor({_LIST: _ACTIVE[_ACTIVE.index(current) + 1].value})
                break
        counts = self.metrics.counts(caller.tenant, [job.job_id for job in found])
        return ActivePage(tuple(ActiveJob(*pair) for pair in zip(found, counts, strict=True)), following)

    def users(self, caller: Caller, limit: int, cursor: str | None) -> AccountPage:
        """This month's accounts, by user: the caller's own, or with the permission of all who ever had a job."""
        caller.require(Permission.QUOTAS_READ)
        after, month = QuotaStore.cursor(cursor, caller.tenant), month_of(self.now())
        if not caller.may(Permission.QUOTAS_MANAGE):
            return AccountPage((self.quotas.account(Owner(caller.tenant, caller.user), month),), None)
        page = self.quotas.owners(caller.tenant, limit, after)
        return AccountPage(tuple(self.quotas.accounts(page.owners, month)), page.cursor)

    def models_of(self, caller: Caller, wanted: ModelFilter, limit: int, cursor: str | None) -> ModelPage:
        """The tenant's models, newest first: how good each is and who serves it stand in its record."""
        return self.models.search(caller, wanted, limit, 0, cursor)

    def frameworks_of(self, caller: Caller, first: str | None, last: str | None) -> tuple[Period, dict[str, Totals]]:
        """What became of the tenant's jobs that were submitted between two days, by framework.

        Raises:
            InvalidRequest: they are no two days of which one is the earlier, or more than a year apart.
        """
        caller.require(Permission.JOBS_READ_ALL)
        period = Period.of(first, last, self.now())
        return period, self.frameworks.between(caller.tenant, period)


def _position(text: str | None) -> tuple[JobStatus, str | None]:
    """In which of the lists of active jobs a page begins, and where in it."""
    cursor = Cursor.decode(text)
    if cursor is None:
        return _ACTIVE[0], None
    within = cursor.key.pop(_LIST, None)
    status = next((each for each in _ACTIVE if each.value == within), None)
    if status is None:
        raise not_ours()
    return status, cursor.encode() if cursor.key else None
