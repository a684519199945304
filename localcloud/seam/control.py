"""The control endpoints below `/_aimatrix/`, for the other parts of the embedded cloud; the guard has checked the secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ministack.services import eventbridge

from localcloud.seam import authorization, functions

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

MAX_BODY_BYTES = 12 * 1024 * 1024
DEPLOYED_SECONDS = 15.0


class _BadRequestError(Exception):
    pass


class Control:
    """The ASGI application of the control endpoints."""

    def __init__(self, flush: Callable[[], None]) -> None:
        """Create it.

        Args:
            flush: makes what has been written so far durable; called before any answer.
        """
        self._flush = flush
        # Sessions are kept in memory: keys that another process on this address handed out are unknown here.
        self._instance = secrets.token_hex(8)
        self._deployed = asyncio.Event()
        self._actions: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("POST", "authorize"): _authorize,
            ("POST", "events"): _events,
        }

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "http"  # noqa: S101  (the guard passes nothing else)
        name = scope["path"].rpartition("/")[2]
        if name == "health":
            await _respond(send, HTTPStatus.OK, {"status": "ok", "instance": self._instance})
            return
        try:
            body = await _read(receive)
            if (scope["method"], name) == ("POST", "deployed"):
                self._deployed.set()
                document: Any = {}
            elif (scope["method"], name) == ("POST", "warm"):
                document = await asyncio.to_thread(functions.warm, body["functions"])
            elif (scope["method"], name) == ("POST", "credentials"):
                document = await self._credentials(body)
            elif action := self._actions.get((scope["method"], name)):
                document = action(body)
            else:
                await _respond(send, HTTPStatus.NOT_FOUND, {"message": "There is no such control endpoint."})
                return
        except authorization.RefusedError as error:
            await _respond(send, HTTPStatus.FORBIDDEN, {"code": error.code, "message": str(error)})
        except (_BadRequestError, KeyError, TypeError, ValueError) as error:
            await _respond(send, HTTPStatus.BAD_REQUEST, {"code": "BadRequest", "message": repr(error)})
        else:
            self._flush()
            await _respond(send, HTTPStatus.OK, document)

    async def _credentials(self, body: dict[str, Any]) -> dict[str, str]:
        # Roles are part of the template: a job that goes on after a restart must not be told that its role is gone.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEPLOYED_SECONDS):
                await self._deployed.wait()
        return authorization.assume(body["role_arn"], body["service"], body["session_name"])


def _authorize(body: dict[str, Any]) -> dict[str, Any]:
    request = authorization.Request.parse(body)
    try:
        principal = authorization.authorize(request)
    except authorization.RefusedError as error:
        return {"allowed": False, "code": error.code, "message": str(error), "principal": None}
    return {"allowed": True, "code": None, "message": None, "principal": principal}


def _events(body: list[dict[str, Any]]) -> dict[str, Any]:
    _status, _headers, answer = eventbridge._put_events({"Entries": body}, allow_aws_source=True)
    document: dict[str, Any] = json.loads(answer)
    return document


async def _read(receive: ASGIReceiveCallable) -> Any:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _BadRequestError("the caller went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _BadRequestError("the body is too large")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return json.loads(b"".join(chunks))


async def _respond(send: ASGISendCallable, status: HTTPStatus, document: Any) -> None:
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
