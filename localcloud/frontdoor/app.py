"""Decides where a request at the front door goes.

Limits are those of the real thing: API Gateway refuses bodies over 10 MB and gives an integration 29 seconds. While the AWS
services restart, a request is refused with 503 and when to come again, never left hanging.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from h11 import LocalProtocolError

from chalicelib.errors import ErrorCode
from localcloud.upstream import HOP_BY_HOP, Headers, Upstream, UpstreamUnavailableError

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 10 * 1024 * 1024
TIMEOUT_SECONDS = 29.0
_RETRY_AFTER_SECONDS = 2
_PROBLEM = b"application/problem+json"


class _TooLargeError(Exception):
    pass


class _ClientGoneError(Exception):
    pass


@dataclass
class Deployment:
    """Reads the id of the deployed API, again whenever the file has changed; there is none while it is being deployed."""

    file: Path
    _seen: tuple[int, int] | None = None
    _api_id: str | None = None

    def api_id(self) -> str | None:
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            self._seen = None
            return None
        if self._seen != (stat.st_mtime_ns, stat.st_ino):
            self._api_id = str(json.loads(self.file.read_bytes())["outputs"]["RestApiId"])
            self._seen = (stat.st_mtime_ns, stat.st_ino)
        return self._api_id


class FrontDoor:
    """The ASGI application."""

    def __init__(
        self,
        upstream: Upstream,
        deployment: Callable[[], str | None],
        issuer: dict[str, bytes],
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Create the front door.

        Args:
            upstream: the AWS services.
            deployment: the id of the deployed API, or None while there is none.
            issuer: the issuer's public documents, by path.
            timeout: seconds an answer may take.
        """
        self._upstream = upstream
        self._deployment = deployment
        self._issuer = issuer
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path.startswith("/api/"):
            await self._forward(scope, receive, send)
        elif path in self._issuer or path == "/healthz":
            body = self._issuer.get(path, b'{"status":"ok"}')
            if scope["method"] in ("GET", "HEAD"):
                await _respond(send, HTTPStatus.OK, [(b"content-type", b"application/json")], body)
            else:
                await _problem(send, HTTPStatus.METHOD_NOT_ALLOWED, "This document can only be read.")
        else:
            await _problem(send, HTTPStatus.NOT_FOUND, "The API is at /api/v1.")

    async def _forward(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        api_id = self._deployment()
        if api_id is None:
            await _unavailable(send)
            return
        started = _Started(send)
        try:
            async with asyncio.timeout(self._timeout):
                body = await _read(scope, receive)
                await self._exchange(api_id, scope, body, started)
        except _ClientGoneError:
            return
        except _TooLargeError:
            detail = f"The body is larger than {MAX_BODY_BYTES} bytes. Upload files through POST /api/v1/uploads."
            await _problem(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, close=True)
        except LocalProtocolError as error:
            # What our server let in and may not be sent on: control characters in a target or a header.
            await _problem(send, HTTPStatus.BAD_REQUEST, f"The request is malformed: {error}.")
        except TimeoutError:
            logger.warning("%s %s took longer than %s s", scope["method"], scope["path"], self._timeout)
            if started.yes:
                raise
            await _problem(send, HTTPStatus.GATEWAY_TIMEOUT, f"There was no answer within {self._timeout:g} seconds.")
        except UpstreamUnavailableError as error:
            if started.yes:
                raise
            if self._deployment() is None:
                await _unavailable(send)
            else:
                await _problem(send, HTTPStatus.BAD_GATEWAY, f"The AWS services did not answer: {error}.")

    async def _exchange(self, api_id: str, scope: HTTPScope, body: bytes, send: _Started) -> None:
        target = scope.get("raw_path") or quote(scope["path"]).encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        headers = _request_headers(scope, api_id, len(body))
        response = await self._upstream.request(scope["method"].encode(), target, headers, body)
        try:
            headers = [(name, value) for name, value in response.headers if name not in HOP_BY_HOP]
            if response.status == HTTPStatus.BAD_GATEWAY and (b"content-type", _PROBLEM) not in headers:
                # ministack shows the function's stack trace; API Gateway does not.
                await _problem(send.send, HTTPStatus.BAD_GATEWAY, "The service failed to answer; its log says why.")
                return
            await send.start(response.status, headers)
            async for chunk in response.body:
                await send.body(chunk, more=True)
            await send.body(b"", more=False)
        finally:
            await response.body.aclose()


class _Started:
    """Sends an answer on, and knows whether its head has gone out."""

    def __init__(self, send: ASGISendCallable) -> None:
        self.send = send
        self.yes = False

    async def start(self, status: int, headers: Headers) -> None:
        self.yes = True
        await self.send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})

    async def body(self, chunk: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": chunk, "more_body": more})


async def _read(scope: HTTPScope, receive: ASGIReceiveCallable) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            raise _TooLargeError
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _TooLargeError
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _request_headers(scope: HTTPScope, api_id: str, length: int) -> Headers:
    # What the client claims about itself in these headers is replaced, not added to: nobody stands before the front door.
    replaced = {b"host", b"content-length", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port"}
    client = scope["client"][0] if scope["client"] else "127.0.0.1"
    return [
        (b"host", f"{api_id}.execute-api.localhost".encode()),
        (b"content-length", str(length).encode()),
        (b"x-forwarded-for", client.encode()),
        (b"x-forwarded-proto", b"http"),
        # Blanks around a value are not part of it (RFC 9110, 5.5), and may not be sent on.
        *((name, value.strip(b" \t")) for name, value in scope["headers"] if name not in HOP_BY_HOP | replaced),
    ]


async def _unavailable(send: ASGISendCallable) -> None:
    await _problem(
        send,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The embedded cloud is starting or restarting. Try again in a moment.",
        headers=[(b"retry-after", str(_RETRY_AFTER_SECONDS).encode())],
    )


_CODES = {
    HTTPStatus.BAD_REQUEST: ErrorCode.INVALID_REQUEST,
    HTTPStatus.NOT_FOUND: ErrorCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorCode.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ErrorCode.TOO_LARGE,
    HTTPStatus.BAD_GATEWAY: ErrorCode.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: ErrorCode.UNAVAILABLE,
}


async def _problem(
    send: ASGISendCallable, status: HTTPStatus, detail: str, headers: Headers = (), *, close: bool = False
) -> None:
    """Answer with RFC 9457 problem details, in the form the API itself gives them."""
    code = _CODES.get(status, ErrorCode.INTERNAL).value
    document: dict[str, object] = {
        "type": f"urn:aimatrix:error:{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
        "request_id": str(uuid.uuid4()),
        "errors": [],
    }
    # After a refused body the connection is closed: what is left of the body must not be read as the next request.
    closing = [(b"connection", b"close")] if close else []
    await _respond(send, status, [(b"content-type", _PROBLEM), *headers, *closing], json.dumps(document).encode())


async def _respond(send: ASGISendCallable, status: HTTPStatus, headers: Headers, body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
