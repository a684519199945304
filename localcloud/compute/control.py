"""The control endpoints of the embedded cloud, spoken to over HTTP: who may do what, a role's keys, events."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import urllib3

from localcloud.compute.errors import AccessDenied, ApiError
from localcloud.compute.host import Blocking, Decision, HttpRequest, RoleCredentials
from localcloud.compute.operations import Authorization

logger = logging.getLogger(__name__)

SECRET_HEADER = "X-Aimatrix-Control"  # noqa: S105 the name of a header
TIMEOUT = urllib3.Timeout(connect=2.0, read=20.0)
CONNECTIONS = 16
ANSWER_BYTES = 1024 * 1024
# About a minute, which a restart of the embedded cloud on a busy machine may take.
EVENT_ATTEMPTS = 16
EVENT_PAUSE_SECONDS = 5.0


class ControlUnavailable(ApiError):
    """The embedded cloud does not answer: nothing is allowed then."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__("InternalFailure", f"the control endpoint {path} failed: {why}", 500)


Post = Callable[[str, bytes | None], tuple[int, bytes]]
"""Sends a JSON body to a path below the control endpoints and returns status and body; None asks by GET. *Blocking*."""


def http_post(base_url: str, secret: str) -> Post:
    """The real one: a pool of kept-alive connections.

    Raises (when called):
        ControlUnavailable: no answer.
    """
    parts = urlsplit(base_url)
    prefix = parts.path.rstrip("/")
    headers = {"Content-Type": "application/json", SECRET_HEADER: secret}
    pool = urllib3.HTTPConnectionPool(
        parts.hostname or "127.0.0.1", parts.port, maxsize=CONNECTIONS, timeout=TIMEOUT, retries=False
    )

    def post(path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            response = pool.urlopen("GET" if body is None else "POST", prefix + path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise ControlUnavailable(path, type(error).__name__) from error
        return response.status, response.data[:ANSWER_BYTES]

    return post


class HttpControlPlane:
    """See `host.ControlPlane`. Calls run in the blocking pool."""

    def __init__(self, post: Post, blocking: Blocking, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._post_blocking = post
        self._blocking = blocking
        self._sleep = sleep

    async def authorize(self, request: HttpRequest, service: str, authorization: Authorization) -> Decision:
        answer = await self._post(
            "/authorize",
            {
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": dict(request.headers),
                # All of a body that a signature covers, and the same few bytes for a payload of any size.
                "payload_sha256": hashlib.sha256(request.body).hexdigest(),
                "service": service,
                "action": authorization.action,
                "resources": list(authorization.resources),
                "pass_roles": [
                    {"role_arn": role.role_arn, "service": role.service} for role in authorization.pass_roles
                ],
            },
        )
        return Decision(
            allowed=answer.get("allowed") is True,
            code=str(answer.get("code") or "AccessDeniedException"),
            message=str(answer.get("message") or "not authorized"),
            principal=str(answer.get("principal") or ""),
        )

    async def credentials(self, role_arn: str, service: str, session_name: str) -> RoleCredentials:
        request = {"role_arn": role_arn, "service": service, "session_name": session_name}
        answer = await self._post("/credentials", request)
        return RoleCredentials(
            access_key_id=answer["AccessKeyId"],
            secret_access_key=answer["SecretAccessKey"],
            token=answer["Token"],
            expiration=datetime.fromisoformat(answer["Expiration"]),
        )

    async def instance(self) -> str:
        return str((await self._ask("/health", None))["instance"])

    async def put_events(self, entries: list[dict[str, Any]]) -> None:
        """Tries again while the embedded cloud restarts; events are hints, so in the end one that is lost is logged."""
        for attempt in range(EVENT_ATTEMPTS):
            try:
                await self._post("/events", entries)
            except ControlUnavailable as error:
                logger.warning("events not delivered", extra={"attempt": attempt, "reason": error.message})
                await self._sleep(min(EVENT_PAUSE_SECONDS, 0.2 * 2**attempt))
            except ApiError as error:
                # It would be refused again, and must not hold up those that follow.
                logger.exception("events refused", extra={"reason": error.message})
                break
            else:
                return
        logger.error("events lost", extra={"count": len(entries)})

    async def _post(self, path: str, document: Any) -> dict[str, Any]:
        return await self._ask(path, json.dumps(document).encode())

    async def _ask(self, path: str, sent: bytes | None) -> dict[str, Any]:
        status, body = await self._blocking.run(self._post_blocking, path, sent)
        try:
            answer = json.loads(body) if body else {}
        except ValueError as error:
            raise ControlUnavailable(path, "the answer is not JSON") from error
        if status >= 500:
            raise ControlUnavailable(path, f"HTTP {status}")
        if status >= 400:
            message = answer.get("message", f"HTTP {status}") if isinstance(answer, dict) else f"HTTP {status}"
            raise AccessDenied(str(message))
        return answer if isinstance(answer, dict) else {}
