"""Closes ministack's open doors.

With AUTH on, ministack checks signatures and policies, but three kinds of caller still come in: it takes the key `test`, any
account number, and the key in its own environment for root without looking at the signature; it serves administration paths
(`/_ministack/reset` empties everything) to anybody; and S3 answers requests that carry no credentials. The guard in front of
it lets pass what is signed with a key that ministack will verify, what goes to a deployed API, and nothing else.

The root credentials of the state directory are given to ministack as a session of the account's root, because the signatures
of sessions are checked.
"""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from ministack.core.iam_evaluator import is_root_access_key
from ministack.core.router import extract_access_key_id
from ministack.services import sts

from localcloud.seam.forwarding import COMPUTE_SERVICES, signed_service
from localcloud.state import ACCOUNT, Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

CONTROL_PREFIX = "/_aimatrix/"
CONTROL_HEADER = b"x-aimatrix-control"
_API_HOST = b".execute-api.localhost"


def admit_root(settings: Settings) -> None:
    """Make the state directory's root credentials known to ministack."""
    sts.register_session(
        settings.access_key_id,
        {
            "Arn": f"arn:aws:iam::{ACCOUNT}:root",
            "UserId": ACCOUNT,
            "AccountId": ACCOUNT,
            "PrincipalType": "Root",
            "SecretAccessKey": settings.secret_access_key,
        },
    )


class Guard:
    """The ASGI application in front of ministack, the compute emulator and the control endpoints."""

    def __init__(
        self,
        services: ASGI3Application,
        compute: ASGI3Application,
        api: ASGI3Application,
        control: ASGI3Application,
        secret: str,
    ) -> None:
        """Create it.

        Args:
            services: answers signed requests.
            compute: answers those that are signed for SageMaker or Batch; it has their signatures verified.
            api: answers requests to a deployed API.
            control: answers the other parts of the embedded cloud.
            secret: what those know.
        """
        self._services = services
        self._compute = compute
        self._api = api
        self._control = control
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http":
            if scope["path"].startswith(CONTROL_PREFIX):
                if scope["path"] == f"{CONTROL_PREFIX}health" or self._knows_secret(scope):
                    await self._control(scope, receive, send)
                else:
                    await _refuse(send, "AccessDeniedException", "The control endpoints need the control secret.")
                return
            if _is_api_call(scope):
                await self._api(scope, receive, send)
                return
            if not is_signed(scope):
                await _refuse(
                    send, "MissingAuthenticationTokenException", "The request is not signed with a known access key."
                )
                return
            if signed_service(scope) in COMPUTE_SERVICES:
                await self._compute(scope, receive, send)
                return
        elif scope["type"] == "websocket":
            return
        await self._services(scope, receive, send)

    def _knows_secret(self, scope: HTTPScope) -> bool:
        given = next((value for name, value in scope["headers"] if name == CONTROL_HEADER), b"")
        return hmac.compare_digest(given, self._secret)


def is_signed(scope: HTTPScope) -> bool:
    """Whether a request claims a key whose signature ministack will check."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    key = extract_access_key_id(headers, query)
    return bool(key) and not is_root_access_key(key)


def _is_api_call(scope: HTTPScope) -> bool:
    """Requests to a deployed API carry the caller's token, not a signature: the API's authorizer decides about them."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host.split(b":")[0].endswith(_API_HOST) and scope["path"].startswith("/api/")


async def _refuse(send: ASGISendCallable, code: str, message: str) -> None:
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", code.encode()),
    ]
    await send({"type": "http.response.start", "status": HTTPStatus.FORBIDDEN, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
