"""`/deployments/{deployment_id}/capture` and `/captures`."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.captures.request import DataCaptureRequest
from chalicelib.deployments import views
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_CAPTURE = "/v1/deployments/{deployment_id}/capture"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("PUT", _CAPTURE, authorizer=authorizer, needs=Permission.DEPLOYMENTS_CAPTURES)
    def set_data_capture(request: Request, deployment_id: str) -> Reply:
        request.only()
        wanted = request.shape(DataCaptureRequest)
        return Reply(views.document(platform.captures.set(request.caller, deployment_id, wanted)))

    @room.view("DELETE", _CAPTURE, authorizer=authorizer, needs=Permission.DEPLOYMENTS_CAPTURES)
    def end_data_capture(request: Request, deployment_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.captures.end(request.caller, deployment_id)))

    @room.view(
        "GET",
        "/v1/deployments/{deployment_id}/captures",
        authorizer=authorizer,
        needs=Permission.DEPLOYMENTS_CAPTURES,
    )
    def list_captures(request: Request, deployment_id: str) -> Reply:
        request.only("variant", "date", "limit", "cursor")
        limit, cursor = request.integer("limit", 50, 1, 1000), request.query.get("cursor")
        found = platform.captures.search(request.caller, deployment_id, _variant(request), _day(request), limit, cursor)
        document = {"captures": [dict(each) for each in found.captures], "limit": limit}
        return Reply({**document, **({"next_cursor": found.cursor.encode()} if found.cursor else {})})

    return room


def _variant(request: Request) -> str | None:
    name = request.query.get("variant")
    if name is not None and (not name or "/" in name or len(name) > 64):
        cure = "Name one of the deployment's variants, such as v3."
        raise InvalidRequest.about(FieldProblem("variant", f"is {name[:64]!r}", cure))
    return name


def _day(request: Request) -> date | None:
    text = request.query.get("date")
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        problem = FieldProblem("date", f"is {(text or '')[:40]!r}", "Use a day in UTC, as 2026-03-01.")
        raise InvalidRequest.about(problem) from None
