"""What a user may do with webhooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker, is_id, to_text
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, NotFound, RefusedValue
from chalicelib.identity.caller import Caller, is_user
from chalicelib.identity.permissions import Permission
from chalicelib.webhooks import signature
from chalicelib.webhooks.addresses import Forbidden, target_of
from chalicelib.webhooks.delivery import GIVEN_UP_AFTER, Delivery, body_of
from chalicelib.webhooks.gateways import WakeUps
from chalicelib.webhooks.request import RotationRequest, WebhookChange, WebhookRequest
from chalicelib.webhooks.store import DeliveryPage, Lane, WebhookPage, WebhookStore
from chalicelib.webhooks.vault import Vault
from chalicelib.webhooks.webhook import EVENT_TYPES, PING, Webhook, WebhookStatus

MAX_WEBHOOKS = 20
"""That a user may have: each event is matched with all of them."""

_EVENT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TRIES = 3


@dataclass(frozen=True)
class NewSecret:
    """A webhook whose secret was just made, and the secret: the only time that anybody sees it."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True)
class WebhookService:
    """
    Args:
        loopback_ports: where plain HTTP to this machine is allowed.
    """

    store: WebhookStore
    vault: Callable[[], Vault]
    wake_ups: Callable[[], WakeUps]
    loopback_ports: frozenset[int]
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def create(self, caller: Caller, request: WebhookRequest) -> NewSecret:
        """
        Raises:
            InvalidRequest, RefusedValue: a type is unknown; a webhook may not lead there.
            Conflict: the caller has too many.
        """
        caller.require(Permission.WEBHOOKS_MANAGE)
        self._check_url(request.url)
        types = _types(request.event_types)
        if len(self.store.search(caller.tenant, caller.user, MAX_WEBHOOKS, 0, None).webhooks) >= MAX_WEBHOOKS:
            raise Conflict(f"You have {MAX_WEBHOOKS} webhooks. Delete what you don't need.")
        now, webhook_id = self.now(), self.new_id()
        key, secret = self.vault().new(caller.tenant, webhook_id, now)
        webhook = Webhook(
            tenant=caller.tenant,
            webhook_id=webhook_id,
            user=caller.user,
            url=request.url,
            event_types=types,
            description=request.description,
            secrets=(secret,),
            created_at=now,
            updated_at=now,
        )
        made = self.audit.entry(caller, Action.CREATE_WEBHOOK, subject("webhook", webhook_id), host=self._host(webhook))
        self.store.create(webhook, made)
        return NewSecret(webhook, signature.secret_text(key))

    def search(self, caller: Caller, user: str | None, limit: int, offset: int, cursor: str | None) -> WebhookPage:
        """The webhooks a caller may see, newest first: own ones, or everybody's in the tenant with the permission."""
        caller.require(Permission.WEBHOOKS_MANAGE)
        if not caller.may(Permission.WEBHOOKS_MANAGE_ALL):
            if user not in {None, caller.user}:
                return WebhookPage((), None)
            user = caller.user
        if user is not None and not is_user(user):
            return WebhookPage((), None)
        after = WebhookStore.cursor(cursor, caller.tenant, user)
        return self.store.search(caller.tenant, user, limit, offset, after)

    def get(self, caller: Caller, webhook_id: str) -> Webhook:
        """
        Raises:
            NotFound: not there, or not this caller's to see.
        """
        caller.require(Permission.WEBHOOKS_MANAGE)
        webhook = self.store.get(caller.tenant, webhook_id) if is_id(webhook_id) else None
        if webhook is None or (webhook.user != caller.user and not caller.may(Permission.WEBHOOKS_MANAGE_ALL)):
            raise NotFound("webhook")
        return webhook

    def change(self, caller: Caller, webhook_id: str, request: WebhookChange) -> Webhook:
        """Change what is given. One that becomes active again starts anew."""
        if request.url is not None:
            self._check_url(request.url)
        types = _types(request.event_types) if request.event_types is not None else None

        def changed(webhook: Webhook) -> Webhook:
            status = WebhookStatus(request.status) if request.status else webhook.status
            starts_anew = request.status is not None
            return replace(
                webhook,
                url=request.url or webhook.url,
                event_types=webhook.event_types if types is None else types,
                description=webhook.description if request.description is None else request.description,
                status=status,
                reason=None if starts_anew else webhook.reason,
                failing_since=None if starts_anew else webhook.failing_since,
            )

        return self._changed(caller, webhook_id, changed, Action.CHANGE_WEBHOOK, status=request.status)

    def delete(self, caller: Caller, webhook_id: str) -> None:
        """From the next attempt on nothing is sent to it. Its log goes by and by."""
        webhook = self.get(caller, webhook_id)
        deleted = self.audit.entry(
            caller, Action.DELETE_WEBHOOK, subject("webhook", webhook_id), owner=webhook.user, host=self._host(webhook)
        )
        if not self.store.delete(webhook, deleted):
            raise NotFound("webhook")

    def rotate(self, caller: Caller, webhook_id: str, request: RotationRequest) -> NewSecret:
        """A new secret; deliveries are signed with the old one, too, until the overlap is over."""
        webhook = self.get(caller, webhook_id)
        now = self.now()
        key, secret = self.vault().new(webhook.tenant, webhook_id, now)
        until = now + timedelta(hours=request.overlap_hours)

        def rotated(read: Webhook) -> Webhook:
            # One old secret at most: whoever rotates twice in a day has lost the first of them.
            old = replace(read.secrets[0], valid_until=until)
            return replace(read, secrets=(secret, *((old,) if old.is_valid(now) else ())))

        done = self._changed(caller, webhook_id, rotated, Action.ROTATE_WEBHOOK_SECRET, old_until=to_text(until))
        return NewSecret(done, signature.secret_text(key))

    def ping(self, caller: Caller, webhook_id: str) -> Delivery:
        """Send a test; its delivery tells how that went."""
        webhook = self.get(caller, webhook_id)
        self._require_active(webhook)
        now, event_id = self.now(), self.new_id()
        data = {"webhookId": webhook_id, "userId": caller.user}
        delivery = Delivery(
            tenant=webhook.tenant,
            webhook_id=webhook_id,
            event_id=event_id,
            kind=PING,
            subject=f"ping/{event_id}",
            order=0,
            body=body_of(PING, to_text(now), data),
            created_at=now,
            until=now + GIVEN_UP_AFTER,
            next_at=now,
        )
        self.audit.record(caller, Action.PING_WEBHOOK, subject("webhook", webhook_id))
        return self._send(self.store.add(delivery))

    def deliveries(self, caller: Caller, webhook_id: str, limit: int, offset: int, cursor: str | None) -> DeliveryPage:
        """What was sent to a webhook, and is to be, newest first."""
        webhook = self.get(caller, webhook_id)
        return self.store.deliveries(webhook, limit, offset, WebhookStore.log_cursor(cursor, webhook))

    def delivery(self, caller: Caller, webhook_id: str, event_id: str) -> Delivery:
        webhook = self.get(caller, webhook_id)
        found = self.store.delivery(webhook.tenant, webhook_id, event_id) if _EVENT_ID.fullmatch(event_id) else None
        if found is None:
            raise NotFound("delivery")
        return found

    def redeliver(self, caller: Caller, webhook_id: str, event_id: str) -> Delivery:
        """Send an event again, now, with its own id and a day of its own."""
        webhook = self.get(caller, webhook_id)
        self._require_active(webhook)
        delivery = self.delivery(caller, webhook_id, event_id)
        self.audit.record(caller, Action.REDELIVER, subject("webhook", webhook_id), event_id=event_id)

        def again(read: Delivery) -> Delivery:
            # In a lane of its own: later events of the same thing are not held up by an old one, nor this one by them.
            return replace(read.again(self.now()), subject=f"again/{event_id}")

        wished = self.store.wish(delivery, again, self.now())
        self.wake_ups().send(Lane.of(wished))
        return wished

    def _send(self, delivery: Delivery) -> Delivery:
        self.wake_ups().send(self.store.enqueue(delivery, self.now()))
        return delivery

    def _changed(
        self,
        caller: Caller,
        webhook_id: str,
        change: Callable[[Webhook], Webhook],
        action: Action,
        **details: str | None,
    ) -> Webhook:
        for _ in range(_TRIES):
            read = self.get(caller, webhook_id)
            changed = replace(change(read), updated_at=self.now(), version=read.version + 1)
            entry = self.audit.entry(
                caller, action, subject("webhook", webhook_id), owner=read.user, host=self._host(changed), **details
            )
            if self.store.change(changed, entry):
                return changed
        raise Conflict("Somebody else is changing this webhook. Try again.")

    def _check_url(self, url: str) -> None:
        try:
            target_of(url, self.loopback_ports)
        except Forbidden as refusal:
            raise RefusedValue.about(FieldProblem("url", str(refusal), refusal.cure)) from None

    def _host(self, webhook: Webhook) -> str:
        """For the audit log: a path may hold a secret of the receiver's."""
        return target_of(webhook.url, self.loopback_ports).host

    def _require_active(self, webhook: Webhook) -> None:
        if not webhook.is_active:
            raise Conflict('The webhook is disabled. Change its status to "active" first.')


def _types(wanted: list[str]) -> tuple[str, ...]:
    if unknown := [name for name in dict.fromkeys(wanted) if name not in EVENT_TYPES]:
        problem = f"holds {', '.join(repr(name[:40]) for name in unknown[:5])}"
        raise InvalidRequest.about(FieldProblem("event_types", problem, f"Use some of {', '.join(EVENT_TYPES)}."))
    return tuple(name for name in EVENT_TYPES if name in wanted)
