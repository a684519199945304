"""What each event holds: the detail of an EventBridge event whose `detail-type` is the event's type.

Fields are only ever added. A field that goes or changes its meaning makes a new `schemaVersion`, sent beside the old one for
a release. The schemas are published in docs/schemas/events/, made by `python -m infra.event_schemas`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Event(BaseModel):
    """What all events have.

    Attributes:
        event_id: the same change has the same id, however often it is delivered: whoever has seen it may leave it.
        occurred_at: ISO 8601, UTC.
        record_version: of the record that changed, which grows by one with each change; the order of a record's events.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    type: ClassVar[str]

    event_id: str
    schema_version: Literal[1] = 1
    occurred_at: str
    tenant_id: str
    record_version: int | None = None


class JobSubmitted(Event):
    type: ClassVar[str] = "training.job.submitted"

    job_id: str
    user_id: str
    name: str
    framework: str
    priority: str
    backend: str
    instance_type: str
    instance_count: int


class JobStatusChanged(Event):
    """A job's status changed, or what it does within its status: `state` is finer (queued, stopping)."""

    type: ClassVar[str] = "training.job.status-changed"

    job_id: str
    user_id: str
    name: str
    status: str
    previous_status: str
    state: str
    previous_state: str
    attempts: int
    failure_reason: str | None = None
    model_id: str | None = None


class CheckpointsOverdue(Event):
    """No checkpoint of a running job has come for three of its intervals, and for a minute at least."""

    type: ClassVar[str] = "training.job.checkpoints-overdue"

    job_id: str
    user_id: str
    name: str
    overdue_since: str


class ModelReady(Event):
    type: ClassVar[str] = "training.model.ready"

    model_id: str
    user_id: str
    name: str
    version: str
    framework: str
    servable: bool
    job_id: str | None = None


class MetricPoint(BaseModel):
    """`value` is text where it is not finite: JSON has no NaN and no infinity."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    name: str
    value: float | str
    step: int
    timestamp: str


class MetricsRecorded(Event):
    """Points of one job that came together, at most 100; the metrics of the job are all there by then."""

    type: ClassVar[str] = "training.metrics.recorded"

    job_id: str
    metrics: tuple[MetricPoint, ...] = Field(max_length=100)


class DeploymentStatusChanged(Event):
    type: ClassVar[str] = "deployment.status-changed"

    deployment_id: str
    user_id: str
    name: str
    environment: str
    model_id: str
    model_version: str
    status: str
    previous_status: str | None = None
    failure_reason: str | None = None


class RolloutStatusChanged(Event):
    """A rollout's status changed, or it went a step further.

    Attributes:
        rollout_id: its number among the deployment's.
        step: the present one, counted from 1.
        steps: how many there are.
        reason: why it ended, or is being undone, with the numbers.
    """

    type: ClassVar[str] = "rollout.status-changed"

    deployment_id: str
    rollout_id: str
    user_id: str
    model_id: str
    model_version: str
    status: str
    previous_status: str | None = None
    step: int
    steps: int
    reason: str | None = None


class TransformStatusChanged(Event):
    """
    Attributes:
        cost_usd: at the list price; known at the end.
    """

    type: ClassVar[str] = "transform.status-changed"

    transform_id: str
    user_id: str
    model_id: str
    model_name: str
    model_version: str
    status: str
    previous_status: str | None = None
    failure_reason: str | None = None
    cost_usd: float | None = None


class QuotaExceeded(Event):
    """A request was refused because it did not fit under a limit."""

    type: ClassVar[str] = "quota.exceeded"

    user_id: str
    operation: str
    detail: str
    request_id: str | None = None


class WebhookDisabled(Event):
    """The service has disabled a webhook, because nothing has come through for days or its receiver is gone."""

    type: ClassVar[str] = "webhook.disabled"

    webhook_id: str
    user_id: str
    host: str
    reason: str


TYPES: tuple[type[Event], ...] = (
    JobSubmitted,
    JobStatusChanged,
    CheckpointsOverdue,
    ModelReady,
    MetricsRecorded,
    DeploymentStatusChanged,
    RolloutStatusChanged,
    TransformStatusChanged,
    QuotaExceeded,
    WebhookDisabled,
)
