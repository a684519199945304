"""Webhooks: what their owners ask, and what the queue and the clock call."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta

from chalicelib.audit.entry import Action
from chalicelib.errors import NotFound
from chalicelib.webhooks.delivery import Delivery, DeliveryStatus
from chalicelib.webhooks.request import RotationRequest, WebhookChange, WebhookRequest
from chalicelib.webhooks.tasks import deliver_webhooks
from tests.e2e.receiver import SECONDS, Receiver
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

TYPE = "training.job.submitted"


class NotTaken(Exception):
    """The queue gets its message back, and brings it again."""


def handlers(on: Services, receiver: Receiver) -> list[Handler]:
    """
    Args:
        receiver: takes everything; the function of the template, which shares the table, sends to it too.
    """
    service = on.platform.webhooks

    def create(world: World) -> None:
        request = WebhookRequest(url=receiver.url)
        world.things["id"] = service.create(world.caller, request).webhook.webhook_id

    def made(world: World) -> World:
        create(world)
        return world

    def created(world: World) -> None:
        """Of a lost answer nobody has the secret: what it left is there, and in the log."""
        found = service.search(world.caller, None, 10, 0, None).webhooks
        assert world.things["id"] in [webhook.webhook_id for webhook in found]
        assert on.actions(world, Action.CREATE_WEBHOOK) == len(found) <= 2

    def disable(world: World) -> None:
        service.change(world.caller, world.things["id"], WebhookChange(status="disabled"))

    def disabled(world: World) -> None:
        webhook = service.get(world.caller, world.things["id"])
        assert not webhook.is_active
        assert on.actions(world, Action.CHANGE_WEBHOOK) == webhook.version - 1 <= 2

    def delete(world: World) -> None:
        try:
            service.delete(world.caller, world.things["id"])
        except NotFound:
            return

    def deleted(world: World) -> None:
        assert service.search(world.caller, None, 10, 0, None).webhooks == ()
        assert on.actions(world, Action.DELETE_WEBHOOK) == 1

    def rotate(world: World) -> None:
        world.things["secret"] = service.rotate(world.caller, world.things["id"], RotationRequest()).secret

    def rotated(world: World) -> None:
        webhook = service.get(world.caller, world.things["id"])
        assert len(webhook.valid_secrets(on.clock())) == 2
        assert on.actions(world, Action.ROTATE_WEBHOOK_SECRET) == webhook.version - 1 <= 2

    def ping(world: World) -> None:
        world.things["event"] = service.ping(world.caller, world.things["id"]).event_id

    def come(world: World) -> None:
        """Whatever was left half way is due when the lease of whoever died is over."""
        on.clock.skew = timedelta(minutes=2)
        try:
            on.platform.webhook_sending.run_due()
        finally:
            on.clock.skew = timedelta()
        receiver.wait(lambda got: world.things["event"] in [each.event_id for each in got])
        # The function of the template may be at it at this moment.
        until = time.monotonic() + SECONDS
        while (delivery := the_delivery(world)).is_pending and time.monotonic() < until:
            time.sleep(0.05)
        assert delivery.status is DeliveryStatus.DELIVERED, delivery

    def the_delivery(world: World) -> Delivery:
        return service.delivery(world.caller, world.things["id"], world.things["event"])

    def delivered() -> World:
        world = made(on.world())
        ping(world)
        come(world)
        receiver.got.clear()
        return world

    def again(world: World) -> None:
        service.redeliver(world.caller, world.things["id"], world.things["event"])

    def with_event() -> World:
        world = made(on.world())
        world.things["event"] = uuid.uuid4().hex
        return world

    def take_in(world: World) -> None:
        detail = {
            "eventId": world.things["event"],
            "schemaVersion": 1,
            "occurredAt": "2026-03-01T12:00:00.000Z",
            "tenantId": world.caller.tenant,
            "userId": world.caller.user,
            "jobId": "job",
            "recordVersion": 1,
        }
        body = json.dumps({"detail-type": TYPE, "detail": detail})
        answer = deliver_webhooks(on.platform, {"Records": [{"messageId": "m", "body": body}]})
        if answer["batchItemFailures"]:
            raise NotTaken

    def one_delivery(world: World) -> None:
        come(world)
        page = service.deliveries(world.caller, world.things["id"], 10, 0, None)
        assert [delivery.event_id for delivery in page.deliveries] == [world.things["event"]]

    def fresh() -> World:
        return made(on.world())

    return [
        Handler("createWebhook", on.world, create, created),
        Handler("changeWebhook", fresh, disable, disabled),
        Handler("deleteWebhook", fresh, delete, deleted),
        Handler("rotateWebhookSecret", fresh, rotate, rotated),
        Handler("pingWebhook", fresh, ping, come),
        Handler("redeliver", delivered, again, come),
        Handler("deliver_webhooks", with_event, take_in, one_delivery),
    ]
