"""Which change of an item is which event. Pure.

table         an item that                                         is
jobs          is a job's first version                             training.job.submitted
jobs          is a later one, in another status or state           training.job.status-changed
jobs          waits for a checkpoint that is overdue               training.job.checkpoints-overdue
models        becomes ready                                        training.model.ready
deployments   is in another status                                 deployment.status-changed
deployments   is a rollout in another status, or a step further    rollout.status-changed
deployments   is a transform in another status                     transform.status-changed
metrics       came; all of one job that come together, 100 each    training.metrics.recorded
audit         says that a request was refused for a quota          quota.exceeded
webhooks      was disabled by the service                          webhook.disabled
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chalicelib.clock import derived_id, to_text
from chalicelib.events.shapes import (
    CheckpointsOverdue,
    DeploymentStatusChanged,
    Event,
    JobStatusChanged,
    JobSubmitted,
    MetricPoint,
    MetricsRecorded,
    ModelReady,
    QuotaExceeded,
    RolloutStatusChanged,
    TransformStatusChanged,
    WebhookDisabled,
)
from chalicelib.jobs.items import job_from
from chalicelib.jobs.life import state_of
from chalicelib.metrics.items import job_of, points_of
from chalicelib.metrics.point import json_number
from chalicelib.models.model import ModelStatus
from chalicelib.rollouts.items import PREFIX as ROLLOUT
from chalicelib.rollouts.items import rollout_of
from chalicelib.table import Item
from chalicelib.transforms.store import SK as TRANSFORM

AT_ONCE = 100
IMPORTED = "imported"
"""Of an item that was imported: which export it came from."""

OnUnreadable = Callable[["Change", Exception], None]


@dataclass(frozen=True)
class Change:
    """One record of a table's stream.

    Attributes:
        table: the table, as the template calls it: `jobs`.
        sequence: the record's own number in the stream.
    """

    table: str
    sequence: str
    before: Item | None
    after: Item | None

    @property
    def subject(self) -> str:
        """What it is about, as `subject.subject_of` calls it for an event."""
        number = _rollout_number(self)
        if number is not None:
            return f"rollouts/{_pk(self)}#{number}"
        is_transform = self.table == "deployments" and _sk(self) == TRANSFORM
        return f"{'transforms' if is_transform else self.table}/{_pk(self)}"

    @property
    def is_imported(self) -> bool:
        """Whether the item came as it is from another installation: see `backup/importing.py`."""
        return self.before is None and IMPORTED in (self.after or {})

    @property
    def order(self) -> int:
        """The version of the record that it made; 0 for what has none."""
        version = (self.after or {}).get("version" if self.table in {"jobs", "webhooks"} else "record_version")
        return version if isinstance(version, int) and version >= 0 else 0


def events_of(changes: Iterable[Change], on_unreadable: OnUnreadable | None = None) -> Iterator[Event]:
    """The events of some changes, in their order; metrics of one job that stand together are one event.

    What comes with an import has happened elsewhere, and was told there.

    Args:
        on_unreadable: is told of a change that no event can be made of, and why; the others go on. Without it the error is
            raised.
    """
    for group in _groups(change for change in changes if not change.is_imported):
        try:
            # All of it before the first is given away: what fails half way has told nothing.
            events = list(_told(group))
        except Exception as error:
            if on_unreadable is None:
                raise
            if len(group) > 1:
                yield from (event for change in group for event in events_of([change], on_unreadable))
            else:
                on_unreadable(group[0], error)
            continue
        yield from events


def _groups(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Changes that are one event together."""
    points: list[Change] = []
    for change in changes:
        if points and (change.table != "metrics" or job_of(_pk(change)) != job_of(_pk(points[0]))):
            yield points
            points = []
        if change.table != "metrics":
            yield [change]
        elif change.after is not None and change.before is None:
            points.append(change)
    if points:
        yield points


def _told(group: list[Change]) -> Iterator[Event]:
    if group[0].table == "metrics":
        yield from _metrics(group)
    else:
        yield from _event(group[0])


def _event(change: Change) -> Iterator[Event]:
    if change.after is None:
        return
    match change.table, change.after.get("sk"):
        case "jobs", "job":
            yield from _job(change.before, change.after)
        case "models", "model":
            yield from _model(change.before, change.after)
        case "deployments", "deployment":
            yield from _deployment(change.before, change.after)
        case "deployments", "transform":
            yield from _transform(change.before, change.after)
        case "deployments", _ if _rollout_number(change) is not None:
            yield from _rollout(change.before, change.after)
        case "webhooks", "webhook":
            yield from _webhook(change.before, change.after)
        case "audit", _ if "entry" in change.after:
            yield from _refusal(json.loads(change.after["entry"]))


def _job(before: Item | None, after: Item) -> Iterator[Event]:
    if "event" not in after:
        return  # the stone of a deleted job
    job = job_from(after)
    if before is None:
        yield JobSubmitted(
            **_common("job", after, job.version),
            job_id=job.job_id,
            user_id=job.user,
            name=job.name,
            framework=job.framework,
            priority=job.priority,
            backend=job.backend.value,
            instance_type=job.allocation.instance_type,
            instance_count=job.allocation.instance_count,
        )
        return
    earlier = job_from(before)
    if job.checkpoints_overdue_since is not None and earlier.checkpoints_overdue_since is None:
        yield CheckpointsOverdue(
            **_common("checkpoints-overdue", after, job.version),
            job_id=job.job_id,
            user_id=job.user,
            name=job.name,
            overdue_since=to_text(job.checkpoints_overdue_since),
        )
    if (job.status, state_of(job)) == (earlier.status, state_of(earlier)):
        return
    yield JobStatusChanged(
        **_common("job", after, job.version),
        job_id=job.job_id,
        user_id=job.user,
        name=job.name,
        status=job.status.value,
        previous_status=earlier.status.value,
        state=state_of(job).value,
        previous_state=state_of(earlier).value,
        attempts=job.attempts,
        failure_reason=job.failure_reason,
        model_id=job.model_id,
    )


