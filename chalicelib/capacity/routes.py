"""`/training/jobs/{job_id}/queue` for whoever may see the job, `/admin/capacity/pools` for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.capacity import views
from chalicelib.capacity.request import PoolRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/training/jobs/{job_id}/queue", authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_job_queue(request: Request, job_id: str) -> Reply:
        request.only()
        return Reply(views.answer(platform.queue.why(request.caller, job_id)))

    @room.view("GET", "/v1/admin/capacity/pools", authorizer=authorizer, needs=Permission.CAPACITY_MANAGE)
    def list_capacity_pools(request: Request) -> Reply:
        request.only()
        return Reply({"pools": [views.pool(pool) for pool in platform.pools.pools(request.caller)]})

    @room.view(
        "GET", "/v1/admin/capacity/pools/{backend}/{kind}", authorizer=authorizer, needs=Permission.CAPACITY_MANAGE
    )
    def get_capacity_pool(request: Request, backend: str, kind: str) -> Reply:
        request.only()
        return Reply(views.pool(platform.pools.pool(request.caller, f"{backend}/{kind}")))

    @room.view(
        "PUT", "/v1/admin/capacity/pools/{backend}/{kind}", authorizer=authorizer, needs=Permission.CAPACITY_MANAGE
    )
    def set_capacity_pool(request: Request, backend: str, kind: str) -> Reply:
        request.only()
        pool = platform.pools.set_pool(request.caller, f"{backend}/{kind}", request.shape(PoolRequest))
        return Reply(views.pool(pool))

    @room.view(
        "DELETE", "/v1/admin/capacity/pools/{backend}/{kind}", authorizer=authorizer, needs=Permission.CAPACITY_MANAGE
    )
    def remove_capacity_pool(request: Request, backend: str, kind: str) -> Reply:
        request.only()
        platform.pools.remove_pool(request.caller, f"{backend}/{kind}")
        return Reply(status=204)

    @room.view("POST", "/v1/admin/capacity/import", authorizer=authorizer, needs=Permission.CAPACITY_MANAGE)
    def import_capacity(request: Request) -> Reply:
        request.only("dry_run")
        request.no_body()
        dry_run = request.flag("dry_run")
        importing = platform.capacity_import
        report = importing.plan(request.caller) if dry_run else importing.apply(request.caller)
        return Reply(views.imported(report, dry_run=dry_run))

    return room
