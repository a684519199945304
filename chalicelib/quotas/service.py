"""Reserve, settle, explain a refusal, and change limits. What a job costs is `charge.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.cursor import Cursor
from chalicelib.errors import Conflict
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.job import Allocation
from chalicelib.quotas import charge, refusal
from chalicelib.quotas.check import QuotaCheck, Report
from chalicelib.quotas.quota import Account, Amounts, Limits, Owner, Reservation, month_of, shortfalls
from chalicelib.quotas.refusal import Held
from chalicelib.quotas.store import LimitsRecord, OwnerPage, QuotaStore, StaleLimits
from chalicelib.table import Write, as_json


@dataclass(frozen=True)
class Allowance:
    """The limits that a submission is under: the user's first, then the tenant's."""

    owners: tuple[Owner, ...]
    limits: tuple[Limits, ...]

    @property
    def max_runtime_seconds(self) -> int | None:
        known = [each.max_runtime_seconds for each in self.limits if each.max_runtime_seconds is not None]
        return min(known, default=None)


@dataclass(frozen=True)
class QuotaService:
    store: QuotaStore
    now: Clock
    audit: Recorder

    def allowance(self, tenant: str, user: str) -> Allowance:
        owners = (Owner(tenant, user), Owner(tenant))
        return Allowance(owners, tuple(record.limits for record in self.store.limits(*owners)))

    def reserve(self, allowance: Allowance, wanted: Reservation) -> list[Write]:
        """Writes for the transaction that creates the job; its conditions keep every limit."""
        pairs = zip(allowance.owners, allowance.limits, strict=True)
        return [write for owner, limits in pairs for write in self.store.reserve(owner, limits, wanted)]

    def settle(self, tenant: str, user: str, held: Reservation, used: Amounts) -> list[Write]:
        """Writes for the transaction that ends the job; its condition makes that happen once."""
        return [write for owner in _owners(tenant, user) for write in self.store.settle(owner, held, used)]

    def give_back_storage(self, tenant: str, user: str, storage_bytes: int) -> list[Write]:
        """Writes for the transaction that deletes the job."""
        return [self.store.give_back_storage(owner, storage_bytes) for owner in _owners(tenant, user)]

    def seconds_left(self, allowance: Allowance, allocation: Allocation) -> int | None:
        """The longest time limit that the month's money still covers; None when no limit is on money."""
        if all(limits.max_usd_per_month is None for limits in allowance.limits):
            return None
        month = month_of(self.now())
        free = [self.store.account(owner, month).free("cost_usd") for owner in allowance.owners]
        known = [charge.seconds_for(allocation, Decimal(amount)) for amount in free if amount is not None]
        return min(known, default=None)

    def refuse(
        self,
        allowance: Allowance,
        allocation: Allocation,
        wanted: Reservation,
        held_by: Callable[[Owner], Sequence[Held]],
    ) -> None:
        """Say why a reservation does not fit, if it does not.

        Args:
            held_by: the open jobs of an owner, asked for only to say when room is expected.

        Raises:
            QuotaExceeded: names each limit that is crossed. When none is, the room came back meanwhile.
        """
        accounts = [self.store.account(owner, wanted.month) for owner in allowance.owners]
        found = [short for account in accounts for short in shortfalls(account, wanted)]
        if found:
            raise refusal.of(found, allocation, wanted, held_by, self.now())

    def own(self, caller: Caller) -> list[Account]:
        """The caller's own account and the tenant's."""
        caller.require(Permission.QUOTAS_READ)
        return [self.store.account(owner, month_of(self.now())) for owner in _owners(caller.tenant, caller.user)]

    def account(self, caller: Caller, user: str | None) -> tuple[Account, LimitsRecord]:
        """A user's account, or the tenant's; a user who never was here has the defaults and an empty account."""
        caller.require(Permission.QUOTAS_MANAGE)
        owner = Owner(caller.tenant, user)
        (record,) = self.store.limits(owner)
        return self.store.account(owner, month_of(self.now())), record

    def users(self, caller: Caller, limit: int, cursor: str | None) -> OwnerPage:
        caller.require(Permission.QUOTAS_MANAGE)
        after: Cursor | None = QuotaStore.cursor(cursor, caller.tenant)
        return self.store.owners(caller.tenant, limit, after)

    def tenants(self) -> Iterator[str]:
        """Every tenant that ever had a job."""
        return self.store.tenants()

    def check(self, caller: Caller, check: QuotaCheck) -> Report:
        """Compare the counters of the caller's tenant with its records, now."""
        caller.require(Permission.QUOTAS_MANAGE)
        return check.tenant(caller.tenant)

    def set_limits(self, caller: Caller, user: str | None, limits: Limits) -> LimitsRecord:
        """Replace an account's limits. One below what is used already only keeps new jobs out.

        Raises:
            Conflict: somebody else changed them at the same moment.
        """
        caller.require(Permission.QUOTAS_MANAGE)
        owner = Owner(caller.tenant, user)
        (before,) = self.store.limits(owner)
        action, about = (Action.SET_USER_QUOTA, subject("user", user)) if user else (Action.SET_TENANT_QUOTA, "tenant")
        entry = self.audit.entry(caller, action, about, **_said(limits))
        try:
            self.store.write_limits(*self.store.set_limits(owner, before, limits, caller.user, self.now()), entry)
        except StaleLimits:
            raise Conflict("Somebody else changed these limits at the same moment. Read them and try again.") from None
        (after,) = self.store.limits(owner)
        return after


def _said(limits: Limits) -> dict[str, str]:
    """The limits that there are, as text."""
    values = {**vars(limits), "max_gpus": as_json(dict(limits.max_gpus)) if limits.max_gpus else None}
    return {name: str(value) for name, value in values.items() if value is not None}


def _owners(tenant: str, user: str) -> tuple[Owner, Owner]:
    return Owner(tenant, user), Owner(tenant)
