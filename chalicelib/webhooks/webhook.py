"""A webhook: where somebody's events are sent, and which. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

EVENT_TYPES = (
    "training.job.submitted",
    "training.job.status-changed",
    "training.job.checkpoints-overdue",
    "training.model.ready",
    "training.metrics.recorded",
    "deployment.status-changed",
    "rollout.status-changed",
    "transform.status-changed",
    "quota.exceeded",
    "webhook.disabled",
)
PING = "webhook.ping"
# They come by the thousand, so only whoever names them gets them.
_ONLY_BY_NAME = frozenset({"training.metrics.recorded"})


class WebhookStatus(Enum):
    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True)
class SealedSecret:
    """A signing secret, encrypted.

    Attributes:
        ciphertext: base64.
        valid_until: of one that was replaced; None for the current one.
    """

    ciphertext: str = field(repr=False)
    created_at: datetime
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.valid_until is None or now < self.valid_until


@dataclass(frozen=True)
class Webhook:
    """
    Attributes:
        event_types: what it wants; everything but metrics, when empty.
        secrets: the current one first; each delivery is signed with all that are valid.
        reason: why the service disabled it; None while it is active, and where its owner did.
        failing_since: of the first attempt that failed since the last that succeeded.
        version: of the record, which grows with each change that its owner can see.
    """

    tenant: str
    webhook_id: str
    user: str
    url: str
    event_types: tuple[str, ...]
    description: str
    secrets: tuple[SealedSecret, ...]
    created_at: datetime
    updated_at: datetime
    status: WebhookStatus = WebhookStatus.ACTIVE
    reason: str | None = None
    failing_since: datetime | None = None
    version: int = 1

    @property
    def is_active(self) -> bool:
        return self.status is WebhookStatus.ACTIVE

    def wants(self, kind: str) -> bool:
        return kind in self.event_types if self.event_types else kind not in _ONLY_BY_NAME

    def valid_secrets(self, now: datetime) -> tuple[SealedSecret, ...]:
        return tuple(secret for secret in self.secrets if secret.is_valid(now))
