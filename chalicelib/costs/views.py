"""Costs as documents: what a job costs, rows of the usage log, monthly sums, receipts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.clock import duration, to_text
from chalicelib.costs import bill
from chalicelib.jobs.job import Attempt, Job

if TYPE_CHECKING:
    from chalicelib.costs.signer import PublicKey
    from chalicelib.costs.usage import Summary, UsageRow

ROW_COLUMNS = (
    *("job_id", "user_id", "name", "framework", "status", "month"),
    *("gpu_hours", "cpu_hours", "storage_gb_hours", "instances_usd", "storage_usd", "cost_usd"),
    *("period_start", "period_end"),
)
SUMMARY_COLUMNS = (
    *("month", "by", "value", "jobs"),
    *("gpu_hours", "cpu_hours", "storage_gb_hours", "instances_usd", "storage_usd", "cost_usd"),
)


def estimate(job: Job) -> dict[str, Any]:
    """What a job is expected to take and to cost: instances and disks, without the control plane's share."""
    expected = job.estimate
    names = {"low": expected.low, "expected": expected.expected, "high": expected.high}
    return {
        "duration": {name: duration(seconds) for name, seconds in names.items()},
        "usd": {name: float(bill.usd(job.allocation, seconds)) for name, seconds in names.items()},
        "basis": expected.basis,
        "runs": expected.runs,
        "price_per_hour_usd": float(job.allocation.price_per_hour_usd),
        "disk_price_per_hour_usd": float(job.allocation.disk_price_per_hour_usd),
        "price_source": job.allocation.price_source,
        "price_date": job.allocation.price_date,
    }


def cost(job: Job, attempts: Iterable[Attempt], now: datetime) -> dict[str, Any]:
    """What a job is expected to cost, costs by now, and has cost. What is not known yet is left out.

    Attempts that failed are part of what is expected: each as it was billed, and one whole run on what the job has now.
    """
    attempts = list(attempts)
    earlier = bill.bill(job, (each for each in attempts if each.number < job.attempts)).usd
    expected = {
        name: earlier + bill.usd(job.allocation, getattr(job.estimate, name)) for name in ("low", "expected", "high")
    }
    is_running_up = job.started_at is not None and not job.status.is_finished
    running = bill.running_usd(job, attempts, now) if is_running_up else None
    document = {
        "estimated_usd": float(expected["expected"]),
        "low_usd": float(expected["low"]),
        "high_usd": float(expected["high"]),
        "basis": job.estimate.basis,
        "running_usd": None if running is None else float(running),
        "reserved_usd": None if job.status.is_finished else float(job.reservation.most.cost_usd),
        "actual_usd": float(job.used.cost_usd) if job.used else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def row(of: UsageRow) -> dict[str, Any]:
    """One line of the usage log, with the columns of `ROW_COLUMNS`; amounts as exact decimals."""
    return {
        "job_id": of.job_id,
        "user_id": of.user,
        "name": of.name,
        "framework": of.framework,
        "status": of.status,
        "month": of.month,
        **of.amounts.hours(),
        "instances_usd": of.amounts.instance_usd,
        "storage_usd": of.amounts.storage_usd,
        "cost_usd": of.amounts.cost_usd,
        "period_start": to_text(of.period_start),
        "period_end": to_text(of.period_end),
    }


def summary(of: Summary) -> dict[str, Any]:
    """One sum, with the columns of `SUMMARY_COLUMNS`."""
    return {
        "month": of.month,
        "by": of.kind.value,
        "value": of.value,
        "jobs": of.jobs,
        **of.amounts.hours(),
        "instances_usd": of.amounts.instance_usd,
        "storage_usd": of.amounts.storage_usd,
        "cost_usd": of.amounts.cost_usd,
    }


def public_key(of: PublicKey) -> dict[str, str]:
    return {"key_id": of.key_id, "algorithm": "ECDSA_SHA_256", "public_key": of.pem}
