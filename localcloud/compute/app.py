"""The HTTP face: AWS requests to registered operations, and the internal routes under ``/_compute/``.

The steps of a request, and their order, are told in `operations.py`.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from localcloud.compute.control import SECRET_HEADER
from localcloud.compute.credentials import container_document
from localcloud.compute.errors import AccessDenied, ApiError
from localcloud.compute.host import Host, HttpRequest
from localcloud.compute.operations import MEBIBYTE, Call, Document, Operation, OperationRegistry, Part
from localcloud.compute.protocol import TARGET_HEADER, Router, Target, UnknownOperation, members_of
from localcloud.compute.serialization import JSON_SERVICES, WireResponse, error_response, response_of
from localcloud.compute.service_models import error_status, load_service_model

logger = logging.getLogger(__name__)

OPEN_PATHS = ("/_compute/health", "/_compute/credentials/")
INTERNAL_BODY_BYTES = MEBIBYTE
SIGNING_NAMES = {
    "sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "batch": "batch",
    "service-quotas": "servicequotas",
    "application-autoscaling": "application-autoscaling",
}
SERVICES = tuple(SIGNING_NAMES)


class BodyTooLarge(ApiError):
    def __init__(self, limit: int) -> None:
        super().__init__("RequestEntityTooLargeException", f"The request body is larger than {limit} bytes", 413)


class ServerFault(ApiError):
    def __init__(self) -> None:
        super().__init__("InternalFailure", "We encountered an internal error. Please try again.", 500)


class AwsEndpoint:
    """Answers every AWS request."""

    def __init__(self, host: Host, registry: OperationRegistry) -> None:
        self._host = host
        self._registry = registry
        names = registry.by_service()
        self._router = Router({name: load_service_model(name, names[name]) for name in SERVICES if name in names})

    async def __call__(self, request: Request) -> Response:
        request_id = self._host.new_id()
        service = _service_of(request.headers.get(TARGET_HEADER), request.url.path)
        target: Target | None = None
        try:
            target = self._router.find(
                request.method, request.scope["raw_path"].decode("ascii", "replace"), request.headers.get(TARGET_HEADER)
            )
            service = target.service
            answer = response_of(target.model, await self._perform(request, target, request_id))
        except ApiError as error:
            answer = _refusal(service, target, error.for_service(service))
        except Exception:
            # The caller must get AWS's shape of a server fault, and the log the whole story.
            logger.exception("operation failed", extra={"request_id": request_id})
            answer = _refusal(service, target, ServerFault().for_service(service))
        return Response(answer.body, answer.status, {**answer.headers, "x-amzn-RequestId": request_id})

    async def _perform(self, request: Request, target: Target, request_id: str) -> Document:
        operation = self._registry.find(target.service, target.model.name)
        if operation is None:
            raise UnknownOperation(target.model.name)
        body = await read_body(request, operation.max_body_bytes)
        params = members_of(target, request.url.query, request.headers, body)
        principal = await self._authorize(request, body, operation, params)
        fault = self._host.faults.on_call(operation.name)
        if fault is not None:
            raise fault
        return await operation.handler(Call(target.service, operation.name, params, principal, request_id))

    async def _authorize(self, request: Request, body: bytes, operation: Operation, params: Document) -> str:
        raw_path = request.scope["raw_path"].decode("ascii", "replace")
        decision = await self._host.control.authorize(
            HttpRequest(request.method, raw_path, request.url.query, dict(request.headers), body),
            SIGNING_NAMES[operation.service],
            operation.authorization(params),
        )
        if not decision.allowed:
            status = 400 if operation.service in JSON_SERVICES else 403
            raise AccessDenied(decision.message, decision.code, status)
        return decision.principal


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: as soon as more than `limit` bytes are announced or have come.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limit:
        raise BodyTooLarge(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _refusal(service: str, target: Target | None, error: ApiError) -> WireResponse:
    modelled = error_status(target.model, error.code) if target is not None else None
    return error_response(service, error, modelled or error.status)


def _service_of(target: str | None, path: str) -> str:
    """Whose shape an error has before it is known which operation was meant."""
    if target is not None:
        owners = {"ServiceQuotas": "service-quotas", "AnyScale": "application-autoscaling"}
        return next((service for prefix, service in owners.items() if target.startswith(prefix)), "sagemaker")
    return "batch" if path.startswith("/v1/") else "sagemaker-runtime"


class ControlGate:
    """Lets only holders of the control secret pass to the internal routes; health and job credentials have no gate."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(OPEN_PATHS):
            offered = dict(scope["headers"]).get(SECRET_HEADER.lower().encode(), b"")
            if not hmac.compare_digest(offered, self._secret):
                response = JSONResponse({"message": f"the header {SECRET_HEADER} is missing or wrong"}, 403)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def build_app(host: Host, parts: Sequence[Part], secret: str, shut_down: Callable[[], None]) -> Starlette:
    """The application. Its lifespan starts the parts, and at the end stops them and calls `shut_down`."""
    registry = OperationRegistry()
    internal: list[BaseRoute] = [*_internal_routes(host)]
    for part in parts:
        registry.add(part.operations())
        internal += part.routes()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        for part in parts:
            await part.start()
        try:
            yield
        finally:
            for part in reversed(parts):
                await part.stop()
            shut_down()

    gated = ControlGate(Starlette(routes=internal), secret)
    aws = AwsEndpoint(host, registry)
    return Starlette(
        routes=[
            Mount("/_compute", app=_Unmounted(gated)),
            Route("/{path:path}", aws.__call__, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        ],
        lifespan=lifespan,
    )


class _Unmounted:
    """Gives a mounted app the whole path again: internal routes are written as they are called."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": ""}, receive, send)


def _internal_routes(host: Host) -> Sequence[Route]:
    async def health(_: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    async def credentials(request: Request) -> Response:
        grant = host.credentials.find(request.path_params["grant_id"], request.headers.get("authorization", ""))
        if grant is None:
            return JSONResponse({"code": "AccessDenied", "message": "unknown credentials id or wrong token"}, 403)
        try:
            keys = await host.credentials.credentials_of(grant)
        except ApiError as error:
            return JSONResponse({"code": error.code, "message": error.message}, error.status)
        return JSONResponse(container_document(keys, grant.role_arn))

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                host.faults.replace(await _json_body(request))
            except ApiError as error:
                return JSONResponse({"code": error.code, "message": error.message}, error.status)
        return JSONResponse(host.faults.document())

    return [
        Route("/_compute/health", health),
        Route("/_compute/credentials/{grant_id}", credentials),
        Route("/_compute/faults", faults, methods=["GET", "PUT"]),
    ]


async def _json_body(request: Request) -> Mapping[str, object]:
    try:
        document = json.loads(await read_body(request, INTERNAL_BODY_BYTES))
    except (ValueError, RecursionError) as error:
        raise ApiError("ValidationException", "the body is not valid JSON") from error
    if not isinstance(document, dict):
        raise ApiError("ValidationException", "the body is not a JSON object")
    return document
