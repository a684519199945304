"""`/models/{model_id}/deploy` and `/deployments`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.deployments import views
from chalicelib.deployments.deployment import ENVIRONMENTS, DeploymentFilter, DeploymentStatus
from chalicelib.deployments.invocations import MEDIA_TYPES, Answer, Invocation
from chalicelib.deployments.request import DeploymentConfig, RollbackRequest, WeightsRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


STATUSES = tuple(status.value for status in DeploymentStatus)


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/models/{model_id}/deploy", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def deploy_model(request: Request, model_id: str) -> Reply:
        request.only()
        deployment = platform.deployments.deploy(request.caller, model_id, request.shape(DeploymentConfig))
        location = f"/api/v1/deployments/{deployment.deployment_id}"
        return Reply(views.document(deployment), status=202, headers={"Location": location})

    @room.view("GET", "/v1/deployments", authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def list_deployments(request: Request) -> Reply:
        request.only("environment", "status", "model_id", "limit", "offset", "cursor")
        paging = request.paging()
        status = request.choice("status", STATUSES)
        wanted = DeploymentFilter(
            environment=request.choice("environment", ENVIRONMENTS),
            status=DeploymentStatus(status) if status else None,
            model_id=request.query.get("model_id"),
        )
        page = platform.deployments.search(request.caller, wanted, paging.limit, paging.offset, paging.cursor)
        deployments = [views.document(deployment) for deployment in page.deployments]
        return Reply(paging.document("deployments", deployments, page.cursor))

    @room.view("GET", "/v1/deployments/{deployment_id}", authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ)
    def get_deployment(request: Request, deployment_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.deployments.get(request.caller, deployment_id)))

    @room.view("DELETE", "/v1/deployments/{deployment_id}", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def delete_deployment(request: Request, deployment_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.deployments.undeploy(request.caller, deployment_id)), status=202)

    @room.view("PUT", "/v1/deployments/{deployment_id}/weights", authorizer=authorizer, needs=Permission.MODELS_DEPLOY)
    def change_weights(request: Request, deployment_id: str) -> Reply:
        request.only()
        deployment = platform.deployments.reweigh(request.caller, deployment_id, request.shape(WeightsRequest))
        return Reply(views.document(deployment), status=202)

    @room.view(
        "GET", "/v1/deployments/{deployment_id}/revisions", authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ
    )
    def list_revisions(request: Request, deployment_id: str) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.rolling_back.revisions(
            request.caller, deployment_id, paging.limit, paging.offset, paging.cursor
        )
        return Reply(paging.document("revisions", [views.past(each) for each in page.revisions], page.cursor))

    @room.view(
        "POST", "/v1/deployments/{deployment_id}/rollback", authorizer=authorizer, needs=Permission.MODELS_DEPLOY
    )
    def roll_back_deployment(request: Request, deployment_id: str) -> Reply:
        request.only()
        wanted = request.shape(RollbackRequest) if request.body else RollbackRequest()
        return Reply(views.document(platform.rolling_back.roll_back(request.caller, deployment_id, wanted)), status=202)

    @room.view(
        "GET", "/v1/deployments/{deployment_id}/scaling", authorizer=authorizer, needs=Permission.DEPLOYMENTS_READ
    )
    def get_scaling(request: Request, deployment_id: str) -> Reply:
        request.only()
        return Reply(platform.scaling_report.of(request.caller, deployment_id))

    @room.view(
        "POST",
        "/v1/deployments/{deployment_id}/invocations",
        authorizer=authorizer,
        needs=Permission.DEPLOYMENTS_INVOKE,
        media_types=list(MEDIA_TYPES),
    )
    def invoke_deployment(request: Request, deployment_id: str) -> Reply:
        request.only()
        return _reply(platform.invocations.invoke(request.caller, deployment_id, _invocation(request)))

    @room.view(
        "POST",
        "/v1/endpoints/{name}/{environment}/invocations",
        authorizer=authorizer,
        needs=Permission.DEPLOYMENTS_INVOKE,
        media_types=list(MEDIA_TYPES),
    )
    def invoke_endpoint(request: Request, name: str, environment: str) -> Reply:
        request.only()
        invocation = _invocation(request)
        return _reply(platform.invocations.invoke_place(request.caller, unquote(name), environment, invocation))

    return room


def _invocation(request: Request) -> Invocation:
    media_type = _plain(request.headers.get("content-type", MEDIA_TYPES[0]))
    wanted = [_plain(part) for part in request.headers.get("accept", "").split(",")]
    accept = next((part for part in wanted if part in MEDIA_TYPES), MEDIA_TYPES[0])
    variant, key, experiment = (request.headers.get(name) for name in ("x-variant", "x-assignment-key", "x-experiment"))
    return Invocation(request.body, media_type, accept, variant, key, request.request_id, experiment)


def _reply(answer: Answer) -> Reply:
    headers = {"X-Variant": answer.variant, **({"X-Exposure": answer.exposure} if answer.exposure else {})}
    return Reply(answer.body.decode("utf-8", "replace"), headers=headers, media_type=answer.media_type)


def _plain(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()
