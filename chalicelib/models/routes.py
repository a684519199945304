"""`/models`, except what deploys one."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.request import Framework
from chalicelib.models import views
from chalicelib.models.model import ModelFilter, ModelStatus
from chalicelib.models.request import ModelChange, ModelRegistrationRequest

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


FRAMEWORKS: tuple[str, ...] = get_args(Framework)
STATUSES = tuple(status.value for status in ModelStatus)


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/models", authorizer=authorizer, needs=Permission.MODELS_READ)
    def list_models(request: Request) -> Reply:
        request.only("framework", "status", "limit", "offset", "cursor")
        paging = request.paging()
        status = request.choice("status", STATUSES)
        wanted = ModelFilter(request.choice("framework", FRAMEWORKS), ModelStatus(status) if status else None)
        page = platform.models.search(request.caller, wanted, paging.limit, paging.offset, paging.cursor)
        models = [views.document(model) for model in page.models]
        return Reply(paging.document("models", models, page.cursor))

    @room.view("POST", "/v1/models", authorizer=authorizer, needs=Permission.MODELS_REGISTER)
    def register_external_model(request: Request) -> Reply:
        request.only()
        model = platform.models.register(request.caller, request.shape(ModelRegistrationRequest))
        return Reply(views.document(model), status=201, headers={"Location": f"/api/v1/models/{model.model_id}"})

    @room.view("GET", "/v1/models/{model_id}", authorizer=authorizer, needs=Permission.MODELS_READ)
    def get_model(request: Request, model_id: str) -> Reply:
        request.only()
        return Reply(views.document(platform.models.get(request.caller, model_id)))

    @room.view("PATCH", "/v1/models/{model_id}", authorizer=authorizer, needs=Permission.MODELS_REGISTER)
    def change_model(request: Request, model_id: str) -> Reply:
        request.only()
        request.shape(ModelChange)
        return Reply(views.document(platform.models.deprecate(request.caller, model_id)))

    @room.view("DELETE", "/v1/admin/models/{model_id}", authorizer=authorizer, needs=Permission.MODELS_DELETE)
    def delete_model(request: Request, model_id: str) -> Reply:
        request.only()
        platform.models.delete(request.caller, model_id)
        return Reply(status=204)

    return room
