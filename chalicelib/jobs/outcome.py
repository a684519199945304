"""What an attempt left behind and what it took: pure, but for reading its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chalicelib.jobs.gateways import BackendJob
from chalicelib.jobs.job import Attempt, Job, attempt_prefix
from chalicelib.objects import Objects

MAX_REASON = 1024


def read_manifest(objects: Objects, tenant: str, job_id: str, number: int) -> Mapping[str, Any] | None:
    """What the agent of an attempt left behind: outcome, artifacts, model. None when it did not come that far."""
    document = objects.read_json(f"{attempt_prefix(tenant, job_id, number)}manifest.json")
    return document if isinstance(document, dict) else None


def stored_bytes(manifest: Mapping[str, Any]) -> int:
    return sum(int(artifact.get("size_bytes", 0)) for artifact in manifest.get("artifacts", ()))


def billed_as(attempt: Attempt, found: BackendJob) -> Attempt:
    """The attempt with what its backend says it took; one that never got an instance took nothing."""
    return replace(
        attempt,
        started_at=found.started_at,
        ended_at=found.ended_at,
        training_seconds=found.training_seconds or found.billable_seconds or 0,
        billable_seconds=found.billable_seconds or 0,
        interruptions=found.interruptions,
    )


def limit_reached(job: Job) -> str:
    """The sentence for a job that its time limit ended, by what set the limit."""
    limit = job.time_limit
    if limit.set_by == "max_runtime_seconds":
        return f"The job ran longer than its limit of {limit.seconds} seconds (max_runtime_seconds)."
    most = job.config["max_cost_usd"] if limit.set_by == "max_cost_usd" else job.reservation.most.cost_usd
    return f"The job reached its budget of USD {most} ({limit.set_by}) after {limit.seconds} seconds."
