"""What an attempt left behind and what it took: pure, but for reading its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.clock import from_text
from chalicelib.jobs.gateways import BackendJob
from chalicelib.jobs.job import Attempt, Job, attempt_prefix
from chalicelib.log import logger
from chalicelib.objects import Objects

MAX_REASON = 1024


# A job's record is one item of 400 KB, with parameters and variables of 64 KB each.
MAX_LISTED, MAX_LISTED_BYTES = 100, 64 * 1024
_MAX_TEXT = 1100
_MAX_SIZE = 2**60


@dataclass(frozen=True)
class Listed:
    """The artifacts that a job's record names, and how many the attempt left: the manifest has them all."""

    artifacts: tuple[Mapping[str, Any], ...] = ()
    total: int = 0


def read_manifest(objects: Objects, tenant: str, job_id: str, number: int) -> Mapping[str, Any] | None:
    """What the agent of an attempt left behind: outcome, artifacts, model. None when it did not come that far.

    The script has the same right to write it: what it holds is a claim, and no form of it may keep a job from ending.
    """
    key = manifest_key(tenant, job_id, number)
    try:
        document = objects.read_json(key)
    except ValueError:
        logger.warning("the manifest can't be read", extra={"key": key}, exc_info=True)
        return None
    return document if isinstance(document, dict) else None


def manifest_key(tenant: str, job_id: str, number: int) -> str:
    return f"{attempt_prefix(tenant, job_id, number)}manifest.json"


def listed(manifest: Mapping[str, Any]) -> Listed:
    """The model first, then the others in the manifest's order, as many as an item has room for."""
    found = _artifacts(manifest)
    kept: list[Mapping[str, Any]] = []
    room = MAX_LISTED_BYTES
    for artifact in sorted(found, key=lambda each: each.get("type") != "model"):
        size = len(json.dumps(artifact, ensure_ascii=False).encode())
        if len(kept) == MAX_LISTED or size > room:
            break
        kept.append(artifact)
        room -= size
    return Listed(tuple(kept), max(len(found), _size(manifest.get("artifacts_total"))))


def stored_bytes(manifest: Mapping[str, Any]) -> int:
    named: int = sum(artifact["size_bytes"] for artifact in _artifacts(manifest))
    return max(named, _size(manifest.get("artifacts_bytes")))


def script_started_at(manifest: Mapping[str, Any]) -> datetime | None:
    try:
        return from_text(manifest["started_at"])
    except (KeyError, TypeError, ValueError):
        return None


def _artifacts(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The well-formed ones, with nothing in them but what an artifact has."""
    given = manifest.get("artifacts")
    return [_plain(each) for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []


def _plain(artifact: Mapping[str, Any]) -> dict[str, Any]:
    texts = {
        name: artifact[name][:_MAX_TEXT]
        for name in ("name", "type", "path", "checksum")
        if isinstance(artifact.get(name), str)
    }
    return {**texts, "size_bytes": _size(artifact.get("size_bytes"))}


def _size(value: Any) -> int:
    """A number of things or bytes; 0 for what can be none."""
    is_size = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SIZE
    return value if is_size else 0


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
