"""The calls about webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport
from aimatrix.client.webhooks import Delivery, NewSecret, Webhook

WEBHOOKS = "/webhooks"
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class WebhookCalls:
    """``client.webhooks``."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def create(self, url: str, event_types: Sequence[str] = (), *, description: str = "") -> NewSecret:
        """Has the caller's own events sent to an address.

        Sent at most once: of a lost answer nobody has the secret. Delete what such a try may have left.

        Args:
            event_types: what it wants; everything but metrics by default.
        """
        body = {"url": url, "event_types": list(event_types), "description": description}
        return NewSecret.from_document(self.transport.document("POST", WEBHOOKS, body=body))

    def list(self, *, user_id: str | None = None, page_size: int = 50) -> Iterator[Webhook]:
        """The webhooks the caller may see, latest first, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"user_id": user_id, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", WEBHOOKS, params=params)

        return (Webhook.from_document(each) for each in each_document(fetch, "webhooks"))

    def get(self, webhook_id: str) -> Webhook:
        return Webhook.from_document(self.transport.document("GET", _path(webhook_id)))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        description: str | None = None,
        status: str | None = None,
    ) -> Webhook:
        """Changes what is given. One that becomes active again starts anew."""
        types = None if event_types is None else [*event_types]
        wanted = {"url": url, "event_types": types, "description": description, "status": status}
        body = {name: value for name, value in wanted.items() if value is not None}
        return Webhook.from_document(self.transport.document("PATCH", _path(webhook_id), body=body))

    def delete(self, webhook_id: str) -> None:
        self.transport.call("DELETE", _path(webhook_id))

    def rotate(self, webhook_id: str, *, overlap_hours: int | None = None) -> NewSecret:
        """A new secret; deliveries are signed with the old one, too, until the overlap is over (24 hours)."""
        body = {} if overlap_hours is None else {"overlap_hours": overlap_hours}
        return NewSecret.from_document(self.transport.document("POST", f"{_path(webhook_id)}/secret", body=body))

    def ping(self, webhook_id: str) -> Delivery:
        """Sends a test. ``wait`` tells how it went."""
        return Delivery.from_document(self.transport.document("POST", f"{_path(webhook_id)}/ping"))

    def deliveries(self, webhook_id: str, *, page_size: int = 50) -> Iterator[Delivery]:
        """What was sent, and is to be, latest first."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"limit": page_size, "cursor": cursor}
            return self.transport.document("GET", f"{_path(webhook_id)}/deliveries", params=params)

        return (Delivery.from_document(each) for each in each_document(fetch, "deliveries"))

    def delivery(self, webhook_id: str, event_id: str) -> Delivery:
        """With every attempt, and the payload."""
        return Delivery.from_document(self.transport.document("GET", _delivery(webhook_id, event_id)))

    def redeliver(self, webhook_id: str, event_id: str) -> Delivery:
        """Sends an event again, now, with its own id."""
        return Delivery.from_document(self.transport.document("POST", _delivery(webhook_id, event_id)))

    def wait(self, webhook_id: str, delivery: Delivery, timeout: float = 30) -> Delivery:
        """Waits for the next attempt: the delivery as it is then, or as it is when the time is over."""
        deadline = self.monotonic() + timeout
        found = delivery
        while found.is_pending and found.attempts == delivery.attempts and self.monotonic() < deadline:
            self.sleep(_PAUSE_SECONDS)
            found = self.delivery(webhook_id, delivery.event_id)
        return found


def _path(webhook_id: str) -> str:
    return f"{WEBHOOKS}/{quote(webhook_id, safe='')}"


def _delivery(webhook_id: str, event_id: str) -> str:
    return f"{_path(webhook_id)}/deliveries/{quote(event_id, safe='')}"
