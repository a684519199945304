"""REST: routes of a room, the request as a value, and errors as RFC 9457 problem documents.

A domain exception raised in a Chalice view would become a 500 before any middleware sees it, so errors are mapped here,
around every view. What Chalice itself refuses (unknown path, method, media type) is put into the same form.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from email.utils import format_datetime
from typing import Any, TypeVar

from chalice import Blueprint, Chalice, Response
from chalice.app import CustomAuthorizer

from chalicelib.api.authorization import RequestAuthorizer
from chalicelib.aws import AwsError, is_busy
from chalicelib.cursor import Cursor
from chalicelib.errors import ErrorCode, FieldProblem, InvalidRequest, ServiceError, Unauthenticated, Unavailable
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.log import logger
from chalicelib.shape import Nothing, Shape, read

S = TypeVar("S", bound=Shape)
Handler = Callable[..., "Reply"]
OnRefusal = Callable[[Caller, str, Mapping[str, str], ServiceError], None]
"""Is told of every refusal: to whom, of which operation (the view's name), with which values in the path, and why."""

PROBLEM = "application/problem+json"

STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_THERE_YET: 404,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.CONFLICT: 409,
    ErrorCode.PRECONDITION_FAILED: 412,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.REFUSED_VALUE: 422,
    ErrorCode.QUOTA_EXCEEDED: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.MODEL_FAILED: 502,
    ErrorCode.UNAVAILABLE: 503,
}
_CODES = {status: code for code, status in STATUS.items()}


MAX_PAGE = 200
MAX_OFFSET = 10_000


@dataclass(frozen=True)
class Paging:
    """Which part of a list is asked for."""

    limit: int
    offset: int
    cursor: str | None

    def document(self, name: str, items: list[Any], following: Cursor | None) -> dict[str, Any]:
        """The answer: the items under the list's name, and where to go on."""
        cursor = following.encode() if following else None
        return {name: items, "limit": self.limit, "offset": self.offset, "next_cursor": cursor}


@dataclass(frozen=True)
class Request:
    """What a view gets: the caller and the request, without the framework."""

    body: bytes = field(repr=False)
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str
    source_ip: str
    context: Mapping[str, Any] = field(repr=False)

    @property
    def caller(self) -> Caller:
        caller = Caller.from_context(self.context)
        return replace(caller, origin=replace(caller.origin, request_id=self.request_id, source_ip=self.source_ip))

    def shape(self, shape: type[S]) -> S:
        return read(shape, self.body)

    def no_body(self) -> None:
        """
        Raises:
            InvalidRequest: there is one, with something in it.
        """
        if self.body:
            read(Nothing, self.body)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.query.get(name)
        if text is None:
            return default
        # Not int() alone: it takes spaces, underscores and the digits of all scripts.
        value = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else least - 1
        if not least <= value <= most:
            raise InvalidRequest.about(
                FieldProblem(name, f"is {text[:40]!r}", f"Use a whole number from {least} to {most}.")
            )
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        text = self.query.get(name)
        if text is not None and text not in allowed:
            raise InvalidRequest.about(FieldProblem(name, f"is {text[:40]!r}", f"Use one of {', '.join(allowed)}."))
        return text

    def flag(self, name: str) -> bool:
        return self.choice(name, ("true", "false")) == "true"

    def if_match(self) -> int | None:
        """The version that `If-Match` names, as a strong entity tag (RFC 9110 section 13.1.1); None for any."""
        text = self.headers.get("if-match", "").strip()
        if text in {"", "*"}:
            return None
        match = re.fullmatch(r'"([0-9]{1,18})"|([0-9]{1,18})', text)
        if match is None:
            cure = 'Use the ETag of an answer, for example "3", or leave it out.'
            raise InvalidRequest.about(FieldProblem("If-Match", f"is {text[:40]!r}", cure))
        return int(match[1] or match[2])

    def paging(self) -> Paging:
        """`limit` and `offset`, or `limit` and `cursor`."""
        # The contract names no largest page: a larger one than we give is answered with a full page and a cursor.
        limit = min(self.integer("limit", 50, 1, 1_000_000), MAX_PAGE)
        offset = self.integer("offset", 0, 0, MAX_OFFSET)
        cursor = self.query.get("cursor")
        if offset and cursor is not None:
            raise InvalidRequest.about(FieldProblem("offset", "is given with cursor", "Use one of them."))
        return Paging(limit, offset, cursor)

    def only(self, *names: str) -> None:
        """Refuse query parameters that this route does not know."""
        unknown = sorted(set(self.query) - set(names))
        if unknown:
            known = ", ".join(names) or "none"
            cure = f"Remove it or correct its name; known here: {known}."
            raise InvalidRequest.about(
                *(FieldProblem(name[:80], "is not a parameter of this request", cure) for name in unknown)
            )


