"""`/environments` and `/models/{model_id}/approvals`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.environments import views
from chalicelib.environments.request import ApprovalRequest, EnvironmentPolicyRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_ALL = "/v1/environments"
_ONE = f"{_ALL}/{{environment}}"
_APPROVALS = "/v1/models/{model_id}/approvals"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", _ALL, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def list_environments(request: Request) -> Reply:
        request.only()
        return Reply({"environments": [views.document(each) for each in platform.environments.all(request.caller)]})

    @room.view("GET", _ONE, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def get_environment(request: Request, environment: str) -> Reply:
        request.only()
        return Reply(views.document(platform.environments.get(request.caller, environment)))

    @room.view("PUT", _ONE, authorizer=authorizer, needs=Permission.ENVIRONMENTS_MANAGE)
    def set_environment(request: Request, environment: str) -> Reply:
        request.only()
        wanted = request.shape(EnvironmentPolicyRequest)
        return Reply(views.document(platform.environments.set(request.caller, environment, wanted)))

    @room.view("DELETE", _ONE, authorizer=authorizer, needs=Permission.ENVIRONMENTS_MANAGE)
    def clear_environment(request: Request, environment: str) -> Reply:
        request.only()
        platform.environments.clear(request.caller, environment)
        return Reply(status=204)

    @room.view("POST", _APPROVALS, authorizer=authorizer, needs=Permission.MODELS_APPROVE)
    def approve_model(request: Request, model_id: str) -> Reply:
        request.only()
        given = platform.environments.approve(request.caller, model_id, request.shape(ApprovalRequest))
        return Reply(views.approval(given), status=201)

    @room.view("GET", _APPROVALS, authorizer=authorizer, needs=Permission.MODELS_READ)
    def list_approvals(request: Request, model_id: str) -> Reply:
        request.only()
        given = platform.environments.approvals(request.caller, model_id)
        return Reply({"approvals": [views.approval(each) for each in given]})

    return room
