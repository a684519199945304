"""`/deployments/{deployment_id}/rollouts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.rollouts import views
from chalicelib.rollouts.request import RolloutRequest

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_ALL = "/v1/deployments/{deployment_id}/rollouts"
_ONE = f"{_ALL}/{{rollout_id}}"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", _ALL, authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def start_rollout(request: Request, deployment_id: str) -> Reply:
        request.only()
        rollout = platform.rollouts.start(request.caller, deployment_id, request.shape(RolloutRequest))
        location = f"/api/v1/deployments/{deployment_id}/rollouts/{rollout.number}"
        return Reply(views.document(rollout), status=201, headers={"Location": location})

    @room.view("GET", _ALL, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def list_rollouts(request: Request, deployment_id: str) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.rollouts.search(request.caller, deployment_id, paging.limit, paging.offset, paging.cursor)
        return Reply(paging.document("rollouts", [views.document(each) for each in page.rollouts], page.cursor))

    @room.view("GET", _ONE, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def get_rollout(request: Request, deployment_id: str, rollout_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.rollouts.get(request.caller, deployment_id, rollout_id)))

    @room.view("POST", f"{_ONE}/pause", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def pause_rollout(request: Request, deployment_id: str, rollout_id: str) -> Reply:
        request.only()
        request.no_body()
        return Reply(views.document(platform.rollouts.pause(request.caller, deployment_id, rollout_id)))

    @room.view("POST", f"{_ONE}/resume", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def resume_rollout(request: Request, deployment_id: str, rollout_id: str) -> Reply:
        request.only()
        request.no_body()
        return Reply(views.document(platform.rollouts.resume(request.caller, deployment_id, rollout_id)))

    @room.view("POST", f"{_ONE}/promote", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def promote_rollout(request: Request, deployment_id: str, rollout_id: str) -> Reply:
        request.only()
        request.no_body()
        return Reply(views.document(platform.rollouts.promote(request.caller, deployment_id, rollout_id)), status=202)

    @room.view("POST", f"{_ONE}/abort", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def abort_rollout(request: Request, deployment_id: str, rollout_id: str) -> Reply:
        request.only()
        request.no_body()
        return Reply(views.document(platform.rollouts.abort(request.caller, deployment_id, rollout_id)), status=202)

    return room
