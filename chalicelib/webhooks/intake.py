"""Makes deliveries of the events that the bus brings. An event that has come before makes none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.clock import Clock
from chalicelib.events.subject import order_of, subject_of
from chalicelib.webhooks.delivery import GIVEN_UP_AFTER, Delivery, body_of
from chalicelib.webhooks.store import Lane, WebhookStore
from chalicelib.webhooks.webhook import Webhook

OwnerOf = Callable[[str, str], str | None]
"""Tenant and job → whose job it is."""


class Unreadable(ValueError):
    """A message of the queue that is no event of ours."""


@dataclass(frozen=True)
class Intake:
    store: WebhookStore
    owner_of: OwnerOf
    now: Clock

    def take(self, event: Mapping[str, Any]) -> list[Lane]:
        """Note what is to be delivered of an event; the lanes in which something waits now.

        Doing it again adds what died with the first try, and nothing else.

        Args:
            event: as EventBridge delivers it.

        Raises:
            Unreadable: it lacks what all our events have.
        """
        match event:
            case {
                "detail-type": str(kind),
                "detail": {"eventId": str(), "tenantId": str(tenant), "occurredAt": str()} as detail,
            }:
                user = self._owner(tenant, detail)
            case _:
                raise Unreadable("this is no event of the service")
        if user is None:
            return []
        wanting = [each for each in self.store.of_owner(tenant, user) if each.is_active and each.wants(kind)]
        return [lane for webhook in wanting if (lane := self._enqueue(webhook, kind, detail))]

    def _owner(self, tenant: str, detail: Mapping[str, Any]) -> str | None:
        """Whose event it is. That of metrics names the job alone."""
        if isinstance(user := detail.get("userId"), str):
            return user
        job_id = detail.get("jobId")
        return self.owner_of(tenant, job_id) if isinstance(job_id, str) else None

    def _enqueue(self, webhook: Webhook, kind: str, detail: Mapping[str, Any]) -> Lane | None:
        now = self.now()
        delivery = self.store.add(
            Delivery(
                tenant=webhook.tenant,
                webhook_id=webhook.webhook_id,
                event_id=detail["eventId"],
                kind=kind,
                subject=subject_of(kind, detail),
                order=order_of(detail),
                body=body_of(kind, detail["occurredAt"], detail),
                created_at=now,
                until=now + GIVEN_UP_AFTER,
                next_at=now,
            )
        )
        return self.store.enqueue(delivery, now) if delivery.is_pending else None
