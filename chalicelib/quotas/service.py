"""What jobs ask of quotas: reserve, settle, and say why not. What a job costs is `charge.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from chalicelib.clock import Clock
from chalicelib.jobs.job import Allocation
from chalicelib.quotas import charge, refusal
from chalicelib.quotas.quota import Amounts, Limits, Owner, Reservation, month_of, shortfalls
from chalicelib.quotas.refusal import Held
from chalicelib.quotas.store import QuotaStore
from chalicelib.table import Item, Lookup, Write


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

    def allowance(self, tenant: str, user: str) -> Lookup[Allowance]:
        """The limits that a submission of this user is under."""
        both = owners(tenant, user)
        wanted = self.store.limits_lookup(*both)

        def read(items: Sequence[Item | None]) -> Allowance:
            return Allowance(both, tuple(record.limits for record in wanted.read(items)))

        return Lookup(wanted.table, wanted.keys, read)

    def reserve(self, allowance: Allowance, wanted: Reservation) -> list[Write]:
        """Writes for the transaction that creates the job; its conditions keep every limit."""
        pairs = zip(allowance.owners, allowance.limits, strict=True)
        return [write for owner, limits in pairs for write in self.store.reserve(owner, limits, wanted)]

    def change(self, allowance: Allowance, held: Reservation, wanted: Reservation) -> list[Write]:
        """Writes for the transaction that gives an open job another reservation; what grows stays within every limit."""
        pairs = zip(allowance.owners, allowance.limits, strict=True)
        return [write for owner, limits in pairs for write in self.store.rereserve(owner, limits, held, wanted)]

    def why_not(self, allowance: Allowance, held: Reservation, wanted: Reservation) -> str | None:
        """Which limits a changed reservation would cross, in words; None when there is room."""
        accounts = [self.store.account(owner, wanted.month) for owner in allowance.owners]
        found = [short for account in accounts for short in shortfalls(account, wanted, held)]
        return "; ".join(refusal.message_of(short) for short in found) or None

    def settle(self, tenant: str, user: str, held: Reservation, used: Amounts) -> list[Write]:
        """Writes for the transaction that ends the job; its condition makes that happen once."""
        return [write for owner in owners(tenant, user) for write in self.store.settle(owner, held, used)]

    def give_back_storage(self, tenant: str, user: str, storage_bytes: int) -> list[Write]:
        """Writes for the transaction that deletes the job."""
        return [self.store.give_back_storage(owner, storage_bytes) for owner in owners(tenant, user)]

    def seconds_left(
        self, allowance: Allowance, allocation: Allocation, month: str | None = None, back: Decimal = Decimal(0)
    ) -> int | None:
        """The longest time limit that the month's money still covers; None when no limit is on money.

        Args:
            month: to which the job is charged; that of now for a new one.
            back: what the job has reserved already and may spend anew.
        """
        if all(limits.max_usd_per_month is None for limits in allowance.limits):
            return None
        charged_to = month or month_of(self.now())
        free = [self.store.account(owner, charged_to).free("cost_usd") for owner in allowance.owners]
        known = [charge.seconds_for(allocation, Decimal(amount) + back) for amount in free if amount is not None]
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


def owners(tenant: str, user: str) -> tuple[Owner, Owner]:
    """The two accounts that every job of a user counts in."""
    return Owner(tenant, user), Owner(tenant)
