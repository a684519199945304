"""Webhooks and deliveries as their owners see them. No secret is in any of it but `with_secret`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from chalicelib.clock import to_text
from chalicelib.webhooks.delivery import Delivery
from chalicelib.webhooks.service import NewSecret
from chalicelib.webhooks.webhook import Webhook


def document(webhook: Webhook, now: datetime) -> dict[str, Any]:
    return {
        "webhook_id": webhook.webhook_id,
        "user_id": webhook.user,
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "description": webhook.description,
        "status": webhook.status.value,
        "reason": webhook.reason,
        "failing_since": _text(webhook.failing_since),
        "created_at": to_text(webhook.created_at),
        "updated_at": to_text(webhook.updated_at),
        "secrets": [
            {"created_at": to_text(secret.created_at), "valid_until": _text(secret.valid_until)}
            for secret in webhook.valid_secrets(now)
        ],
    }


def with_secret(new: NewSecret, now: datetime) -> dict[str, Any]:
    """The one answer that holds the secret itself."""
    return {**document(new.webhook, now), "secret": new.secret}


def delivery(found: Delivery) -> dict[str, Any]:
    """With the payload and every attempt that is kept."""
    attempts = [
        {
            "at": to_text(attempt.at),
            "status": attempt.status,
            "latency_ms": attempt.milliseconds,
            "error": attempt.error,
        }
        for attempt in found.attempts
    ]
    return {**summary(found), "attempt_log": attempts, "payload": json.loads(found.body)}


def summary(found: Delivery) -> dict[str, Any]:
    last = found.attempts[-1] if found.attempts else None
    return {
        "event_id": found.event_id,
        "webhook_id": found.webhook_id,
        "type": found.kind,
        "status": found.status.value,
        "attempts": found.count,
        "last_status": last.status if last else None,
        "last_error": last.error if last else None,
        "latency_ms": last.milliseconds if last else None,
        "created_at": to_text(found.created_at),
        "last_attempt_at": to_text(last.at) if last else None,
        "next_attempt_at": _text(found.next_at),
        "expires_at": to_text(found.until),
    }


def _text(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None
