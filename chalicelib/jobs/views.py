"""A job as a document: the contract's TrainingJob and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.clock import duration, to_text
from chalicelib.costs import bill
from chalicelib.costs import views as cost_views
from chalicelib.jobs.checkpointing import interval_seconds, is_overdue
from chalicelib.jobs.job import Attempt, Checkpointing, Job, JobStatus, Progress, Report
from chalicelib.jobs.logs import LogEntry
from chalicelib.jobs.stream import Became, Record
from chalicelib.jobs.suspicion import notices
from chalicelib.metrics.point import MetricPoint, json_number
from chalicelib.objects import Objects
from chalicelib.quotas.quota import GB, HOUR, Amounts

if TYPE_CHECKING:
    from chalicelib.jobs.export import Export
    from chalicelib.jobs.ledger import Change, Replay
    from chalicelib.jobs.service import JobPlan


EXPORT_URL_SECONDS = 900


def submitted(job: Job) -> dict[str, Any]:
    """TrainingJobResponse, and what the caller should know of it."""
    return {**_brief(job), **_notices(job)}


def _brief(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "name": job.name,
        "status": job.status.value,
        "created_at": to_text(job.created_at),
        "estimated_duration": duration(job.estimated_seconds),
        "resource_allocation": job.allocation.to_dict(),
        "time_limit": {"seconds": job.time_limit.seconds, "set_by": job.time_limit.set_by},
    }


def summary(job: Job) -> dict[str, Any]:
    """TrainingJob as lists show it: without progress and metrics, which are read per job."""
    document = {
        **_brief(job),
        "tenant": job.tenant,
        "user_id": job.user,
        "framework": job.framework,
        "description": job.description,
        "priority": job.priority,
        "tags": list(job.tags),
        "reserved": amounts(job.reservation.most),
        "used": amounts(job.used) if job.used else None,
        "config": {name: value for name, value in job.config.items() if value is not None},
        "updated_at": to_text(job.updated_at),
        "started_at": to_text(job.started_at) if job.started_at else None,
        "completed_at": to_text(job.completed_at) if job.completed_at else None,
        "cancel_requested_at": to_text(job.cancel_requested_at) if job.cancel_requested_at else None,
        "secondary_status": job.secondary_status,
        "waiting_reason": job.waiting_reason,
        "attempts": job.attempts,
        "failure_reason": job.failure_reason,
        "model_id": job.model_id,
        "artifacts": [dict(artifact) for artifact in job.artifacts],
        "artifacts_total": job.artifacts_total,
    }
    return {name: value for name, value in document.items() if value is not None}


def plan(planned: JobPlan) -> dict[str, Any]:
    """What submitting a request would do and cost. The time limit and what it would reserve hold for now only."""
    job = planned.job
    return {
        "dry_run": True,
        "name": job.name,
        "framework": job.framework,
        "resource_allocation": job.allocation.to_dict(),
        "image": planned.image,
        "time_limit": {"seconds": job.time_limit.seconds, "set_by": job.time_limit.set_by},
        "reservation": {
            "month": job.reservation.month,
            "gpu_hours": round(job.reservation.most.gpu_seconds / 3600, 6),
            "cpu_hours": round(job.reservation.most.cpu_seconds / 3600, 6),
            "cost_usd": float(job.reservation.most.cost_usd),
            "storage_bytes": job.reservation.most.storage_bytes,
        },
        "estimate": cost_views.estimate(job),
        **({"spot": planned.spot.to_dict()} if planned.spot else {}),
        **_notices(job),
    }


def full(
    job: Job, report: Report, points: Iterable[MetricPoint], attempts: Iterable[Attempt], now: datetime
) -> dict[str, Any]:
    """TrainingJob."""
    document = {
        **summary(job),
        **_notices(job),
        "metrics": [metric(point) for point in points],
        "progress": progress(job, report.progress, now),
        "cost": cost_views.cost(job, attempts, now),
    }
    if shown := checkpoint(job, report.checkpointing, now):
        document["checkpoint"] = shown
    if report.run:
        document["mlflow"] = {"experiment_id": report.run.experiment_id, "run_id": report.run.run_id}
    return document


def checkpoint(job: Job, seen: Checkpointing | None, now: datetime) -> dict[str, Any] | None:
    """What is known of a job's checkpoints, and whether the next one is long overdue; None when nothing is."""
    interval = interval_seconds(job, seen)
    if seen is None and (interval is None or job.started_at is None):
        return None
    return {
        "last_at": to_text(seen.last_at) if seen else None,
        "count": seen.count if seen else 0,
        "files": seen.files if seen else 0,
        "size_bytes": seen.size_bytes if seen else 0,
        "interval_seconds": round(interval, 3) if interval is not None else None,
        "is_overdue": is_overdue(job, seen, now),
    }


