"""What was open when it was exported, as it is where nothing runs. Pure.

an open job            has failed: nothing drives it here, and the reconciler would start it a second time
a live deployment      is terminated: its endpoint stayed where it was; its place is free to be deployed into
a failed deployment    the same: what is left of it is there
an open rollout        has failed
an open transform      has failed
an open run            has failed
a retraining policy    is switched off: what an import uploads must not train
a model that is used   is not: neither endpoint nor transform is here

Each is one version of the record more, by the rules that the service itself goes by; of a job the ledger says so too, so
that a replay of it gives the record. Everything that had ended is left as it is, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from backup.belongings import Stored
from chalicelib.clock import to_text
from chalicelib.deployments import items as deployments
from chalicelib.deployments.deployment import DeploymentStatus
from chalicelib.jobs.items import job_from, job_item
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.ledger_store import PREFIX as CHANGE
from chalicelib.jobs.life import Ended, apply
from chalicelib.models.model import Model
from chalicelib.models.store import model_from, model_item
from chalicelib.quotas.quota import Amounts
from chalicelib.retraining.items import run_item, run_of
from chalicelib.retraining.run import RunStatus
from chalicelib.retraining.store import STANDING
from chalicelib.rollouts import items as rollouts
from chalicelib.rollouts.rollout import RolloutStatus
from chalicelib.table import Item, as_json, decode, encode
from chalicelib.transforms.store import transform_from, transform_item
from chalicelib.transforms.transform import TransformStatus

DELETED = "deleted"


def open_kind(table: str, item: Stored) -> str | None:
    """`jobs`, `deployments`, `rollouts`, `transforms` or `runs`, if it is one that has not ended."""
    sk, status = item["sk"]["S"], item.get("status", {}).get("S")
    match table, sk:
        case "jobs", "job":
            return "jobs" if status in {JobStatus.PENDING.value, JobStatus.RUNNING.value} else None
        case "deployments", "deployment":
            return None if status == DeploymentStatus.TERMINATED.value else "deployments"
        case "deployments", "transform":
            return "transforms" if TransformStatus(status).is_open else None
        case "deployments", _ if sk.startswith(rollouts.PREFIX):
            return "rollouts" if RolloutStatus(status).is_open else None
        case "retraining", _ if sk.startswith("run#"):
            return None if RunStatus(status).is_over else "runs"
    return None


def settled(table: str, item: Stored, at: datetime, origin: str) -> Iterator[Stored]:
    """An item as it is to be in another installation, and what it brings with it.

    Args:
        at: when it was exported.
        origin: the installation that it is from.
    """
    match open_kind(table, item):
        case "jobs":
            yield from _job(decode(item), at, f"It was open when it was exported from {origin}, and ends there.")
        case "deployments":
            yield encode(_deployment(decode(item), at, f"Its endpoint stayed in {origin}: deploy the model again."))
        case "rollouts":
            rollout = rollouts.rollout_of(decode(item))
            ended = rollout.ended(RolloutStatus.FAILED, f"It was open when it was exported from {origin}.", at)
            yield encode(rollouts.item_of(replace(ended, record_version=rollout.record_version + 1, updated_at=at)))
        case "transforms":
            transform = transform_from(decode(item))
            reason = f"It was open when it was exported from {origin}, and ends there."
            # What it costs is charged where it runs.
            over = transform.ended(TransformStatus.FAILED, reason, None, at)
            yield encode(transform_item(replace(over, record_version=over.record_version + 1, updated_at=at)))
        case "runs":
            run = run_of(decode(item))
            failed = run.ended(RunStatus.FAILED, f"It was open when it was exported from {origin}.", at)
            yield encode(run_item(replace(failed, record_version=run.record_version + 1, updated_at=at)))
        case _ if table == "retraining":
            yield _at_rest(item)
        case _ if table == "models" and item["sk"]["S"] == "model" and item["uses"]["M"]:
            yield encode(_model(decode(item), at))
        case _:
            yield item


def _job(item: Item, at: datetime, reason: str) -> Iterator[Stored]:
    job = job_from(item)
    event = Ended(JobStatus.FAILED, at, Amounts(), reason)
    ended = replace(apply(job, event), version=job.version + 1, updated_at=at)
    text = as_json(event.to_dict())
    row = {"pk": item["pk"], "sk": f"{CHANGE}{ended.version:010d}", "version": ended.version, "at": to_text(at)}
    yield encode({**row, "event": text})
    yield encode({**job_item(ended), "event": text})


def _deployment(item: Item, at: datetime, reason: str) -> Item:
    found = deployments.deployment_of(item)
    return deployments.item_of(
        replace(
            found,
            status=DeploymentStatus.TERMINATED,
            failure_reason=reason,
            record_version=found.record_version + 1,
            updated_at=at,
            resources=(),
            rollout=None,
        )
    )


def _at_rest(item: Stored) -> Stored:
    """A policy that trains nothing, and of how it stands with one: that nothing is under way."""
    if item["pk"]["S"].endswith("#retraining"):
        return {**item, "enabled": {"BOOL": False}}
    if item["sk"]["S"] == STANDING:
        return {name: value for name, value in item.items() if name not in {"gathering", "training"}}
    return item


def _model(item: Item, at: datetime) -> Item:
    model: Model = model_from(item)
    for user in tuple(model.uses):
        model = model.released_by(user)
    return model_item(replace(model, record_version=model.record_version + 1, updated_at=at))


def moved(value: Any, before: str, after: str) -> Any:
    """An item in DynamoDB's form with every address in one bucket made one in another."""
    if isinstance(value, str):
        return value.replace(f"s3://{before}/", f"s3://{after}/")
    if isinstance(value, Mapping):
        return {name: moved(each, before, after) for name, each in value.items()}
    if isinstance(value, list):
        return [moved(each, before, after) for each in value]
    return value
