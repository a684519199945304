"""Limits and accounts: frozen values, no I/O.

An account belongs to a user or to a whole tenant. It counts what is held now (jobs, GPUs, storage) and what was used in
each month (GPU time, CPU time, money). What jobs have reserved counts as used until they are settled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

GB = 10**9
HOUR = 3600
Number = int | Decimal


class Scope(Enum):
    USER = "user"
    TENANT = "tenant"


@dataclass(frozen=True)
class Owner:
    """Whose account: a user's, or the tenant's as a whole."""

    tenant: str
    user: str | None = None

    @property
    def scope(self) -> Scope:
        return Scope.TENANT if self.user is None else Scope.USER


@dataclass(frozen=True)
class Limits:
    """What an account may hold and use; None is no limit.

    Attributes:
        max_gpus: GPUs at once, by type; a type that is not named has no limit.
        max_runtime_seconds: of a single job.
    """

    max_concurrent_jobs: int | None = None
    max_gpu_hours_per_month: int | None = None
    max_cpu_hours_per_month: int | None = None
    max_storage_gb: int | None = None
    max_usd_per_month: Decimal | None = None
    max_runtime_seconds: int | None = None
    max_gpus: Mapping[str, int] = field(default_factory=dict)

    def most(self, counter: str) -> Number | None:
        """The limit of a counter, in the counter's own unit."""
        match counter:
            case "jobs":
                return self.max_concurrent_jobs
            case "gpu_seconds":
                return _times(self.max_gpu_hours_per_month, HOUR)
            case "cpu_seconds":
                return _times(self.max_cpu_hours_per_month, HOUR)
            case "storage_bytes":
                return _times(self.max_storage_gb, GB)
            case "cost_usd":
                return self.max_usd_per_month
        return self.max_gpus.get(counter.removeprefix(GPUS))

    def to_dict(self) -> dict[str, Any]:
        values = {**vars(self), "max_gpus": dict(self.max_gpus)}
        return {**values, "max_usd_per_month": _as_float(self.max_usd_per_month)}


# service.md's own figures: what a user has when nobody decided otherwise.
USER_DEFAULTS = Limits(
    max_concurrent_jobs=5, max_gpu_hours_per_month=100, max_cpu_hours_per_month=1000, max_storage_gb=1000
)
TENANT_DEFAULTS = Limits()

GPUS = "gpus_"
MONTHLY = ("gpu_seconds", "cpu_seconds", "cost_usd")


def is_monthly(counter: str) -> bool:
    return counter in MONTHLY


@dataclass(frozen=True)
class Amounts:
    """What one job takes, reserved or used."""

    gpu_seconds: int = 0
    cpu_seconds: int = 0
    cost_usd: Decimal = Decimal(0)
    storage_bytes: int = 0

    def monthly(self) -> dict[str, Number]:
        return {"gpu_seconds": self.gpu_seconds, "cpu_seconds": self.cpu_seconds, "cost_usd": self.cost_usd}

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "cost_usd": str(self.cost_usd)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Amounts:
        return cls(**{**values, "cost_usd": Decimal(str(values["cost_usd"]))})


@dataclass(frozen=True)
class Reservation:
    """What a job holds from its creation to its end.

    Attributes:
        month: `2026-11`; the month of submission, to which the job is charged whole, whenever it ends.
        gpus: at once, of `gpu_type`.
    """

    month: str
    most: Amounts
    gpus: int = 0
    gpu_type: str | None = None

    def held(self) -> dict[str, Number]:
        """The counters of the present that it raises."""
        held: dict[str, Number] = {"jobs": 1, "storage_bytes": self.most.storage_bytes}
        return {**held, f"{GPUS}{self.gpu_type}": self.gpus} if self.gpus else held

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "most": self.most.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reservation:
        return cls(**{**values, "most": Amounts.from_dict(values["most"])})


@dataclass(frozen=True)
class Account:
    """The counters of one owner: of the present, and of one month. `used_*` is the part that is no longer reserved."""

    owner: Owner
    limits: Limits
    month: str
    now: Mapping[str, Number] = field(default_factory=dict)
    of_month: Mapping[str, Number] = field(default_factory=dict)

    def count(self, counter: str) -> Number:
        """Used and reserved together."""
        return (self.of_month if is_monthly(counter) else self.now).get(counter, 0)

    def used(self, counter: str) -> Number:
        """What finished jobs took."""
        return (self.of_month if is_monthly(counter) else self.now).get(f"used_{counter}", 0)

    def free(self, counter: str) -> Number | None:
        """How much more fits; None without a limit, below zero where a limit was lowered."""
        most = self.limits.most(counter)
        return None if most is None else most - self.count(counter)


@dataclass(frozen=True)
class Shortfall:
    """One limit that a job does not fit under."""

    owner: Owner
    counter: str
    most: Number
    count: Number
    wanted: Number

    @property
    def fits_ever(self) -> bool:
        return self.wanted <= self.most


def growth(held: Reservation, wanted: Reservation) -> tuple[dict[str, Number], dict[str, Number]]:
    """By how much each counter changes when one reservation takes another's place: those of the present, of the month."""
    before, after = held.held(), wanted.held()
    now = {name: after.get(name, 0) - before.get(name, 0) for name in {**before, **after}}
    earlier = held.most.monthly()
    return now, {name: amount - earlier[name] for name, amount in wanted.most.monthly().items()}


def shortfalls(account: Account, wanted: Reservation, held: Reservation | None = None) -> Iterator[Shortfall]:
    """The limits of an account that a reservation would cross.

    Args:
        held: what it would take the place of; then `wanted` of a shortfall is what comes on top.
    """
    if held is None:
        amounts = {**wanted.held(), **wanted.most.monthly()}
    else:
        now, month = growth(held, wanted)
        amounts = {name: amount for name, amount in {**now, **month}.items() if amount > 0}
    for counter, amount in amounts.items():
        free, most = account.free(counter), account.limits.most(counter)
        if most is not None and free is not None and amount > max(free, 0):
            yield Shortfall(account.owner, counter, most, account.count(counter), amount)


def month_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m")


def start_of_next_month(month: str) -> datetime:
    year, number = (int(part) for part in month.split("-"))
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _times(amount: int | None, factor: int) -> int | None:
    return None if amount is None else amount * factor


def _as_float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
