"""`/quotas` for everybody's own account, `/admin/quotas` for those who set limits."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.identity.caller import is_user
from chalicelib.identity.permissions import Permission
from chalicelib.quotas import views
from chalicelib.quotas.request import TenantLimitsRequest, UserLimitsRequest

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/quotas", authorizer=authorizer, needs=Permission.QUOTAS_READ)
    def get_own_quota(request: Request) -> Reply:
        request.only()
        user, tenant = platform.accounts.own(request.caller)
        return Reply({"user": views.account(user), "tenant": views.account(tenant)})

    @room.view("GET", "/v1/admin/quotas/users", authorizer=authorizer, needs=Permission.QUOTAS_MANAGE)
    def list_quotas(request: Request) -> Reply:
        request.only("limit", "cursor")
        paging = request.paging()
        page = platform.accounts.users(request.caller, paging.limit, paging.cursor)
        accounts = [views.account(*platform.accounts.account(request.caller, owner.user)) for owner in page.owners]
        return Reply(paging.document("quotas", accounts, page.cursor))

    @room.view("GET", "/v1/admin/quotas/users/{user_id}", authorizer=authorizer, needs=Permission.QUOTAS_MANAGE)
    def get_user_quota(request: Request, user_id: str) -> Reply:
        request.only()
        return _account(platform, request, _user(user_id))

    @room.view("PUT", "/v1/admin/quotas/users/{user_id}", authorizer=authorizer, needs=Permission.QUOTAS_MANAGE)
    def set_user_quota(request: Request, user_id: str) -> Reply:
        request.only()
        user = _user(user_id)
        limits = request.shape(UserLimitsRequest).limits()
        platform.accounts.set_limits(request.caller, user, limits, request.if_match())
        return _account(platform, request, user)

    @room.view("GET", "/v1/admin/quotas/tenant", authorizer=authorizer, needs=Permission.QUOTAS_MANAGE)
    def get_tenant_quota(request: Request) -> Reply:
        request.only()
        return _account(platform, request, None)

    @room.view("PUT", "/v1/admin/quotas/tenant", authorizer=authorizer, needs=Permission.QUOTAS_MANAGE)
    def set_tenant_quota(request: Request) -> Reply:
        request.only()
        limits = request.shape(TenantLimitsRequest).limits()
        platform.accounts.set_limits(request.caller, None, limits, request.if_match())
        return _account(platform, request, None)

    @room.view("GET", "/v1/admin/quotas/check", authorizer=authorizer, needs=Permission.QUOTAS_MANAGE)
    def check_quotas(request: Request) -> Reply:
        request.only("cursor")
        return Reply(views.report(*platform.accounts.check(request.caller, request.query.get("cursor"))))

    return room


def _account(platform: Platform, request: Request, user: str | None) -> Reply:
    """An account; its ETag is the version of its limits, for `If-Match`."""
    account, record = platform.accounts.account(request.caller, user)
    return Reply(views.account(account, record), headers={"ETag": f'"{record.version}"'})


def _user(text: str) -> str:
    user = unquote(text)
    if not is_user(user):
        raise InvalidRequest.about(
            FieldProblem("user_id", "is not a user's name", "Use the `sub` of the user's tokens.")
        )
    return user
