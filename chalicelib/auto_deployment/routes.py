"""`/deployment-policies`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.auto_deployment import views
from chalicelib.auto_deployment.request import PolicyRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_ALL = "/v1/deployment-policies"
_ONE = f"{_ALL}/{{model_name}}"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", _ALL, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def list_deployment_policies(request: Request) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.deployment_policies.search(request.caller, paging.limit, paging.offset, paging.cursor)
        return Reply(paging.document("policies", [views.document(each) for each in page.policies], page.cursor))

    @room.view("GET", _ONE, authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def get_deployment_policy(request: Request, model_name: str) -> Reply:
        request.only()
        return Reply(views.document(platform.deployment_policies.get(request.caller, unquote(model_name))))

    @room.view("PUT", _ONE, authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def set_deployment_policy(request: Request, model_name: str) -> Reply:
        request.only()
        wanted = request.shape(PolicyRequest)
        return Reply(views.document(platform.deployment_policies.set(request.caller, unquote(model_name), wanted)))

    @room.view("DELETE", _ONE, authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def remove_deployment_policy(request: Request, model_name: str) -> Reply:
        request.only()
        platform.deployment_policies.remove(request.caller, unquote(model_name))
        return Reply(status=204)

    return room
