"""Statistics as documents: the columns of the contract's views, and a few beside them. What is not known is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.clock import to_text
from chalicelib.jobs import views as job_views
from chalicelib.models.model import Model, Use
from chalicelib.quotas import views as quota_views
from chalicelib.quotas.quota import Account
from chalicelib.stats.framework import Period, Totals
from chalicelib.stats.service import ActiveJob

_SCORES = ("accuracy", "precision", "recall", "f1_score")
_SHARES = {
    "jobs_utilization_percent": "jobs",
    "gpu_utilization_percent": "gpu_seconds",
    "cpu_utilization_percent": "cpu_seconds",
    "storage_utilization_percent": "storage_bytes",
    "usd_utilization_percent": "cost_usd",
}


def active_job(each: ActiveJob) -> dict[str, Any]:
    """A job as lists show it, and what it has measured so far."""
    last = each.metrics.last_at
    return {
        **job_views.summary(each.job),
        "metric_count": each.metrics.points,
        **({"last_metric_timestamp": to_text(last)} if last else {}),
    }


def user(account: Account) -> dict[str, Any]:
    """Limits, what is used and reserved together, and the one as a share of the other."""
    shown = quota_views.account(account)
    limits = {name: value for name, value in shown["limits"].items() if value is not None}
    use = {name: value for name, value in shown.items() if name.startswith("current_")}
    shares = {name: _share(account, counter) for name, counter in _SHARES.items()}
    known = {name: share for name, share in shares.items() if share is not None}
    return {
        "user_id": shown["user_id"],
        "month": account.month,
        **limits,
        **use,
        "reserved": shown["reserved"],
        **known,
    }


def _share(account: Account, counter: str) -> float | None:
    """In percent; None without a limit, and of a limit that leaves nothing."""
    most = account.limits.most(counter)
    return round(float(account.count(counter)) / float(most) * 100, 4) if most else None


def model(each: Model) -> dict[str, Any]:
    scores = {name: each.metrics[name] for name in _SCORES if name in each.metrics}
    return {
        "id": each.model_id,
        "name": each.name,
        "version": each.version,
        "framework": each.framework,
        "status": each.status.value,
        **scores,
        "deployment_count": len(each.used_for(Use.CLAIMED, Use.SERVED)),
    }


def frameworks(period: Period, found: Mapping[str, Totals]) -> dict[str, Any]:
    return {
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "frameworks": [_framework(name, totals) for name, totals in found.items()],
    }


def _framework(name: str, totals: Totals) -> dict[str, Any]:
    mean = totals.mean_seconds
    return {
        "framework": name,
        "total_jobs": totals.jobs,
        "completed_jobs": totals.completed,
        "failed_jobs": totals.failed,
        "cancelled_jobs": totals.cancelled,
        **({"mean_duration_seconds": round(mean, 3)} if mean is not None else {}),
        "gpu_hours": round(totals.gpu_hours, 6),
    }
