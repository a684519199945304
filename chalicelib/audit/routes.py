"""`/admin/audit`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalicelib.api.rest import MAX_PAGE, Reply, Request, Room
from chalicelib.audit.chain import Position, Row
from chalicelib.audit.entry import MAX_SUBJECT
from chalicelib.audit.store import MAX_SEQ, AuditFilter
from chalicelib.clock import from_text
from chalicelib.cursor import Cursor, not_ours
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.audit.service import Stretch, Verification
    from chalicelib.bootstrap import Platform

MAX_STRETCH = 250
"""Rows of one page of the chain: at most 5 MB, of the 6 MB that a function may answer."""


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/admin/audit", authorizer=authorizer, needs=Permission.AUDIT_READ)
    def search_audit(request: Request) -> Reply:
        request.only("actor", "subject", "action", "since", "until", "limit", "cursor")
        limit = request.integer("limit", 50, 1, MAX_PAGE)
        page = platform.audit_log.search(request.caller, _filter(request), limit, request.query.get("cursor"))
        rows = [_document(row) for row in page.rows]
        return Reply({"rows": rows, "next_cursor": page.cursor.encode() if page.cursor else None})

    @room.view("GET", "/v1/admin/audit/chain", authorizer=authorizer, needs=Permission.AUDIT_READ)
    def read_audit_chain(request: Request) -> Reply:
        request.only("cursor", "limit")
        cursor = _place(Cursor.decode(request.query.get("cursor"), names={"seq": int}))
        limit = request.integer("limit", MAX_STRETCH, 1, MAX_STRETCH)
        stretch = platform.audit_log.read(request.caller, cursor.get("seq", 0), limit)
        rows = [_document(row) for row in stretch.rows]
        following = None if stretch.is_last else Cursor({"seq": stretch.rows[-1]["seq"]}).encode()
        return Reply({"rows": rows, **_end(stretch), "next_cursor": following})

    @room.view("GET", "/v1/admin/audit/verify", authorizer=authorizer, needs=Permission.AUDIT_READ)
    def verify_audit(request: Request) -> Reply:
        request.only("cursor")
        after = Position(**_place(Cursor.decode(request.query.get("cursor"), names={"seq": int, "hash": str})))
        found = platform.audit_log.verify(request.caller, after, MAX_STRETCH)
        at, broken = found.walk.position, found.walk.broken
        document = {
            "verified": vars(at),
            "broken": {"seq": broken.seq, "fault": broken.fault.value, "detail": broken.detail} if broken else None,
            **_end(found),
            "next_cursor": None if found.is_last or broken else Cursor(dict(vars(at))).encode(),
        }
        return Reply(document)

    return room


def _place(cursor: Cursor | None) -> dict[str, Any]:
    if cursor is None:
        return {}
    if not 0 <= cursor.key["seq"] <= MAX_SEQ:
        raise not_ours()
    return cursor.key


def _end(found: Stretch | Verification) -> dict[str, Any]:
    return {"head": vars(found.head), "waiting": found.waiting}


def _document(row: Row) -> Any:
    # A row that somebody tampered with may hold what JSON has no word for; it is shown all the same.
    return json.loads(json.dumps(row, default=repr))


def _filter(request: Request) -> AuditFilter:
    texts = {name: request.query.get(name) for name in ("actor", "subject", "action")}
    problems = [
        FieldProblem(name, f"has {len(text)} characters", f"Use at most {MAX_SUBJECT}.")
        for name, text in texts.items()
        if text is not None and len(text) > MAX_SUBJECT
    ]
    if problems:
        raise InvalidRequest.about(*problems)
    wanted = AuditFilter(**texts, since=_moment(request, "since"), until=_moment(request, "until"))
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        raise InvalidRequest.about(FieldProblem("until", "is not after since", "Use a later time."))
    return wanted


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        # Without a zone it is UTC, and a date is its midnight.
        moment = from_text(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        cure = "Use a date or time such as 2026-03-01 or 2026-03-01T12:00:00Z."
        raise InvalidRequest.about(FieldProblem(name, f"is {text[:40]!r}", cure)) from None
