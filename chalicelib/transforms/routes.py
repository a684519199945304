"""`/models/{model_id}/transforms` and `/transforms`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.transforms.request import TransformRequest

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_ONE = "/v1/transforms/{transform_id}"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/models/{model_id}/transforms", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def start_transform(request: Request, model_id: str) -> Reply:
        request.only()
        key = request.headers.get("idempotency-key")
        transform = platform.transforms.start(request.caller, model_id, request.shape(TransformRequest), key)
        location = f"/api/v1/transforms/{transform.transform_id}"
        return Reply(platform.transforms.document(transform), status=202, headers={"Location": location})

    @room.view("GET", "/v1/transforms", authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def list_transforms(request: Request) -> Reply:
        request.only("limit", "offset", "cursor", "model_id")
        paging, model_id = request.paging(), request.query.get("model_id")
        page = platform.transforms.search(request.caller, model_id, paging.limit, paging.offset, paging.cursor)
        found = [platform.transforms.document(each) for each in page.transforms]
        return Reply(paging.document("transforms", found, page.cursor))

    @room.view("GET", _ONE, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def get_transform(request: Request, transform_id: str) -> Reply:
        request.only()
        return Reply(platform.transforms.document(platform.transforms.get(request.caller, transform_id)))

    @room.view("GET", f"{_ONE}/outputs", authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def list_transform_outputs(request: Request, transform_id: str) -> Reply:
        request.only("limit", "cursor")
        limit, cursor = request.integer("limit", 50, 1, 1000), request.query.get("cursor")
        found = platform.transforms.outputs(request.caller, transform_id, limit, cursor)
        document = {"outputs": [dict(each) for each in found.outputs], "limit": limit}
        return Reply({**document, **({"next_cursor": found.cursor.encode()} if found.cursor else {})})

    @room.view("DELETE", _ONE, authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def cancel_transform(request: Request, transform_id: str) -> Reply:
        request.only()
        request.no_body()
        transform = platform.transforms.cancel(request.caller, transform_id)
        return Reply(platform.transforms.document(transform), status=202)

    return room
