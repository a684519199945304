"""`/webhooks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.webhooks import views
from chalicelib.webhooks.request import RotationRequest, WebhookChange, WebhookRequest

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_NEEDS = Permission.WEBHOOKS_MANAGE
# No copy of an answer with a secret may stay on the way.
_PRIVATE = {"Cache-Control": "no-store"}


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/webhooks", authorizer=authorizer, needs=_NEEDS)
    def create_webhook(request: Request) -> Reply:
        request.only()
        new = platform.webhooks.create(request.caller, request.shape(WebhookRequest))
        headers = {"Location": f"/api/v1/webhooks/{new.webhook.webhook_id}", **_PRIVATE}
        return Reply(views.with_secret(new, platform.now()), status=201, headers=headers)

    @room.view("GET", "/v1/webhooks", authorizer=authorizer, needs=_NEEDS)
    def list_webhooks(request: Request) -> Reply:
        request.only("user_id", "limit", "offset", "cursor")
        paging = request.paging()
        user = request.query.get("user_id")
        page = platform.webhooks.search(request.caller, user, paging.limit, paging.offset, paging.cursor)
        now = platform.now()
        return Reply(paging.document("webhooks", [views.document(each, now) for each in page.webhooks], page.cursor))

    @room.view("GET", "/v1/webhooks/{webhook_id}", authorizer=authorizer, needs=_NEEDS)
    def get_webhook(request: Request, webhook_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.webhooks.get(request.caller, webhook_id), platform.now()))

    @room.view("PATCH", "/v1/webhooks/{webhook_id}", authorizer=authorizer, needs=_NEEDS)
    def change_webhook(request: Request, webhook_id: str) -> Reply:
        request.only()
        changed = platform.webhooks.change(request.caller, webhook_id, request.shape(WebhookChange))
        return Reply(views.document(changed, platform.now()))

    @room.view("DELETE", "/v1/webhooks/{webhook_id}", authorizer=authorizer, needs=_NEEDS)
    def delete_webhook(request: Request, webhook_id: str) -> Reply:
        request.only()
        platform.webhooks.delete(request.caller, webhook_id)
        return Reply(status=204)

    @room.view("POST", "/v1/webhooks/{webhook_id}/secret", authorizer=authorizer, needs=_NEEDS)
    def rotate_webhook_secret(request: Request, webhook_id: str) -> Reply:
        request.only()
        wanted = request.shape(RotationRequest) if request.body else RotationRequest()
        new = platform.webhooks.rotate(request.caller, webhook_id, wanted)
        return Reply(views.with_secret(new, platform.now()), headers=_PRIVATE)

    @room.view("POST", "/v1/webhooks/{webhook_id}/ping", authorizer=authorizer, needs=_NEEDS)
    def ping_webhook(request: Request, webhook_id: str) -> Reply:
        request.only()
        request.no_body()
        return Reply(views.delivery(platform.webhooks.ping(request.caller, webhook_id)), status=202)

    @room.view("GET", "/v1/webhooks/{webhook_id}/deliveries", authorizer=authorizer, needs=_NEEDS)
    def list_deliveries(request: Request, webhook_id: str) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.webhooks.deliveries(request.caller, webhook_id, paging.limit, paging.offset, paging.cursor)
        found = [views.summary(each) for each in page.deliveries]
        return Reply(paging.document("deliveries", found, page.cursor))

    @room.view("GET", "/v1/webhooks/{webhook_id}/deliveries/{event_id}", authorizer=authorizer, needs=_NEEDS)
    def get_delivery(request: Request, webhook_id: str, event_id: str) -> Reply:
        request.only()
        return Reply(views.delivery(platform.webhooks.delivery(request.caller, webhook_id, event_id)))

    @room.view("POST", "/v1/webhooks/{webhook_id}/deliveries/{event_id}", authorizer=authorizer, needs=_NEEDS)
    def redeliver(request: Request, webhook_id: str, event_id: str) -> Reply:
        request.only()
        request.no_body()
        return Reply(views.delivery(platform.webhooks.redeliver(request.caller, webhook_id, event_id)), status=202)

    return room
