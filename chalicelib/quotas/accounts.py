"""Show accounts, set limits, and check that the counters are right."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.errors import Conflict, PreconditionFailed
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.quotas.check import QuotaCheck, Report
from chalicelib.quotas.position import Position
from chalicelib.quotas.quota import Account, Limits, Owner, month_of
from chalicelib.quotas.service import owners
from chalicelib.quotas.store import LimitsRecord, OwnerPage, QuotaStore, StaleLimits
from chalicelib.table import as_json

# API Gateway gives up after 29 s; a page of jobs and the pause after a difference come on top.
CHECK_SECONDS = 15.0


@dataclass(frozen=True)
class AccountService:
    store: QuotaStore
    checking: QuotaCheck
    audit: Recorder
    now: Clock

    def own(self, caller: Caller) -> list[Account]:
        """The caller's own account and the tenant's."""
        caller.require(Permission.QUOTAS_READ)
        return [self.store.account(owner, month_of(self.now())) for owner in owners(caller.tenant, caller.user)]

    def account(self, caller: Caller, user: str | None) -> tuple[Account, LimitsRecord]:
        """A user's account, or the tenant's; a user who never was here has the defaults and an empty account."""
        caller.require(Permission.QUOTAS_MANAGE)
        owner = Owner(caller.tenant, user)
        (record,) = self.store.limits(owner)
        return self.store.account(owner, month_of(self.now())), record

    def users(self, caller: Caller, limit: int, cursor: str | None) -> OwnerPage:
        caller.require(Permission.QUOTAS_MANAGE)
        after = QuotaStore.cursor(cursor, caller.tenant)
        return self.store.owners(caller.tenant, limit, after)

    def check(self, caller: Caller, cursor: str | None = None) -> tuple[Report, Position | None]:
        """Compare the counters of the caller's tenant with its records, now, for as long as a request may take.

        Args:
            cursor: where an earlier answer stopped.

        Returns:
            What was found, and where to go on; None when all has been checked.
        """
        caller.require(Permission.QUOTAS_MANAGE)
        position = Position.decode(cursor) if cursor else Position()
        return self.checking.step(caller.tenant, position, self.checking.monotonic() + CHECK_SECONDS)

    def set_limits(self, caller: Caller, user: str | None, limits: Limits, version: int | None = None) -> LimitsRecord:
        """Replace an account's limits. One below what is used already only keeps new jobs out.

        Args:
            version: that of the limits which these are to replace; None for whichever there are.

        Raises:
            PreconditionFailed: they have another version by now.
            Conflict: somebody else changed them at the same moment.
        """
        caller.require(Permission.QUOTAS_MANAGE)
        owner = Owner(caller.tenant, user)
        (before,) = self.store.limits(owner)
        if version is not None and version != before.version:
            raise PreconditionFailed(
                f"The limits have version {before.version}, not {version}. Read them and try again."
            )
        action, about = (Action.SET_USER_QUOTA, subject("user", user)) if user else (Action.SET_TENANT_QUOTA, "tenant")
        changed = self.audit.entry(caller, action, about, **_said(limits))
        try:
            self.store.write_limits(self.store.set_limits(owner, before, limits, caller.user, self.now()), changed)
        except StaleLimits:
            if version is not None:
                detail = f"The limits have another version than {version} by now. Read them and try again."
                raise PreconditionFailed(detail) from None
            raise Conflict("Somebody else changed these limits at the same moment. Read them and try again.") from None
        (after,) = self.store.limits(owner)
        return after


def _said(limits: Limits) -> dict[str, str]:
    """The limits that there are, as text."""
    values = {**vars(limits), "max_gpus": as_json(dict(limits.max_gpus)) if limits.max_gpus else None}
    return {name: str(value) for name, value in values.items() if value is not None}
