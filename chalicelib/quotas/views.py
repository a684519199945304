"""Accounts as documents: limits, and beside each what is used and what is reserved."""

from __future__ import annotations

from typing import Any

from chalicelib.quotas.check import Difference, Report
from chalicelib.quotas.position import Position
from chalicelib.quotas.quota import GB, GPUS, HOUR, Account, Number
from chalicelib.quotas.store import LimitsRecord


def account(each: Account, record: LimitsRecord | None = None) -> dict[str, Any]:
    """An account; `current_…` counts reserved and used together, `reserved` the part that may still come back."""
    document: dict[str, Any] = {
        "scope": each.owner.scope.value,
        "tenant": each.owner.tenant,
        "user_id": each.owner.user,
        "month": each.month,
        "limits": each.limits.to_dict(),
        "current_concurrent_jobs": each.count("jobs"),
        "current_gpu_hours_this_month": _shown(each.count("gpu_seconds"), HOUR),
        "current_cpu_hours_this_month": _shown(each.count("cpu_seconds"), HOUR),
        "current_usd_this_month": _shown(each.count("cost_usd")),
        "current_storage_gb": _shown(each.count("storage_bytes"), GB),
        "current_gpus": {
            name.removeprefix(GPUS): int(count) for name, count in each.now.items() if name.startswith(GPUS) and count
        },
        "reserved": {
            "gpu_hours": _shown(_reserved(each, "gpu_seconds"), HOUR),
            "cpu_hours": _shown(_reserved(each, "cpu_seconds"), HOUR),
            "usd": _shown(_reserved(each, "cost_usd")),
            "storage_gb": _shown(_reserved(each, "storage_bytes"), GB),
        },
    }
    if record is not None:
        document |= {"version": record.version, "updated_at": record.updated_at, "updated_by": record.updated_by}
    return {name: value for name, value in document.items() if value is not None}


def report(found: Report, rest: Position | None = None) -> dict[str, Any]:
    """A part of a check. With `next_cursor` there is more to check, and `progress` says how far it has come."""
    document = _found(found)
    document["next_cursor"] = rest.encode() if rest else None
    document["progress"] = {"phase": rest.phase.value, "after_user": rest.user} if rest else {"phase": "done"}
    return document


def _found(found: Report) -> dict[str, Any]:
    return {
        "owners": found.owners,
        "jobs": found.jobs,
        "differences": [_difference(each) for each in found.differences],
        "in_motion": [{"scope": owner.scope.value, "user_id": owner.user} for owner in found.in_motion],
    }


def _difference(each: Difference) -> dict[str, Any]:
    return {
        "scope": each.owner.scope.value,
        "user_id": each.owner.user,
        "item": each.item,
        "counter": each.counter,
        "recorded": float(each.recorded),
        "recomputed": float(each.recomputed),
    }


def _reserved(each: Account, counter: str) -> Number:
    return each.count(counter) - each.used(counter)


def _shown(amount: Number, divisor: int = 1) -> float:
    return round(float(amount) / divisor, 4)