@dataclass(frozen=True)
class Reply:
    """What a view gives back. A body that is not text or bytes is sent as JSON."""

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True)
class Operation:
    """A route as documents show it.

    Attributes:
        is_public: whether it is for callers whom nobody knows, too.
        needs: the permission that its service asks for; None where none is needed.
    """

    method: str
    path: str
    name: str
    is_public: bool
    needs: Permission | None
    media_types: tuple[str, ...]


class Room(Blueprint):  # type: ignore[misc]  # Chalice is untyped
    """The routes of one room; every view is `(request, **path) -> Reply`."""

    def __init__(self, import_name: str) -> None:
        super().__init__(import_name)
        self.operations: list[Operation] = []

    def view(
        self,
        method: str,
        path: str,
        *,
        authorizer: CustomAuthorizer | None,
        needs: Permission | None = None,
        media_types: list[str] | None = None,
    ) -> Callable[[Handler], Handler]:
        """
        Args:
            needs: the permission that the service behind the route asks for. It is said here for the documentation,
                and a test compares the two; only services decide, so that every protocol decides alike.
        """

        def register(handler: Handler) -> Handler:
            def chalice_view(**path_values: str) -> Response:
                return _answer(handler, self.current_request, path_values, self.current_app.on_refusal)

            chalice_view.__name__ = handler.__name__
            taken = media_types or ["application/json"]
            self.route(path, methods=[method], authorizer=authorizer, content_types=taken)(chalice_view)
            self.operations.append(Operation(method, path, handler.__name__, authorizer is None, needs, tuple(taken)))
            return handler

        return register


_REFUSALS = {
    404: "There is no such path.",
    405: "This path does not know this method.",
    415: "This path does not take that media type. Send Content-Type: application/json.",
}


class Application(Chalice):  # type: ignore[misc]  # Chalice is untyped
    """A Chalice application whose own refusals are problem documents too."""

    def __init__(self, app_name: str, on_refusal: OnRefusal | None = None) -> None:
        super().__init__(app_name=app_name)
        self.on_refusal = on_refusal
        self._rooms: list[Room] = []

    @property
    def known_paths(self) -> set[str]:
        return {path for path, methods in self.routes.items() if methods}

    @property
    def operations(self) -> list[Operation]:
        """Every route of every room."""
        return [operation for room in self._rooms for operation in room.operations]

    def register_blueprint(self, blueprint: Blueprint, *names: Any, **more: Any) -> None:
        super().register_blueprint(blueprint, *names, **more)
        if isinstance(blueprint, Room):
            self._rooms.append(blueprint)

    def _wrap_handler(self, handler_type: str, handler_name: str, user_handler: Callable[..., Any]) -> Any:
        if handler_type == "authorizer":
            return RequestAuthorizer(handler_name, user_handler)
        return super()._wrap_handler(handler_type, handler_name, user_handler)

    def __call__(self, event: Any, context: Any) -> Any:
        response = super().__call__(event, context)
        status = int(response["statusCode"])
        if status == 405 and event.get("requestContext", {}).get("resourcePath") not in self.known_paths:
            # Chalice takes every path that it does not know for one without methods.
            status = response["statusCode"] = 404
        if status >= 400 and response.get("headers", {}).get("Content-Type") != PROBLEM:
            code = _CODES.get(status, ErrorCode.INTERNAL if status >= 500 else ErrorCode.INVALID_REQUEST)
            detail = _REFUSALS.get(status, "The request was refused.")
            request_id = _request_id(event)
            response["body"] = json.dumps(problem_document(status, code, detail, request_id, ()))
            response["headers"] = {"Content-Type": PROBLEM, "X-Request-Id": request_id}
            response["multiValueHeaders"] = {}
        return response


