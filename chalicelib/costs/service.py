"""Who may see what was used and what it cost. Nothing here changes anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.clock import Clock
from chalicelib.costs.receipt import Sealed
from chalicelib.costs.signer import PublicKey, Signer
from chalicelib.costs.store import UsagePage, UsageStore
from chalicelib.costs.usage import Summary, SummaryKind
from chalicelib.errors import FieldProblem, InvalidRequest, NotThereYet
from chalicelib.identity.caller import Caller, is_user
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.service import JobService
from chalicelib.quotas.quota import month_of

# `finish_job` makes it right after the job's end; where it fails it is repeated for some minutes.
SEALED_WITHIN = timedelta(minutes=15)
_A_MOMENT = timedelta(seconds=1)
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class CostService:
    jobs: JobService
    store: UsageStore
    signer: Signer
    now: Clock

    def receipt(self, caller: Caller, job_id: str) -> Sealed:
        """
        Raises:
            NotFound: no such job that the caller may see.
            NotThereYet: it has not ended, or it ended a moment ago and its receipt is being sealed.
        """
        caller.require(Permission.RECEIPTS_READ)
        job = self.jobs.find(caller, job_id, Permission.JOBS_READ_ALL)
        found = self.store.receipt(job.tenant, job.job_id)
        if found is None and not job.status.is_finished:
            detail = f"The job is {job.status.value}: its receipt is made when it has ended."
            raise NotThereYet(detail, "job-not-finished")
        if found is None:
            now = self.now()
            late = " It should be there by now; tell an operator." if now > job.updated_at + SEALED_WITHIN else ""
            detail = f"The job has ended, and its receipt is being sealed. Ask again.{late}"
            raise NotThereYet(detail, "being-sealed", now + _A_MOMENT)
        return found

    def public_key(self, caller: Caller) -> PublicKey:
        caller.require(Permission.USAGE_READ)
        return self.signer.public_key

    def rows(
        self, caller: Caller, month: str | None, user: str | None, limit: int, offset: int, cursor: str | None
    ) -> UsagePage:
        """A month of the usage log, newest first: own rows, or everybody's in the tenant with the permission."""
        if not caller.may(Permission.USAGE_READ_ALL):
            caller.require(Permission.USAGE_READ)
            if user not in {None, caller.user}:
                return UsagePage((), None)
            user = caller.user
        if user is not None and not is_user(user):
            return UsagePage((), None)
        wanted = self._month(month)
        after = UsageStore.cursor(cursor, caller.tenant, wanted, user)
        return self.store.rows(caller.tenant, wanted, user, limit, offset, after)

    def summaries(self, caller: Caller, month: str | None, kind: SummaryKind) -> list[Summary]:
        """A month's sums. Those of others, of the tenant, its frameworks and its names need the permission for all."""
        if not caller.may(Permission.USAGE_READ_ALL):
            caller.require(Permission.USAGE_READ)
        wanted = self._month(month)
        if kind is SummaryKind.USER and not caller.may(Permission.USAGE_READ_ALL):
            own = self.store.summary(caller.tenant, wanted, kind, caller.user)
            return [own] if own else []
        caller.require(Permission.USAGE_READ_ALL)
        return list(self.store.summaries(caller.tenant, wanted, kind))

    def _month(self, text: str | None) -> str:
        """The month that is asked for; without one, that of now."""
        if text is None:
            return month_of(self.now())
        if not _MONTH.fullmatch(text):
            raise InvalidRequest.about(FieldProblem("month", f"is {text[:40]!r}", "Use YYYY-MM, for example 2026-11."))
        return text
