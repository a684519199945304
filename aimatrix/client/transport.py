"""One exchange with the service: address, token, retries, and problems turned into errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from aimatrix.client import errors
from aimatrix.client.retry import RETRIED_STATUS, RetryPolicy, retry_after_seconds

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})

# Longer than API Gateway's 29 s: a call that the service still works on is not given up here first.
TIMEOUT = httpx.Timeout(35.0, connect=5.0)

# The service's code for a job that doesn't fit under a limit.
QUOTA_EXCEEDED = "quota-exceeded"

Token = Callable[[], str | None]


@dataclass
class Transport:
    """Sends calls below one address with one source of tokens, or one API key. Safe to share between threads.

    Attributes:
        token: gives the bearer token; asked once, and once more when the service answers 401, as a token may have
            expired while the client lived.
        key: the API key, sent in place of a token.
    """

    http: httpx.Client
    base_url: str
    token: Token
    key: str | None = field(default=None, repr=False, kw_only=True)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    rng: random.Random = field(default_factory=random.Random)
    _current: str | None = field(default=None, init=False, repr=False)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | bool | None] | None = None,
        body: object | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, always a success, its body read.

        A call is sent again when the network or the service fails it in passing and that can't do harm: methods that
        are idempotent by themselves, and any call with an ``Idempotency-Key``. Others are sent again only when they
        can't have been taken: the connection was refused, or the service throttled them (429).

        Raises:
            UnreachableError: no answer after every attempt.
            ApiError: the answer was a problem.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        query = {name: _query_text(value) for name, value in (params or {}).items() if value is not None}
        repeatable = method in IDEMPOTENT_METHODS or "Idempotency-Key" in sent
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self.http.request(
                    method,
                    self.base_url + path,
                    params=query,
                    json=body,
                    content=content,
                    headers={**sent, **self._authorization()},
                    timeout=TIMEOUT,
                )
            except httpx.TransportError as error:
                # A connection that was refused carried nothing, so any call may follow.
                if not (repeatable or isinstance(error, httpx.ConnectError)) or not self._pause(attempt, None):
                    raise errors.UnreachableError(f"{self.base_url}: {_reason(error)}") from error
                continue
            if response.is_success:
                return response
            if response.status_code == httpx.codes.UNAUTHORIZED and not renewed and self._renew():
                renewed = True
                attempt -= 1
                continue
            if not self._worth_repeating(response, repeatable) or not self._pause(attempt, response):
                raise errors.from_response(response)

    def document(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The answer's JSON object."""
        response = self.call(method, path, **options)
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise errors.ServiceError(
                response.status_code,
                "not_json",
                f"{method} {path} was answered with something that isn't a JSON object",
            )
        return document

    def _authorization(self) -> dict[str, str]:
        if self.key:
            return {"X-API-Key": self.key}
        if self._current is None:
            self._current = self.token()
        return {"Authorization": f"Bearer {self._current}"} if self._current else {}

    def _renew(self) -> bool:
        """Asks for a token anew; False when the source has no other."""
        if self.key:
            return False
        before, self._current = self._current, self.token()
        return self._current != before

    def _worth_repeating(self, response: httpx.Response, repeatable: bool) -> bool:
        if response.status_code not in RETRIED_STATUS:
            return False
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            # A throttled call says when to come back, or is API Gateway's. So does an exhausted quota, but its room may
            # come in a minute or next month, and who asked may rather ask for less: they have to hear of it at once.
            code = errors.from_response(response).code
            return code != QUOTA_EXCEEDED and ("retry-after" in response.headers or code.startswith("http_"))
        return repeatable

    def _pause(self, attempt: int, response: httpx.Response | None) -> bool:
        wanted = retry_after_seconds(response.headers, self.now()) if response is not None else None
        seconds = self.policy.delay(attempt, wanted, self.rng)
        if seconds is None:
            return False
        self.sleep(seconds)
        return True


def _query_text(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
