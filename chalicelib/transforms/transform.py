"""A transform: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum


class TransformStatus(Enum):
    IN_PROGRESS = "in-progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def may_become(self, following: TransformStatus) -> bool:
        return following in TRANSITIONS[self]

    @property
    def is_open(self) -> bool:
        return bool(TRANSITIONS[self])


_ENDS = frozenset({TransformStatus.COMPLETED, TransformStatus.FAILED, TransformStatus.CANCELLED})
TRANSITIONS: Mapping[TransformStatus, frozenset[TransformStatus]] = {
    TransformStatus.IN_PROGRESS: frozenset({TransformStatus.CANCELLING, *_ENDS}),
    # It may end before it is stopped.
    TransformStatus.CANCELLING: _ENDS,
    **dict.fromkeys(_ENDS, frozenset[TransformStatus]()),
}


class IllegalTransition(Exception):
    """A status was asked for that does not follow the present one."""


_SECONDS_PER_HOUR = 3600
_CENTS_OF_CENTS = Decimal("0.0001")


@dataclass(frozen=True)
class Settings:
    """How SageMaker asks the model: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html

    Attributes:
        split: `line`: each line of an object is a record; `none`: the whole object is.
        batch_strategy: `multi-record`: as many records as fit go into one request; `single-record`: one.
        max_payload_mb: of a request.
        max_concurrent_transforms: requests at once, of an instance.
    """

    content_type: str
    accept: str
    split: str
    batch_strategy: str
    max_payload_mb: int
    max_concurrent_transforms: int


@dataclass(frozen=True)
class Transform:
    """`record_version` grows by one with every change of the record.

    Attributes:
        source: the S3 URI below which all objects are read.
        usd_per_hour: of one instance.
        started_at, ended_at: between them there were instances.
        cost_usd: of those, at the list price; known at the end.
    """

    tenant: str
    transform_id: str
    user: str
    model_id: str
    model_name: str
    model_version: str
    source: str
    settings: Settings
    instance_type: str
    instance_count: int
    usd_per_hour: Decimal
    created_at: datetime
    updated_at: datetime
    status: TransformStatus = TransformStatus.IN_PROGRESS
    record_version: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure_reason: str | None = None
    cost_usd: Decimal | None = None

    @property
    def resource(self) -> str:
        """What its job is called in SageMaker, and the model that is made for it."""
        return f"aimatrix-{self.transform_id}"

    @property
    def output_prefix(self) -> str:
        """Where its answers lie in the artifact store, with a slash at the end."""
        return f"tenants/{self.tenant}/transforms/{self.transform_id}/"

    def cancelling(self) -> Transform:
        return self if self.status is TransformStatus.CANCELLING else self._become(TransformStatus.CANCELLING)

    def ended(
        self,
        status: TransformStatus,
        reason: str | None,
        started_at: datetime | None,
        ended_at: datetime,
    ) -> Transform:
        seconds = (ended_at - started_at).total_seconds() if started_at else 0.0
        cost = self.usd_per_hour * self.instance_count * Decimal(str(seconds)) / _SECONDS_PER_HOUR
        return replace(
            self._become(status),
            failure_reason=reason,
            started_at=started_at,
            ended_at=ended_at,
            cost_usd=cost.quantize(_CENTS_OF_CENTS),
        )

    def _become(self, status: TransformStatus) -> Transform:
        if not self.status.may_become(status):
            raise IllegalTransition(f"a transform that is {self.status.value} can't become {status.value}")
        return replace(self, status=status)
