"""Pools and the reasons for waiting as documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.capacity.pool import LEVELS, Pool
from chalicelib.clock import to_text

if TYPE_CHECKING:
    from chalicelib.capacity.answer import QueueAnswer
    from chalicelib.capacity.importing import ImportReport


def pool(pool: Pool) -> dict[str, Any]:
    return {
        "pool": pool.name,
        "unit": pool.unit,
        "limit": pool.limit,
        "in_use": pool.in_use,
        "waiting": dict(zip(LEVELS, pool.waiting, strict=True)),
        "too_large": pool.parked,
        "half_life_seconds": pool.half_life_seconds,
        "aging_seconds": pool.aging_seconds,
        "preempt_low": pool.preempt_low,
    }


def imported(report: ImportReport, *, dry_run: bool) -> dict[str, Any]:
    """What the account's service quotas allow, beside the limits that are set, or were set before."""
    return {
        "dry_run": dry_run,
        "pools": [
            {
                "pool": each.quota.pool,
                "unit": each.quota.unit,
                "limit_before": each.limit_now,
                "limit": each.quota.limit,
                "changes": each.is_changed,
                "in_use": each.before.in_use if each.before else 0,
                "quotas": [dict(vars(kind)) for kind in each.quota.types],
            }
            for each in report.pools
        ],
        "batch": [
            {
                "quota": each.quota.name,
                "quota_code": each.quota.code,
                "vcpus": int(each.quota.value),
                "kinds": list(each.kinds),
            }
            for each in report.batch
        ],
    }


def answer(answer: QueueAnswer) -> dict[str, Any]:
    return {"job_id": answer.job.job_id, "state": answer.state, "reason": answer.reason, **_details(answer)}


def prospect(answer: QueueAnswer) -> dict[str, Any]:
    """What would happen to a job that is not made yet."""
    return {"would_wait": answer.state == "waiting", "reason": answer.reason, **_details(answer)}


def _details(answer: QueueAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if answer.binding:
        document["binding_limit"] = dict(vars(answer.binding))
        document["held_by"] = {
            "jobs": [
                {
                    "job_id": holder.job_id,
                    "user_id": holder.user,
                    "amount": holder.amount,
                    "expected_end": to_text(holder.expected_end),
                }
                for holder in answer.holders
            ],
            "others": {"amount": answer.held_by_others},
        }
    if answer.level:
        document["priority"] = {
            "submitted": answer.job.priority,
            "now": answer.level,
            "rises_at": to_text(answer.rises_at) if answer.rises_at else None,
        }
    if answer.line:
        line = answer.line
        document |= {
            "jobs_ahead": line.jobs_ahead,
            "jobs_ahead_is_exact": line.is_exact,
            "position": line.jobs_ahead + 1,
            "expected_start": to_text(line.expected_start) if line.expected_start else None,
            "expected_start_basis": line.basis,
        }
    return document
