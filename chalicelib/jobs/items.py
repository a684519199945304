"""Job records as items, and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.costs.estimate import Estimate
from chalicelib.jobs.job import (
    Allocation,
    Attempt,
    Backend,
    Checkpointing,
    Job,
    JobStatus,
    Progress,
    Report,
    Run,
    TimeLimit,
)
from chalicelib.quotas.check import Charged
from chalicelib.quotas.quota import Amounts, Reservation
from chalicelib.table import Item, as_json


def pk_of(tenant: str, job_id: str) -> str:
    return f"{tenant}#{job_id}"


def attempt_sk(number: int) -> str:
    return f"attempt#{number:04d}"


def job_item(job: Job) -> Item:
    status = job.status.value
    return {
        "pk": pk_of(job.tenant, job.job_id),
        "sk": "job",
        "tenant": job.tenant,
        "job_id": job.job_id,
        "user": job.user,
        "name": job.name,
        "framework": job.framework,
        "config": as_json(job.config),
        "allocation": as_json(job.allocation.to_dict()),
        "created_at": to_text(job.created_at),
        "updated_at": to_text(job.updated_at),
        "status": status,
        "version": job.version,
        "description": job.description,
        "priority": job.priority,
        "tags": list(job.tags),
        "estimate": job.estimate.to_dict(),
        "attempts": job.attempts,
        "secondary_status": job.secondary_status,
        "started_at": to_text(job.started_at) if job.started_at else None,
        "completed_at": to_text(job.completed_at) if job.completed_at else None,
        "cancel_requested_at": to_text(job.cancel_requested_at) if job.cancel_requested_at else None,
        "failure_reason": job.failure_reason,
        "model_id": job.model_id,
        "artifacts": as_json(list(job.artifacts)),
        "artifacts_total": job.artifacts_total,
        "time_limit_seconds": job.time_limit.seconds,
        "time_limit_set_by": job.time_limit.set_by,
        "reservation": as_json(job.reservation.to_dict()),
        "used": as_json(job.used.to_dict()) if job.used else None,
        "pool": job.pool,
        "waiting_reason": job.waiting_reason,
        "checkpoints_overdue_since": (
            to_text(job.checkpoints_overdue_since) if job.checkpoints_overdue_since else None
        ),
        # What the indexes are keyed by.
        "tenant_key": job.tenant,
        "tenant_status_key": f"{job.tenant}#{status}",
        "owner_key": f"{job.tenant}#{job.user}",
        "owner_status_key": f"{job.tenant}#{job.user}#{status}",
        "listed_at": f"{to_text(job.created_at)}#{job.job_id}",
    }


def job_from(item: Mapping[str, Any]) -> Job:
    return Job(
        tenant=item["tenant"],
        job_id=item["job_id"],
        user=item["user"],
        name=item["name"],
        framework=item["framework"],
        config=json.loads(item["config"]),
        allocation=Allocation.from_dict(json.loads(item["allocation"])),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=JobStatus(item["status"]),
        version=item["version"],
        description=item.get("description"),
        priority=item["priority"],
        tags=tuple(item["tags"]),
        estimate=Estimate.from_dict(item["estimate"]),
        attempts=item["attempts"],
        secondary_status=item.get("secondary_status"),
        started_at=_moment(item, "started_at"),
        completed_at=_moment(item, "completed_at"),
        cancel_requested_at=_moment(item, "cancel_requested_at"),
        failure_reason=item.get("failure_reason"),
        model_id=item.get("model_id"),
        artifacts=tuple(json.loads(item["artifacts"])),
        artifacts_total=item["artifacts_total"],
        time_limit=TimeLimit(item["time_limit_seconds"], item["time_limit_set_by"]),
        reservation=Reservation.from_dict(json.loads(item["reservation"])),
        used=Amounts.from_dict(json.loads(item["used"])) if item.get("used") else None,
        pool=item.get("pool"),
        waiting_reason=item.get("waiting_reason"),
        checkpoints_overdue_since=_moment(item, "checkpoints_overdue_since"),
    )


def attempt_item(attempt: Attempt) -> Item:
    return {
        "pk": pk_of(attempt.tenant, attempt.job_id),
        "sk": attempt_sk(attempt.number),
        "tenant": attempt.tenant,
        "job_id": attempt.job_id,
        "number": attempt.number,
        "token": attempt.token,
        "backend": attempt.backend.value,
        "planned_at": to_text(attempt.planned_at),
        "queue": attempt.queue,
        "allocation": as_json(attempt.allocation.to_dict()) if attempt.allocation else None,
        "backend_id": attempt.backend_id,
        "log_stream": attempt.log_stream,
        "reason": attempt.reason,
        "cause": attempt.cause,
        "started_at": to_text(attempt.started_at) if attempt.started_at else None,
        "ended_at": to_text(attempt.ended_at) if attempt.ended_at else None,
        "training_seconds": attempt.training_seconds,
        "billable_seconds": attempt.billable_seconds,
        "interruptions": attempt.interruptions,
    }


def attempt_from(item: Mapping[str, Any]) -> Attempt:
    return Attempt(
        tenant=item["tenant"],
        job_id=item["job_id"],
        number=item["number"],
        token=item["token"],
        backend=Backend(item["backend"]),
        planned_at=from_text(item["planned_at"]),
        queue=item.get("queue"),
        allocation=Allocation.from_dict(json.loads(item["allocation"])) if item.get("allocation") else None,
        backend_id=item.get("backend_id"),
        log_stream=item.get("log_stream"),
        reason=item.get("reason"),
        cause=item.get("cause"),
        started_at=_moment(item, "started_at"),
        ended_at=_moment(item, "ended_at"),
        training_seconds=item.get("training_seconds"),
        billable_seconds=item.get("billable_seconds"),
        interruptions=item.get("interruptions", 0),
    )


def report_from(item: Mapping[str, Any]) -> Report:
    run = item.get("run")
    progress = Progress(**json.loads(item.get("progress", "{}")))
    seen = _checkpointing(json.loads(item["checkpointing"])) if "checkpointing" in item else None
    return Report(progress, Run(**run) if run else None, item.get("exit_reason"), seen)


def checkpointing_text(seen: Checkpointing) -> str:
    return as_json({**vars(seen), "first_at": to_text(seen.first_at), "last_at": to_text(seen.last_at)})


def _checkpointing(values: Mapping[str, Any]) -> Checkpointing:
    return Checkpointing(**{**values, **{name: from_text(values[name]) for name in ("first_at", "last_at")}})


def charged_from(item: Mapping[str, Any]) -> Charged:
    used = Amounts.from_dict(json.loads(item["used"])) if item.get("used") else None
    return Charged(item["user"], Reservation.from_dict(json.loads(item["reservation"])), used)


def _moment(item: Mapping[str, Any], name: str) -> datetime | None:
    text = item.get(name)
    return from_text(text) if text else None
