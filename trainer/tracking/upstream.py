"""The MLflow server: where it is and how requests to it are signed."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from urllib.parse import unquote, urlsplit, urlunsplit

from trainer.errors import AgentError
from trainer.sigv4 import EMPTY_SHA256, sign
from trainer.transport import BROKEN, Transport, read_body

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Mapping
    from typing import Any

    from trainer.credentials import CredentialChain
    from trainer.transport import Body

API = "/api/2.0/mlflow/"
# What a gateway or load balancer in front of a server that is down answers.
AWAY = frozenset({502, 503, 504})
_SIGNING_NAME = "sagemaker-mlflow"
_ARN_HEADER = "x-mlflow-sm-tracking-server-arn"
# Partition -> DNS suffix of SageMaker-managed MLflow, as the sagemaker-mlflow plugin has it.
_SUFFIXES = {"aws": "aws", "aws-us-gov": "aws"}
_ANSWER_LIMIT = 16 * 1024 * 1024


class Unreachable(Exception):
    """The server is away: the request may be repeated later."""


class Upstream:
    """Sends requests to the server.

    Args:
        base: The server's address without a trailing slash; a path in it is kept.
        headers: Sent with every request.
        signer: Makes the headers of a signed request from method, URL, headers and the body's hash; `None` if the server
            wants no signature.
    """

    def __init__(
        self,
        base: str,
        *,
        transport: Transport,
        headers: Mapping[str, str] | None = None,
        signer: Callable[[str, str, Mapping[str, str], str], dict[str, str]] | None = None,
    ) -> None:
        self._base = base.rstrip("/")
        self._transport = transport
        self._headers = dict(headers or {})
        self._signer = signer

    @classmethod
    def from_uri(
        cls,
        uri: str,
        *,
        credentials: CredentialChain,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Upstream:
        """From an http(s) URL, or the ARN of a SageMaker-managed tracking server.

        Raises:
            AgentError: it is neither.
        """
        transport = transport or Transport(connect_seconds=3.0, read_seconds=120.0)
        if uri.startswith("arn:"):
            parts = uri.split(":", 5)
            suffix = _SUFFIXES.get(parts[1])
            if len(parts) != 6 or parts[2] != "sagemaker" or not parts[3] or "/" not in parts[5] or suffix is None:
                raise AgentError(f"AIMATRIX_MLFLOW_TRACKING_URI is not the ARN of an MLflow tracking server: {uri}")
            region = parts[3]

            def signer(method: str, url: str, headers: Mapping[str, str], sha256: str) -> dict[str, str]:
                return sign(
                    method,
                    url,
                    headers,
                    payload_sha256=sha256,
                    credentials=credentials.get(),
                    region=region,
                    service=_SIGNING_NAME,
                    now=clock(),
                )

            base = f"https://{region}.experiments.sagemaker.{suffix}"
            return cls(base, transport=transport, headers={_ARN_HEADER: uri}, signer=signer)
        url = urlsplit(uri)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise AgentError(f"AIMATRIX_MLFLOW_TRACKING_URI is neither an http(s) address nor an ARN: {uri}")
        userinfo, _, host = url.netloc.rpartition("@")
        headers = {}
        if userinfo:
            encoded = base64.b64encode(unquote(userinfo).encode()).decode("ascii")
            headers["Authorization"] = f"Basic {encoded}"
        base = urlunsplit((url.scheme, host, url.path, "", ""))
        return cls(base, transport=transport, headers=headers)

    @property
    def is_signed(self) -> bool:
        """Whether a request's body has to be hashed before it can be sent."""
        return self._signer is not None

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body = b"", *, sha256: str | None = None
    ) -> http.client.HTTPResponse:
        """Sends a request; the caller reads the answer to its end, or calls `discard`.

        Args:
            target: Path and query, as they go into the request line.
            headers: Additional headers. They are not signed.
            sha256: The body's hash, needed for a signed server unless the body is bytes.

        Raises:
            Unreachable: no answer.
        """
        if self._signer is not None:
            # MLflow writes a space in a query as `+`; a signature knows only %20.
            path, separator, query = target.partition("?")
            target = path + separator + query.replace("+", "%20")
            if sha256 is None:
                sha256 = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) and body else EMPTY_SHA256
            sent = {**headers, **self._signer(method, self._base + target, self._headers, sha256)}
        else:
            sent = {**headers, **self._headers}
        try:
            return self._transport.send(method, self._base + target, sent, body)
        except BROKEN as error:
            raise Unreachable(f"the MLflow server can't be reached: {error!r}") from error

    def discard(self) -> None:
        """Drops this thread's connection, with an answer that was not read to its end."""
        self._transport.discard()

    def call(self, method: str, name: str, document: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Calls MLflow's REST API with a JSON body. Returns the status and the answer, empty if it is not an object.

        Raises:
            Unreachable: no answer, or one of `AWAY`.
        """
        body = json.dumps(document).encode() if document is not None else b""
        status, answer = self.exchange(method, API + name, {"Content-Type": "application/json"}, body)
        try:
            parsed = json.loads(answer) if answer else {}
        except ValueError:
            parsed = {}
        return status, parsed if isinstance(parsed, dict) else {}

    def exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Sends a request and reads the whole answer.

        Raises:
            Unreachable: no complete answer, or one of `AWAY`.
        """
        response = self.send(method, target, headers, body)
        try:
            answer = read_body(response, _ANSWER_LIMIT)
        except BROKEN as error:
            self.discard()
            raise Unreachable(f"the MLflow server broke off: {error!r}") from error
        if response.status in AWAY:
            raise Unreachable(f"the MLflow server answered {response.status}")
        return response.status, answer
