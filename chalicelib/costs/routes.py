"""`/usage`, `/receipts` and the receipts of `/training/jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.costs import export, views
from chalicelib.costs.usage import SummaryKind
from chalicelib.cursor import Cursor
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

FORMATS = ("json", "csv")
KINDS = tuple(kind.value for kind in SummaryKind)
_CSV = "text/csv; charset=utf-8"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/training/jobs/{job_id}/receipt", authorizer=authorizer, needs=Permission.RECEIPTS_READ)
    def get_receipt(request: Request, job_id: str) -> Reply:
        request.only()
        return Reply(platform.costs.receipt(request.caller, job_id).document())

    @room.view("GET", "/v1/receipts/public-key", authorizer=authorizer, needs=Permission.USAGE_READ)
    def get_public_key(request: Request) -> Reply:
        request.only()
        return Reply(views.public_key(platform.costs.public_key(request.caller)))

    @room.view("GET", "/v1/usage", authorizer=authorizer, needs=Permission.USAGE_READ)
    def list_usage(request: Request) -> Reply:
        return _rows(platform, request)

    @room.view("GET", "/v1/usage/summary", authorizer=authorizer, needs=Permission.USAGE_READ)
    def sum_usage(request: Request) -> Reply:
        request.only("month", "by", "format")
        kind = SummaryKind(request.choice("by", KINDS) or SummaryKind.USER.value)
        found = platform.costs.summaries(request.caller, request.query.get("month"), kind)
        rows = [views.summary(each) for each in found]
        if request.choice("format", FORMATS) == "csv":
            return _as_csv(views.SUMMARY_COLUMNS, rows, None)
        return Reply({"summaries": [_numbers(each) for each in rows]})

    @room.view("GET", "/v1/admin/usage", authorizer=authorizer, needs=Permission.USAGE_READ_ALL)
    def list_usage_of_anybody(request: Request) -> Reply:
        request.caller.require(Permission.USAGE_READ_ALL)
        return _rows(platform, request)

    return room


def _rows(platform: Platform, request: Request) -> Reply:
    request.only("month", "user_id", "format", "limit", "offset", "cursor")
    paging = request.paging()
    month, user = request.query.get("month"), request.query.get("user_id")
    page = platform.costs.rows(request.caller, month, user, paging.limit, paging.offset, paging.cursor)
    rows = [views.row(each) for each in page.rows]
    if request.choice("format", FORMATS) == "csv":
        return _as_csv(views.ROW_COLUMNS, rows, page.cursor)
    return Reply(paging.document("usage", [_numbers(each) for each in rows], page.cursor))


def _as_csv(columns: Sequence[str], rows: list[dict[str, Any]], following: Cursor | None) -> Reply:
    """A page of CSV; where to go on stands in a header."""
    headers = {"X-Next-Cursor": following.encode()} if following else {}
    return Reply(export.to_csv(columns, rows), headers=headers, media_type=_CSV)


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Exact decimals as the numbers that JSON has; with six decimals no digit is lost below nine billion."""
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
