"""Webhooks as values, and the check that a receiver makes: ``verify``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.webhooks.signature import NotSigned
from chalicelib.webhooks.signature import verify as verified

__all__ = ["Delivery", "NewSecret", "NotSigned", "Webhook", "verify"]


@dataclass(frozen=True)
class Webhook:
    """Where somebody's events are sent.

    Attributes:
        event_types: what it wants; everything but metrics, when empty.
        status: active or disabled.
        reason: why the service disabled it.
        failing_since: of the first attempt that failed since the last that succeeded.
    """

    webhook_id: str
    url: str
    event_types: tuple[str, ...]
    description: str
    status: str
    reason: str | None
    failing_since: str | None
    user_id: str
    created_at: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Webhook:
        return cls(
            webhook_id=document["webhook_id"],
            url=document["url"],
            event_types=tuple(document.get("event_types") or ()),
            description=document.get("description", ""),
            status=document["status"],
            reason=document.get("reason"),
            failing_since=document.get("failing_since"),
            user_id=document.get("user_id", ""),
            created_at=document.get("created_at", ""),
            document=document,
        )


@dataclass(frozen=True)
class NewSecret:
    """A webhook whose secret was just made, and the secret: nobody can be asked for it again."""

    webhook: Webhook
    secret: str = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> NewSecret:
        shown = {name: value for name, value in document.items() if name != "secret"}
        return cls(Webhook.from_document(shown), document["secret"])


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one webhook.

    Attributes:
        status: pending, delivered, failed (given up after 24 hours) or cancelled.
        last_status: of the last answer, over HTTP; None where there was none, and ``last_error`` says why.
        latency_ms: of the last attempt.
        expires_at: when it is given up.
        document: with ``attempt_log`` and ``payload``, if it was asked for by itself.
    """

    event_id: str
    type: str
    status: str
    attempts: int
    last_status: int | None
    last_error: str | None
    latency_ms: int | None
    next_attempt_at: str | None
    expires_at: str
    created_at: str
    document: Mapping[str, Any] = field(repr=False)

    @property
    def is_pending(self) -> bool:
        return self.status == "pending"

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Delivery:
        return cls(
            event_id=document["event_id"],
            type=document["type"],
            status=document["status"],
            attempts=document["attempts"],
            last_status=document.get("last_status"),
            last_error=document.get("last_error"),
            latency_ms=document.get("latency_ms"),
            next_attempt_at=document.get("next_attempt_at"),
            expires_at=document["expires_at"],
            created_at=document["created_at"],
            document=document,
        )


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> str:
    """Checks a delivery in the receiver; returns its ``webhook-id``: the event's id, by which a repetition is known.

    Args:
        secret: as it was shown once, ``whsec_...``.
        body: exactly as it came.
        now: seconds since 1970; the clock's by default.

    Raises:
        NotSigned: no signature fits, or the time is more than five minutes off.
    """
    return verified(secret, headers, body, time.time() if now is None else now)