def problem_document(
    status: int, code: ErrorCode, detail: str, request_id: str, problems: tuple[FieldProblem, ...]
) -> dict[str, Any]:
    """An RFC 9457 problem: https://www.rfc-editor.org/rfc/rfc9457."""
    return {
        "type": f"urn:aimatrix:error:{code.value}",
        "title": code.value.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code.value,
        "request_id": request_id,
        "errors": [{"field": each.field, "message": each.message, "cure": each.cure} for each in problems],
    }


def _answer(
    handler: Handler, chalice_request: Any, path_values: Mapping[str, str], on_refusal: OnRefusal | None
) -> Response:
    event = chalice_request.to_original_event()
    request_id = _request_id(event)
    fields: dict[str, Any] = {"view": handler.__name__, "request_id": request_id}
    request: Request | None = None
    try:
        request = _request(event, request_id)
        reply = _rendered(handler(request, **path_values))
    except ServiceError as error:
        if request and on_refusal:
            _tell(on_refusal, request, handler.__name__, path_values, error)
        reply = _problem(error, request_id)
        fields |= {"code": error.code.value, "detail": error.detail[:500]}
    except AwsError as error:
        if is_busy(error):
            logger.warning("AWS is busy", extra=fields | {"detail": str(error)[:500]})
            reply = _problem(Unavailable("Something behind the service is busy. Try again."), request_id)
        else:
            logger.exception("an AWS call failed", extra=fields)
            reply = _problem(ServiceError("Something failed here, not in your request."), request_id)
    except Exception:  # noqa: BLE001
        # The last line: whatever it was, the caller gets a problem document with the id that finds this log entry.
        logger.exception("a view failed", extra=fields)
        reply = _problem(ServiceError("Something failed here, not in your request."), request_id)
    # One line per invocation, also for the sake of speed: the embedded cloud waits for a silent function's first line.
    logger.info("answered", extra=fields | {"status": reply.status})
    headers = {"Content-Type": reply.media_type, "X-Request-Id": request_id, **reply.headers}
    return Response(body=reply.body, status_code=reply.status, headers=headers)


def _tell(
    on_refusal: OnRefusal, request: Request, view: str, path_values: Mapping[str, str], error: ServiceError
) -> None:
    try:
        on_refusal(request.caller, view, path_values, error)
    except Unauthenticated:
        return  # nobody was verified, so there is nobody to name
    except Exception:  # noqa: BLE001
        # What was refused stays refused, and the caller is told so, whether it can be noted or not.
        logger.exception("a refusal was not noted", extra={"view": view, "request_id": request.request_id})


def _rendered(reply: Reply) -> Reply:
    """With a body that can be sent: text or bytes. NaN is not JSON, so it fails here and not at the reader's."""
    if isinstance(reply.body, str | bytes):
        return reply
    return replace(reply, body=json.dumps(reply.body, separators=(",", ":"), allow_nan=False))


def _problem(error: ServiceError, request_id: str) -> Reply:
    status = STATUS[error.code]
    headers = {"Retry-After": "1"} if error.code is ErrorCode.UNAVAILABLE else {}
    if error.retry_at is not None:
        headers = {"Retry-After": format_datetime(error.retry_at.astimezone(UTC), usegmt=True)}
    document = problem_document(status, error.code, error.detail, request_id, error.problems)
    return _rendered(Reply({**document, **error.extra}, status, headers, PROBLEM))


def _request(event: Mapping[str, Any], request_id: str) -> Request:
    body = event.get("body") or ""
    context = event.get("requestContext", {})
    many = event.get("multiValueQueryStringParameters") or {}
    repeated = sorted(name for name, values in many.items() if len(values) > 1)
    if repeated:
        raise InvalidRequest.about(
            *(FieldProblem(name, "is given more than once", "Give it once.") for name in repeated)
        )
    return Request(
        # Half a character is not UTF-8: it is passed on, so that whoever reads the body says that it is malformed.
        body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass"),
        query=event.get("queryStringParameters") or {name: values[0] for name, values in many.items()},
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        request_id=request_id,
        source_ip=str(context.get("identity", {}).get("sourceIp") or ""),
        context=context.get("authorizer") or {},
    )


def _request_id(event: Any) -> str:
    context = event.get("requestContext", {}) if isinstance(event, Mapping) else {}
    return str(context.get("requestId", ""))
