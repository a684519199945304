"""`/stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.models.model import ModelFilter, ModelStatus
from chalicelib.models.routes import FRAMEWORKS, STATUSES
from chalicelib.stats import views

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/stats/active-jobs", authorizer=authorizer, needs=Permission.JOBS_READ)
    def list_active_jobs(request: Request) -> Reply:
        request.only("user_id", "limit", "cursor")
        paging = request.paging()
        page = platform.stats.active_jobs(request.caller, request.query.get("user_id"), paging.limit, paging.cursor)
        return Reply(paging.document("jobs", [views.active_job(each) for each in page.jobs], page.cursor))

    @room.view("GET", "/v1/stats/users", authorizer=authorizer, needs=Permission.QUOTAS_READ)
    def list_user_stats(request: Request) -> Reply:
        request.only("limit", "cursor")
        paging = request.paging()
        page = platform.stats.users(request.caller, paging.limit, paging.cursor)
        return Reply(paging.document("users", [views.user(each) for each in page.accounts], page.cursor))

    @room.view("GET", "/v1/stats/models", authorizer=authorizer, needs=Permission.MODELS_READ)
    def list_model_stats(request: Request) -> Reply:
        request.only("framework", "status", "limit", "cursor")
        paging = request.paging()
        status = request.choice("status", STATUSES)
        wanted = ModelFilter(request.choice("framework", FRAMEWORKS), ModelStatus(status) if status else None)
        page = platform.stats.models_of(request.caller, wanted, paging.limit, paging.cursor)
        return Reply(paging.document("models", [views.model(each) for each in page.models], page.cursor))

    @room.view("GET", "/v1/stats/frameworks", authorizer=authorizer, needs=Permission.JOBS_READ_ALL)
    def list_framework_stats(request: Request) -> Reply:
        request.only("from", "to")
        found = platform.stats.frameworks_of(request.caller, request.query.get("from"), request.query.get("to"))
        return Reply(views.frameworks(*found))

    return room
