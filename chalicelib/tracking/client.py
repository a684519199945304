"""One call of MLflow's REST API: signed where needed, repeated where that is safe, its errors as two exceptions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from chalicelib.errors import Unavailable
from chalicelib.tracking.address import SIGNING_SERVICE, TrackingAddress

API = "/api/2.0/mlflow/"
MAX_ANSWER_BYTES = 4 * 1024 * 1024
ATTEMPTS = 4
_CONNECT_SECONDS, _READ_SECONDS = 2.0, 8.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 4.0
_LATER = frozenset({408, 429, 500, 502, 503, 504})

Sign = Callable[..., Mapping[str, str]]
"""As `chalicelib.aws.Clients.sign`."""


class MlflowRefused(Exception):
    """MLflow understood the request and said no; `code` is its own word, such as RESOURCE_DOES_NOT_EXIST."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"MLflow answered {status} {code}: {message}")
        self.status, self.code = status, code


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class ConnectionFailed(Exception):
    """No answer: whether the server saw the request is unknown."""


Send = Callable[[str, str, bytes, Mapping[str, str]], Answer]
"""Sends (method, url, body, headers) once. Raises `ConnectionFailed`."""


def http_send() -> Send:
    """A `Send` with a pool of kept-alive connections of its own."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS), retries=False, maxsize=1
    )

    def send(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            response = pool.request(
                method, url, body=body or None, headers=dict(headers), redirect=False, preload_content=False
            )
            try:
                content = response.read(MAX_ANSWER_BYTES + 1)
            finally:
                response.drain_conn()
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionFailed(type(error).__name__) from error
        if len(content) > MAX_ANSWER_BYTES:
            raise ConnectionFailed(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status, content)

    return send


@dataclass(frozen=True)
class TrackingClient:
    """
    Args:
        sign: adds SigV4 headers; only asked for when the address needs it.
        uniform: `random.uniform`: pauses between attempts are drawn from 0 to a growing limit.
    """

    address: TrackingAddress
    send: Send
    sign: Sign
    sleep: Callable[[float], None]
    uniform: Callable[[float, float], float]

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        return self._call("GET", f"{API}{path}?{urlencode(parameters, quote_via=quote)}", b"", ATTEMPTS)

    def post(self, path: str, document: Mapping[str, Any], *, attempts: int = ATTEMPTS) -> dict[str, Any]:
        """
        Args:
            attempts: 1 for a request that must not be repeated blindly.
        """
        return self._call("POST", API + path, json.dumps(document).encode(), attempts)

    def pause(self, failures: int) -> None:
        self.sleep(self.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures)))

    def _call(self, method: str, path: str, body: bytes, attempts: int) -> dict[str, Any]:
        """
        Raises:
            MlflowRefused: a 4xx that trying again won't change.
            Unavailable: no usable answer after all attempts.
        """
        trouble = ""
        for failures in range(attempts):
            if failures:
                self.pause(failures)
            try:
                answer = self._once(method, path, body)
            except ConnectionFailed as error:
                trouble = str(error)
                continue
            document = _document(answer.body)
            if answer.status in _LATER or (answer.status < 300 and document is None):
                trouble = f"status {answer.status}"
                continue
            if answer.status >= 300:
                refusal = document or {}
                raise MlflowRefused(
                    answer.status, str(refusal.get("error_code", "")), str(refusal.get("message", ""))[:500]
                )
            return document or {}
        raise Unavailable(f"The MLflow server does not answer ({trouble}). Try again.")

    def _once(self, method: str, path: str, body: bytes) -> Answer:
        url = self.address.base + path
        headers: Mapping[str, str] = {"Content-Type": "application/json", **self.address.headers}
        if self.address.signing_region:
            # The service reads the body's hash from this header, as the plugin sends it.
            headers = {**headers, "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
            headers = self.sign(method, url, body, headers, SIGNING_SERVICE, self.address.signing_region)
        return self.send(method, url, body, headers)


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
