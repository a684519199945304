"""`/admin/reconciler`: ask for a sweep, read the last one's report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.clock import to_text
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/admin/reconciler", authorizer=authorizer, needs=Permission.RECONCILE)
    def reconcile(request: Request) -> Reply:
        request.only()
        request.no_body()
        asked_at = platform.reconciler.request(request.caller)
        return Reply({"asked_at": to_text(asked_at), "report": "/api/v1/admin/reconciler"}, status=202)

    @room.view("GET", "/v1/admin/reconciler", authorizer=authorizer, needs=Permission.RECONCILE)
    def get_last_sweep(request: Request) -> Reply:
        request.only()
        return Reply(platform.reconciler.latest(request.caller))

    return room
