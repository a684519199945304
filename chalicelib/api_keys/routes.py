"""`/api-keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.api_keys import views
from chalicelib.api_keys.request import ApiKeyRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/api-keys", authorizer=authorizer, needs=Permission.KEYS_MANAGE)
    def create_api_key(request: Request) -> Reply:
        request.only()
        new = platform.api_keys.create(request.caller, request.shape(ApiKeyRequest))
        # No copy of the answer may stay on the way.
        headers = {"Location": f"/api/v1/api-keys/{new.key.key_id}", "Cache-Control": "no-store"}
        return Reply(views.created(new, platform.now()), status=201, headers=headers)

    @room.view("GET", "/v1/api-keys", authorizer=authorizer, needs=Permission.KEYS_MANAGE)
    def list_api_keys(request: Request) -> Reply:
        request.only("user_id", "limit", "offset", "cursor")
        paging = request.paging()
        user = request.query.get("user_id")
        page = platform.api_keys.search(request.caller, user, paging.limit, paging.offset, paging.cursor)
        now = platform.now()
        return Reply(paging.document("api_keys", [views.document(key, now) for key in page.keys], page.cursor))

    @room.view("GET", "/v1/api-keys/{key_id}", authorizer=authorizer, needs=Permission.KEYS_MANAGE)
    def get_api_key(request: Request, key_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.api_keys.get(request.caller, key_id), platform.now()))

    @room.view("DELETE", "/v1/api-keys/{key_id}", authorizer=authorizer, needs=Permission.KEYS_MANAGE)
    def revoke_api_key(request: Request, key_id: str) -> Reply:
        request.only()
        platform.api_keys.revoke(request.caller, key_id)
        return Reply(status=204)

    return room
