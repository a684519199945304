"""A refusal that helps: which limit, its value, what is used, what was asked for, what would fit, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from chalicelib.clock import to_text
from chalicelib.errors import FieldProblem, QuotaExceeded
from chalicelib.jobs.job import Allocation
from chalicelib.quotas import charge
from chalicelib.quotas.quota import (
    GB,
    GPUS,
    HOUR,
    Number,
    Owner,
    Reservation,
    Scope,
    Shortfall,
    is_monthly,
    start_of_next_month,
)


@dataclass(frozen=True)
class Held:
    """What an open job holds, and when it is expected to end."""

    reservation: Reservation
    ends_at: datetime


@dataclass(frozen=True)
class _Words:
    """A counter as users know it: the name of its limit, and its unit."""

    limit: str
    unit: str
    divisor: int = 1
    field: str | None = None

    def shown(self, amount: Number) -> float:
        return round(float(Decimal(amount) / self.divisor), 4)


_WORDS = {
    "jobs": _Words("max_concurrent_jobs", "jobs"),
    "gpu_seconds": _Words("max_gpu_hours_per_month", "GPU hours", HOUR, "config.max_runtime_seconds"),
    "cpu_seconds": _Words("max_cpu_hours_per_month", "CPU hours", HOUR, "config.max_runtime_seconds"),
    "cost_usd": _Words("max_usd_per_month", "USD", 1, "config.max_runtime_seconds"),
    "storage_bytes": _Words("max_storage_gb", "GB", GB, "config.resource_requirements.disk_gb"),
}


def of(
    found: Sequence[Shortfall],
    allocation: Allocation,
    wanted: Reservation,
    held_by: Callable[[Owner], Sequence[Held]],
    now: datetime,
) -> QuotaExceeded:
    """The error for these shortfalls."""
    entries, problems, moments = [], [], []
    for short in found:
        words = _words(short.counter)
        fits_at = _fits_at(short, wanted, held_by, now)
        moments.append(fits_at)
        free = max(short.most - short.count, 0)
        entries.append(
            {
                "scope": short.owner.scope.value,
                "limit": words.limit,
                "unit": words.unit,
                "limit_value": words.shown(short.most),
                "used": words.shown(short.count),
                "requested": words.shown(short.wanted),
                "fits_at": to_text(fits_at) if fits_at else None,
            }
        )
        cure = _cure(short, free, allocation, fits_at)
        problems.append(FieldProblem(words.field or "config.resource_requirements", message_of(short), cure))
    detail = "; ".join(f"The job {problem.message}." for problem in problems)
    # It fits when every limit has room again; never, when one of them never has.
    fits_at = max((moment for moment in moments if moment), default=None) if all(moments) else None
    return QuotaExceeded(
        detail, problems, extra={"limits": entries, "fits_at": to_text(fits_at) if fits_at else None}, retry_at=fits_at
    )


def message_of(short: Shortfall) -> str:
    words = _words(short.counter)
    return (
        f"needs {words.shown(short.wanted):g} {words.unit}; {_whose(short.owner)} limit {words.limit} is "
        f"{words.shown(short.most):g}, of which {words.shown(short.count):g} are used or reserved"
    )


def _words(counter: str) -> _Words:
    if counter.startswith(GPUS):
        gpu_type = counter.removeprefix(GPUS)
        return _Words(f"max_gpus.{gpu_type}", f"{gpu_type} GPUs", 1, "config.resource_requirements.gpu_count")
    return _WORDS[counter]


def _whose(owner: Owner) -> str:
    return "your" if owner.scope is Scope.USER else "your tenant's"


def _fits_at(
    short: Shortfall, wanted: Reservation, held_by: Callable[[Owner], Sequence[Held]], now: datetime
) -> datetime | None:
    """When there will be room, as far as is known: at the next month, or when enough open jobs have ended."""
    if not short.fits_ever:
        return None
    if is_monthly(short.counter):
        return start_of_next_month(wanted.month)
    missing = short.count + short.wanted - short.most
    for held in sorted(held_by(short.owner), key=lambda each: each.ends_at):
        missing -= held.reservation.held().get(short.counter, 0)
        if missing <= 0:
            return max(held.ends_at, now)
    return None


def _cure(short: Shortfall, free: Number, allocation: Allocation, fits_at: datetime | None) -> str:
    ways = []
    if is_monthly(short.counter) and (seconds := _seconds_within(short.counter, free, allocation)) > 0:
        ways.append(f"set max_runtime_seconds to at most {seconds}")
    if short.counter == "storage_bytes" and free >= 20 * GB:
        ways.append(f"use disk_gb {int(free // GB)} or less")
    if fits_at is not None:
        ways.append(f"submit again after {to_text(fits_at)}")
    ways.append("ask an administrator for a higher limit")
    text = ", or ".join(ways)
    return f"{text[0].upper()}{text[1:]}."


def _seconds_within(counter: str, free: Number, allocation: Allocation) -> int:
    """The longest time limit that fits into what is free of a monthly counter; 0 when none does."""
    if counter == "cost_usd":
        seconds = charge.seconds_for(allocation, Decimal(free))
    else:
        units = allocation.gpu_count if counter == "gpu_seconds" else allocation.cpu_cores
        seconds = int(free) // max(1, units * allocation.instance_count) - charge.STOP_GRACE_SECONDS
    return seconds if seconds >= charge.MIN_TIME_LIMIT_SECONDS else 0