def _model(before: Item | None, after: Item) -> Iterator[Event]:
    ready = ModelStatus.READY.value
    if after["status"] != ready or (before is not None and before["status"] == ready):
        return
    yield ModelReady(
        **_common("model", after, after["record_version"]),
        model_id=after["model_id"],
        user_id=after["user"],
        name=after["name"],
        version=str(after["version"]),
        framework=after["framework"],
        servable=bool(after["servable"]),
        job_id=after.get("training_job_id"),
    )


def _deployment(before: Item | None, after: Item) -> Iterator[Event]:
    previous = before["status"] if before else None
    if after["status"] == previous:
        return
    shown = after.get("active") or after["target"]
    yield DeploymentStatusChanged(
        **_common("deployment", after, after["record_version"]),
        deployment_id=after["deployment_id"],
        user_id=after["user"],
        name=after["name"],
        environment=after["environment"],
        model_id=shown["model_id"],
        model_version=str(shown["model_version"]),
        status=after["status"],
        previous_status=previous,
        failure_reason=after.get("failure_reason"),
    )


def _rollout(before: Item | None, after: Item) -> Iterator[Event]:
    rollout, earlier = rollout_of(after), rollout_of(before) if before else None
    if earlier and (rollout.status, rollout.step) == (earlier.status, earlier.step):
        return
    yield RolloutStatusChanged(
        # Rollouts of a deployment lie under one key.
        **_common(f"rollout-{rollout.number}", after, rollout.record_version),
        deployment_id=rollout.deployment_id,
        rollout_id=str(rollout.number),
        user_id=rollout.user,
        model_id=rollout.candidate.model_id,
        model_version=rollout.candidate.model_version,
        status=rollout.status.value,
        previous_status=earlier.status.value if earlier else None,
        step=min(rollout.step + 1, len(rollout.steps)),
        steps=len(rollout.steps),
        reason=rollout.reason,
    )


def _transform(before: Item | None, after: Item) -> Iterator[Event]:
    previous = before["status"] if before else None
    if after["status"] == previous:
        return
    cost = after.get("cost_usd")
    yield TransformStatusChanged(
        **_common("transform", after, after["record_version"]),
        transform_id=after["transform_id"],
        user_id=after["user"],
        model_id=after["model_id"],
        model_name=after["model_name"],
        model_version=str(after["model_version"]),
        status=after["status"],
        previous_status=previous,
        failure_reason=after.get("failure_reason"),
        cost_usd=float(cost) if cost is not None else None,
    )


def _webhook(before: Item | None, after: Item) -> Iterator[Event]:
    # What its owner has disabled has no reason of the service's.
    if after["status"] != "disabled" or "reason" not in after or (before or {}).get("status") == "disabled":
        return
    yield WebhookDisabled(
        **_common("webhook", after, after["version"]),
        webhook_id=after["webhook_id"],
        user_id=after["user"],
        # Not the whole: a path may hold a secret of the receiver's.
        host=urlsplit(after["url"]).hostname or "",
        reason=after["reason"],
    )


def _refusal(entry: Mapping[str, Any]) -> Iterator[Event]:
    if entry.get("code") != "quota-exceeded":
        return
    yield QuotaExceeded(
        event_id=derived_id("event", "refusal", entry["tenant"], entry["id"]),
        occurred_at=entry["at"],
        tenant_id=entry["tenant"],
        user_id=entry["user"],
        operation=entry["action"],
        detail=entry.get("detail", ""),
        request_id=entry.get("request_id"),
    )


def _metrics(changes: list[Change]) -> Iterator[Event]:
    items = [change.after or {} for change in changes]
    tenant, job_id = job_of(_pk(changes[0]))
    points = [point for item in items for point in points_of(item)]
    for number, start in enumerate(range(0, len(points), AT_ONCE)):
        told = points[start : start + AT_ONCE]
        yield MetricsRecorded(
            # By what came, not by its place in the stream: what comes twice has been told.
            event_id=derived_id("event", "metrics", tenant, job_id, str(items[0]["sk"]), str(number)),
            occurred_at=to_text(told[-1].timestamp),
            tenant_id=tenant,
            job_id=job_id,
            metrics=tuple(
                MetricPoint(
                    name=point.name,
                    value=json_number(point.value),
                    step=point.step,
                    timestamp=to_text(point.timestamp),
                )
                for point in told
            ),
        )


def _common(kind: str, item: Item, version: int) -> dict[str, Any]:
    return {
        "event_id": derived_id("event", kind, item["pk"], str(version)),
        "occurred_at": item["updated_at"],
        "tenant_id": item["tenant"],
        "record_version": version,
    }


def _rollout_number(change: Change) -> int | None:
    """Which of the deployment's rollouts it is; None for another record."""
    sk = _sk(change)
    return int(sk.removeprefix(ROLLOUT)) if change.table == "deployments" and sk.startswith(ROLLOUT) else None


def _sk(change: Change) -> str:
    return str((change.after or change.before or {}).get("sk", ""))


def _pk(change: Change) -> str:
    return str((change.after or change.before or {}).get("pk", ""))
