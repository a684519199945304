"""Show accounts, set limits, and check that the counters are right."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.errors import Conflict
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.quotas.check import QuotaCheck, Report
from chalicelib.quotas.quota import Account, Limits, Owner, month_of
from chalicelib.quotas.service import owners
from chalicelib.quotas.store import LimitsRecord, OwnerPage, QuotaStore, StaleLimits
from chalicelib.table import as_json


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

    def check(self, caller: Caller) -> Report:
        """Compare the counters of the caller's tenant with its records, now."""
        caller.require(Permission.QUOTAS_MANAGE)
        return self.checking.tenant(caller.tenant)

    def set_limits(self, caller: Caller, user: str | None, limits: Limits) -> LimitsRecord:
        """Replace an account's limits. One below what is used already only keeps new jobs out.

        Raises:
            Conflict: somebody else changed them at the same moment.
        """
        caller.require(Permission.QUOTAS_MANAGE)
        owner = Owner(caller.tenant, user)
        (before,) = self.store.limits(owner)
        action, about = (Action.SET_USER_QUOTA, subject("user", user)) if user else (Action.SET_TENANT_QUOTA, "tenant")
        changed = self.audit.entry(caller, action, about, **_said(limits))
        try:
            self.store.write_limits(self.store.set_limits(owner, before, limits, caller.user, self.now()), changed)
        except StaleLimits:
            raise Conflict("Somebody else changed these limits at the same moment. Read them and try again.") from None
        (after,) = self.store.limits(owner)
        return after


def _said(limits: Limits) -> dict[str, str]:
    """The limits that there are, as text."""
    values = {**vars(limits), "max_gpus": as_json(dict(limits.max_gpus)) if limits.max_gpus else None}
    return {name: str(value) for name, value in values.items() if value is not None}
