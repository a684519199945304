"""Webhooks and deliveries as items of the table `webhooks`, and back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.table import Item, as_json
from chalicelib.webhooks.delivery import Attempt, Delivery, DeliveryStatus
from chalicelib.webhooks.webhook import SealedSecret, Webhook, WebhookStatus

# Longer than the archive keeps events by default, so that a replay of it finds what has been delivered.
KEPT = timedelta(days=45)


def pk(tenant: str, webhook_id: str) -> str:
    return f"hook#{tenant}#{webhook_id}"


def owner(tenant: str, of: str | None) -> str:
    """The partition of an index: a tenant's, or that of something within it."""
    return tenant if of is None else f"{tenant}#{of}"


def of_webhook(webhook: Webhook) -> Item:
    return {
        "pk": pk(webhook.tenant, webhook.webhook_id),
        "sk": "webhook",
        "tenant": webhook.tenant,
        "webhook_id": webhook.webhook_id,
        "user": webhook.user,
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "description": webhook.description,
        "secrets": [_of_secret(secret) for secret in webhook.secrets],
        "status": webhook.status.value,
        "reason": webhook.reason,
        "failing_since": _text(webhook.failing_since),
        "created_at": to_text(webhook.created_at),
        "updated_at": to_text(webhook.updated_at),
        "version": webhook.version,
        "tenant_key": owner(webhook.tenant, None),
        "owner_key": owner(webhook.tenant, webhook.user),
        "listed_at": f"{to_text(webhook.created_at)}#{webhook.webhook_id}",
    }


def webhook(item: Item) -> Webhook:
    return Webhook(
        tenant=item["tenant"],
        webhook_id=item["webhook_id"],
        user=item["user"],
        url=item["url"],
        event_types=tuple(item["event_types"]),
        description=item["description"],
        secrets=tuple(_secret(each) for each in item["secrets"]),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=WebhookStatus(item["status"]),
        reason=item.get("reason"),
        failing_since=_moment(item.get("failing_since")),
        version=item["version"],
    )


def of_delivery(delivery: Delivery) -> Item:
    return {
        "pk": pk(delivery.tenant, delivery.webhook_id),
        "sk": f"delivery#{delivery.event_id}",
        "tenant": delivery.tenant,
        "webhook_id": delivery.webhook_id,
        "event_id": delivery.event_id,
        "kind": delivery.kind,
        "subject": delivery.subject,
        "order": delivery.order,
        "body": delivery.body,
        "status": delivery.status.value,
        "created_at": to_text(delivery.created_at),
        "until": to_text(delivery.until),
        "next_at": _text(delivery.next_at),
        "attempts": as_json([_of_attempt(attempt) for attempt in delivery.attempts]),
        "count": delivery.count,
        "since_wished": delivery.since_wished,
        "wish": delivery.wish,
        "version": delivery.version,
        "expires_at": int((delivery.created_at + KEPT).timestamp()),
        "webhook_key": owner(delivery.tenant, delivery.webhook_id),
        "listed_at": f"{to_text(delivery.created_at)}#{delivery.event_id}",
    }


def delivery(item: Item) -> Delivery:
    return Delivery(
        tenant=item["tenant"],
        webhook_id=item["webhook_id"],
        event_id=item["event_id"],
        kind=item["kind"],
        subject=item["subject"],
        order=item["order"],
        body=item["body"],
        created_at=from_text(item["created_at"]),
        until=from_text(item["until"]),
        status=DeliveryStatus(item["status"]),
        next_at=_moment(item.get("next_at")),
        attempts=tuple(_attempt(each) for each in json.loads(item["attempts"])),
        count=item["count"],
        since_wished=item["since_wished"],
        wish=item["wish"],
        version=item["version"],
    )


def _of_secret(secret: SealedSecret) -> dict[str, Any]:
    return {
        "ciphertext": secret.ciphertext,
        "created_at": to_text(secret.created_at),
        "valid_until": _text(secret.valid_until),
    }


def _secret(item: dict[str, Any]) -> SealedSecret:
    return SealedSecret(item["ciphertext"], from_text(item["created_at"]), _moment(item.get("valid_until")))


def _of_attempt(attempt: Attempt) -> list[Any]:
    return [to_text(attempt.at), attempt.status, attempt.milliseconds, attempt.error]


def _attempt(written: list[Any]) -> Attempt:
    at, status, milliseconds, error = written
    return Attempt(from_text(at), status, milliseconds, error)


def _text(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None


def _moment(text: str | None) -> datetime | None:
    return from_text(text) if text else None
