"""Webhooks and their deliveries in DynamoDB: value in, value out, and every condition under its name.

    pk                          sk                       what
    hook#<tenant>#<webhook>     webhook                  the webhook
    hook#<tenant>#<webhook>     delivery#<event_id>      one event on its way to it, for `KEPT` in the log
    hook#<tenant>#<webhook>     lane#<subject>           the deliveries about one thing that are still to be made

An event makes one delivery for a webhook, however often it comes: its id is in the key.

A lane is there while something waits in it, and is found by the index `by-due` when its time has come. Whoever works on it
moves that time on first, so that others leave it alone, and whoever dies over it gives it back when the time is over:

    worker A    takes the lane until 12:01:30   sends …   dies
    worker B                        12:00:40  not due         12:01:30  takes the lane, sends again, with the same id
    an event                        12:00:50  adds itself to what waits; the time stays

What waits is named by the event and by how often its owner has wished for it, so that whoever has sent it takes away no
wish that came meanwhile; and a delivery is replaced only as it was read, so that neither an attempt nor a wish is lost.

Lists read the indexes `by-tenant`, `by-owner` and, for deliveries, `by-webhook`, newest first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.clock import to_text
from chalicelib.cursor import Cursor, pages
from chalicelib.errors import Conflict, NotFound
from chalicelib.table import ConditionFailed, Item, Table, Write, decode, encode
from chalicelib.webhooks import items
from chalicelib.webhooks.delivery import Delivery
from chalicelib.webhooks.webhook import Webhook

SHARDS = 4
"""Of what is due: a partition of an index takes a thousand changes a second."""

_TRIES = 5

_LISTED = ("pk", "sk", "listed_at")
_INDEX = {False: ("by-tenant", "tenant_key"), True: ("by-owner", "owner_key")}
_DUE, _LOG = ("by-due", "due_key"), ("by-webhook", "webhook_key")

_THERE = "attribute_exists(pk)"
_NAMES = {"#version": "version", "#status": "status"}
_AS_READ = "#version = :version"
_ACTIVE = "#status = :active"
_IS_DUE = "attribute_exists(pk) AND listed_at <= :now"
_NOTHING_WAITS = "attribute_not_exists(waiting)"
_NOT_FAILING = "attribute_exists(pk) AND attribute_not_exists(failing_since)"
_FAILING = "attribute_exists(failing_since)"


@dataclass(frozen=True)
class Lane:
    """What is sent in order: the deliveries to one webhook that are about one thing."""

    tenant: str
    webhook_id: str
    subject: str

    @classmethod
    def of(cls, delivery: Delivery) -> Lane:
        return cls(delivery.tenant, delivery.webhook_id, delivery.subject)


@dataclass(frozen=True)
class Waiting:
    """An event that waits in a lane: its place in the order, its id, and the wish."""

    entry: str

    @classmethod
    def of(cls, delivery: Delivery) -> Waiting:
        return cls(f"{delivery.order:012d}#{delivery.event_id}#{delivery.wish}")

    @property
    def event_id(self) -> str:
        return self.entry.split("#")[1]

    def is_of(self, delivery: Delivery) -> bool:
        """False when its owner has wished for it since, and so it waits elsewhere."""
        return self == Waiting.of(delivery)


@dataclass(frozen=True)
class WebhookPage:
    webhooks: tuple[Webhook, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class DeliveryPage:
    deliveries: tuple[Delivery, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class WebhookStore:
    table: Table

    def create(self, webhook: Webhook, *also: Write) -> None:
        """
        Args:
            also: writes that happen in the same transaction, or not at all.
        """
        self.table.transact(self.table.put_if_absent(items.of_webhook(webhook)), *also)

    def get(self, tenant: str, webhook_id: str) -> Webhook | None:
        item = self.table.get(items.pk(tenant, webhook_id), "webhook")
        return items.webhook(item) if item else None

    def change(self, webhook: Webhook, *also: Write) -> bool:
        """Replace what was read, one version on; False when somebody else was faster, or it is gone."""
        item = items.of_webhook(webhook)
        condition = {
            "condition": _AS_READ,
            "names": {"#version": "version"},
            "values": {":version": webhook.version - 1},
        }
        try:
            self.table.transact(self.table.put(item, **condition), *also)  # type: ignore[arg-type]
        except ConditionFailed:
            return False
        return True

    def delete(self, webhook: Webhook, *also: Write) -> bool:
        write = self.table.delete(items.pk(webhook.tenant, webhook.webhook_id), "webhook", condition=_THERE)
        try:
            self.table.transact(write, *also)
        except ConditionFailed:
            return False
        return True

    def of_owner(self, tenant: str, user: str) -> Iterator[Webhook]:
        for page in pages(lambda after: self.search(tenant, user, 100, 0, after)):
            yield from page.webhooks

    def search(self, tenant: str, user: str | None, limit: int, offset: int, after: Cursor | None) -> WebhookPage:
        """A tenant's webhooks, or one user's."""
        index, name = _INDEX[user is not None]
        page = self.table.query(
            (name, items.owner(tenant, user)), index=index, after=after, limit=limit, offset=offset, newest_first=True
        )
        return WebhookPage(tuple(items.webhook(item) for item in page.items), page.cursor)

    def note_failure(self, webhook: Webhook, now: datetime) -> None:
        """Remember since when nothing has come through."""
        if webhook.failing_since is None:
            self._note(webhook, {"failing_since": to_text(now)}, (), _NOT_FAILING)

    def note_success(self, webhook: Webhook) -> None:
        if webhook.failing_since is not None:
            self._note(webhook, {}, ("failing_since",), _FAILING)

    def disable(self, webhook: Webhook, reason: str, now: datetime) -> bool:
        """Disable an active webhook, for a reason of the service's; False when it is not active any more."""
        write = self.table.change(
            items.pk(webhook.tenant, webhook.webhook_id),
            "webhook",
            {"status": "disabled", "reason": reason, "updated_at": to_text(now)},
            add={"version": 1},
            condition=f"{_THERE} AND {_ACTIVE}",
            names={"#status": "status"},
            values={":active": "active"},
        )
        try:
            self.table.write(write)
        except ConditionFailed:
            return False
        return True

    def add(self, delivery: Delivery) -> Delivery:
        """Note a delivery that is to be made; the one that is there already, where the event has come before."""
        try:
            self.table.write(self.table.put_if_absent(items.of_delivery(delivery)))
        except ConditionFailed:
            return self.delivery(delivery.tenant, delivery.webhook_id, delivery.event_id) or delivery
        return delivery

    def note(self, delivery: Delivery, change: Callable[[Delivery], Delivery]) -> Delivery:
        """Change a delivery, as it was read or, where somebody else was faster, as it is now; what it is then.

        Raises:
            Conflict: somebody else was faster each time.
            NotFound: it is gone.
        """
        return self._replaced(delivery, change)

    def wish(self, delivery: Delivery, change: Callable[[Delivery], Delivery], now: datetime) -> Delivery:
        """Change a delivery, as `note` does, and let it wait in its lane: both, or neither."""
        return self._replaced(delivery, change, waits_since=now)

    def _replaced(
        self, delivery: Delivery, change: Callable[[Delivery], Delivery], waits_since: datetime | None = None
    ) -> Delivery:
        for _ in range(_TRIES):
            changed = replace(change(delivery), version=delivery.version + 1)
            write = self.table.put(
                items.of_delivery(changed),
                condition=_AS_READ,
                names={"#version": "version"},
                values={":version": delivery.version},
            )
            try:
                if waits_since:
                    self.table.transact(write, self._waits(changed, waits_since))
                else:
                    self.table.write(write)
            except ConditionFailed:
                found = self.delivery(delivery.tenant, delivery.webhook_id, delivery.event_id)
                if found is None:
                    raise NotFound("delivery") from None
                delivery = found
            else:
                return changed
        raise Conflict("This delivery is being made. Try again.")

    def delivery(self, tenant: str, webhook_id: str, event_id: str) -> Delivery | None:
        item = self.table.get(items.pk(tenant, webhook_id), f"delivery#{event_id}")
        return items.delivery(item) if item else None

    def deliveries(self, webhook: Webhook, limit: int, offset: int, after: Cursor | None) -> DeliveryPage:
        index, name = _LOG
        key = (name, items.owner(webhook.tenant, webhook.webhook_id))
        page = self.table.query(key, index=index, after=after, limit=limit, offset=offset, newest_first=True)
        return DeliveryPage(tuple(items.delivery(item) for item in page.items), page.cursor)

    def enqueue(self, delivery: Delivery, now: datetime) -> Lane:
        """Let a delivery wait in its lane; a lane that is waited for, or worked on, keeps its time."""
        self.table.write(self._waits(delivery, now))
        return Lane.of(delivery)

    def _waits(self, delivery: Delivery, now: datetime) -> Write:
        lane = Lane.of(delivery)
        pk, sk = _lane_key(lane)
        arguments = {
            "TableName": self.table.name,
            "Key": encode({"pk": pk, "sk": sk}),
            "UpdateExpression": "SET tenant = :tenant, webhook_id = :webhook, subject = :subject, due_key = :due, "
            "listed_at = if_not_exists(listed_at, :now) ADD waiting :entry",
            "ExpressionAttributeValues": encode(
                {
                    ":tenant": lane.tenant,
                    ":webhook": lane.webhook_id,
                    ":subject": lane.subject,
                    ":due": _shard(lane),
                    ":now": to_text(now),
                    ":entry": frozenset({Waiting.of(delivery).entry}),
                }
            ),
        }
        return Write("Update", arguments)

    def due(self, shard: int, now: datetime, limit: int) -> list[Lane]:
        """Lanes whose time has come, the longest due first."""
        index, name = _DUE
        page = self.table.query(
            (name, f"due#{shard}"), index=index, between=("listed_at", "0", to_text(now)), limit=limit
        )
        return [Lane(item["tenant"], item["webhook_id"], item["subject"]) for item in page.items]

    def take(self, lane: Lane, now: datetime, until: datetime) -> list[Waiting] | None:
        """What waits in a lane, in its order; None when it is not due, or gone.

        Args:
            until: nobody else takes it before.
        """
        values = {":until": to_text(until), ":now": to_text(now)}
        try:
            found = self._update(lane, "SET listed_at = :until", values, _IS_DUE)
        except ConditionFailed:
            return None
        return [Waiting(entry) for entry in sorted(found.get("waiting", ()))]

    def drop(self, lane: Lane, waiting: Waiting) -> None:
        """It waits no longer."""
        self._update(lane, "DELETE waiting :entry", {":entry": frozenset({waiting.entry})}, _THERE)

    def give_back(self, lane: Lane, due: datetime) -> bool:
        """A lane is worked on no longer; True when something still waits in it, then until `due`."""
        key = _lane_key(lane)
        try:
            self.table.write(self.table.delete(*key, condition=_NOTHING_WAITS))
        except ConditionFailed:
            with contextlib.suppress(ConditionFailed):
                self.table.write(self.table.change(*key, {"listed_at": to_text(due)}, condition=_THERE))
                return True
        return False

    def forget(self, lane: Lane) -> None:
        """The webhook is gone, and with it whatever waits for it."""
        self.table.write(self.table.delete(*_lane_key(lane)))

    @staticmethod
    def cursor(text: str | None, tenant: str, user: str | None) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, name = _INDEX[user is not None]
        return Cursor.of_list(text, _LISTED, {name: items.owner(tenant, user)})

    @staticmethod
    def log_cursor(text: str | None, webhook: Webhook) -> Cursor | None:
        _, name = _LOG
        return Cursor.of_list(text, _LISTED, {name: items.owner(webhook.tenant, webhook.webhook_id)})

    def _note(self, webhook: Webhook, assign: Mapping[str, Any], remove: tuple[str, ...], condition: str) -> None:
        key = items.pk(webhook.tenant, webhook.webhook_id), "webhook"
        try:
            self.table.write(self.table.change(*key, assign, remove=remove, condition=condition))
        except ConditionFailed:
            # Another delivery has noted it at the same moment, or the webhook is gone.
            return

    def _update(self, lane: Lane, expression: str, values: Mapping[str, Any], condition: str = "") -> Item:
        """Change a lane; what it is then.

        Raises:
            ConditionFailed: it is not as the condition asks for.
        """
        pk, sk = _lane_key(lane)
        arguments: dict[str, Any] = {
            "TableName": self.table.name,
            "Key": encode({"pk": pk, "sk": sk}),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": encode(values),
            "ReturnValues": "ALL_NEW",
        }
        if condition:
            arguments["ConditionExpression"] = condition
        try:
            answer = self.table.client.update_item(**arguments)
        except self.table.client.exceptions.ConditionalCheckFailedException:
            raise ConditionFailed(["ConditionalCheckFailed"]) from None
        return decode(answer["Attributes"])


def _lane_key(lane: Lane) -> tuple[str, str]:
    return items.pk(lane.tenant, lane.webhook_id), f"lane#{lane.subject}"


def _shard(lane: Lane) -> str:
    return f"due#{sum(lane.webhook_id.encode()) % SHARDS}"
