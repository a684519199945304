"""Hands requests for SageMaker, Batch and Application Auto Scaling on to the compute emulator: one address for all of AWS.

Which service a request is for, the client itself says in the credential scope of its signature; there is nothing else by
which Batch's and SageMaker runtime's paths could be told from those of S3. The request goes on as it was signed, `Host`
included: the emulator has the signature verified, and a changed header would break it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from localcloud.upstream import HOP_BY_HOP, Headers, Upstream, UpstreamUnavailableError

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

logger = logging.getLogger(__name__)

# The names that SageMaker, SageMaker runtime (which signs as SageMaker), Batch and what scales endpoints are signed for.
COMPUTE_SERVICES = frozenset({"sagemaker", "batch", "application-autoscaling"})

_CREDENTIAL = re.compile(r"Credential=([^,\s]+)")
_SCOPE_PARTS = 5


class _ClientGoneError(Exception):
    """Not a `ConnectionError`: the emulator is not to blame."""


class Forwarder:
    """The ASGI application that stands for the compute emulator."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "http"  # noqa: S101  (the guard passes nothing else)
        started = False
        try:
            target = scope.get("raw_path") or quote(scope["path"]).encode()
            if scope["query_string"]:
                target += b"?" + scope["query_string"]
            body = _arriving(receive) if _has_body(scope) else b""
            response = await self._upstream.request(scope["method"].encode(), target, _headers(scope), body)
            try:
                headers = [(name, value) for name, value in response.headers if name not in HOP_BY_HOP]
                started = True
                await send(
                    {"type": "http.response.start", "status": response.status, "headers": headers, "trailers": False}
                )
                async for chunk in response.body:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                await response.body.aclose()
        except _ClientGoneError:
            return
        except UpstreamUnavailableError:
            if started:
                raise
            logger.warning("%s %s: the compute emulator did not answer", scope["method"], scope["path"], exc_info=True)
            await _unavailable(send)


def signed_service(scope: HTTPScope) -> str | None:
    """The service that the request's signature, in its header or its query, is for."""
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    found = _CREDENTIAL.search(authorization.decode("latin-1"))
    if found is not None:
        credential = found[1]
    else:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        credential = query.get("X-Amz-Credential", [""])[0]
    parts = credential.split("/")
    return parts[3] if len(parts) == _SCOPE_PARTS else None


async def _arriving(receive: ASGIReceiveCallable) -> AsyncGenerator[bytes, None]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGoneError
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return


def _has_body(scope: HTTPScope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _value in scope["headers"])


def _headers(scope: HTTPScope) -> Headers:
    headers = [(name, value) for name, value in scope["headers"] if name not in HOP_BY_HOP]
    if any(name == b"transfer-encoding" for name, _value in scope["headers"]):
        headers.append((b"transfer-encoding", b"chunked"))
    return headers


async def _unavailable(send: ASGISendCallable) -> None:
    """What AWS's clients take for a reason to try again."""
    code = "ServiceUnavailable"
    body = json.dumps({"__type": code, "message": "The compute emulator is starting or restarting."}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", code.encode()),
    ]
    status = HTTPStatus.SERVICE_UNAVAILABLE.value
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