def attempt(job: Job, each: Attempt) -> dict[str, Any]:
    """One try of a job: when, where, how it ended, what it cost. What is not known yet is left out."""
    billable, allocation = each.billable_seconds, job.allocation_of(each)
    document = {
        "number": each.number,
        "backend": each.backend.value,
        "backend_name": each.name,
        "backend_id": each.backend_id,
        "instance_type": allocation.instance_type,
        "price_per_hour_usd": float(allocation.price_per_hour_usd),
        "planned_at": to_text(each.planned_at),
        "started_at": to_text(each.started_at) if each.started_at else None,
        "ended_at": to_text(each.ended_at) if each.ended_at else None,
        "cause": each.cause,
        "reason": each.reason,
        "training_seconds": each.training_seconds,
        "billable_seconds": billable,
        "interruptions": each.interruptions or None,
        "cost_usd": None if billable is None else float(bill.usd(allocation, billable)),
    }
    return {name: value for name, value in document.items() if value is not None}


def _notices(job: Job) -> dict[str, list[str]]:
    found = notices(job.config)
    return {"notices": found} if found else {}


def progress(job: Job, said: Progress, now: datetime) -> dict[str, Any]:
    """TrainingProgress. A completed job is at 100 percent whatever it said."""
    percentage = 100.0 if job.status is JobStatus.COMPLETED else said.percentage() or 0.0
    elapsed = job.elapsed_seconds(now)
    document = {
        "current_epoch": said.epoch,
        "total_epochs": said.epochs,
        "current_step": said.step,
        "total_steps": said.steps,
        "percentage_complete": round(percentage, 2),
        "elapsed_time": duration(elapsed) if elapsed is not None else None,
        "remaining_time": _remaining(job, percentage, elapsed),
    }
    return {name: value for name, value in document.items() if value is not None}


def _remaining(job: Job, percentage: float, elapsed: float | None) -> str | None:
    """By the share that is done; by the estimate while the script has said nothing."""
    if elapsed is None or job.status.is_finished:
        return None
    if percentage > 0:
        return duration(elapsed * (100 - percentage) / percentage)
    return duration(job.estimated_seconds - elapsed)


def amounts(each: Amounts) -> dict[str, Any]:
    """What a job takes, in the units of the limits."""
    return {
        "gpu_hours": round(each.gpu_seconds / HOUR, 4),
        "cpu_hours": round(each.cpu_seconds / HOUR, 4),
        "storage_gb": round(each.storage_bytes / GB, 4),
        "cost_usd": float(each.cost_usd),
    }


def metric(point: MetricPoint) -> dict[str, Any]:
    """TrainingMetric."""
    document = {
        "name": point.name,
        "value": json_number(point.value),
        "step": point.step,
        "epoch": point.epoch,
        "timestamp": to_text(point.timestamp),
    }
    return {name: value for name, value in document.items() if value is not None}


def export(found: Export | None, objects: Objects, now: datetime) -> dict[str, Any]:
    """With an address for each file that needs no credentials, for a while."""
    if found is None:
        return {"status": "none", "requested_at": None, "completed_at": None, "complete": False, "files": []}
    return {
        "status": found.status(now).value,
        "requested_at": to_text(found.requested_at),
        "completed_at": to_text(found.completed_at) if found.completed_at else None,
        "complete": found.is_whole,
        "files": [
            {
                "name": file.name,
                "path": objects.uri(file.key),
                "lines": file.lines,
                "size_bytes": file.size,
                "url": objects.presigned_get(file.key, EXPORT_URL_SECONDS),
            }
            for file in found.files
        ],
    }


def record(of: Record) -> Iterator[dict[str, Any]]:
    """Lines of a job's stream: each says by its `type` what it is."""
    if isinstance(of, Became):
        document = {
            "type": "state",
            "timestamp": to_text(of.timestamp),
            "version": of.version,
            "state": of.state.value,
            "secondary_status": of.secondary_status,
            "event": of.event,
        }
        yield {name: value for name, value in document.items() if value is not None}
    elif of.points:
        yield from ({"type": "metric", **metric(point), "attempt": of.attempt} for point in of.points)
    else:
        yield {"type": "log", **log_entry(of)}


def log_entry(entry: LogEntry) -> dict[str, Any]:
    """LogEntry."""
    return {
        "timestamp": to_text(entry.timestamp),
        "level": entry.level,
        "message": entry.message,
        "source": entry.source,
        "context": {"attempt": entry.attempt},
    }


def history(job: Job, changes: Sequence[Change], found: Replay) -> dict[str, Any]:
    """Every change of a record, and whether they add up to it."""
    return {
        "job_id": job.job_id,
        "version": job.version,
        "changes": [
            {"version": change.version, "at": to_text(change.at), "event": change.event.to_dict()} for change in changes
        ],
        "replay": {
            "equal": found.is_equal,
            "behind": found.behind,
            "missing": list(found.missing),
            "differences": list(found.differences),
        },
    }
