"""Calls the compute emulator as AWS services call each other: signed, over HTTP, in the wire form of each API.

botocore's clients would read SageMaker's service model for it, 60 MB in this process; two protocols are enough here.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from localcloud.state import REGION

CALL_SECONDS = 60.0


class ComputeError(Exception):
    """The emulator answered with an error of the API."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class ComputeUnavailableError(Exception):
    """The emulator did not answer."""


@dataclass(frozen=True)
class Keys:
    """Credentials to sign with; the root's have no token."""

    access_key_id: str
    secret_access_key: str
    token: str | None = None


@dataclass(frozen=True)
class ComputeClient:
    """The emulator at one address."""

    url: str
    control_secret: str

    def sagemaker(self, action: str, arguments: dict[str, Any], keys: Keys) -> dict[str, Any]:
        """Call an action of SageMaker's JSON 1.1 API.

        Raises:
            ComputeError, ComputeUnavailableError
        """
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{action}"}
        return self._call("sagemaker", "/", arguments, headers, keys)

    def batch(self, action: str, arguments: dict[str, Any], keys: Keys) -> dict[str, Any]:
        """Call an action of Batch's REST API, such as `SubmitJob`.

        Raises:
            ComputeError, ComputeUnavailableError
        """
        return self._call("batch", f"/v1/{action.lower()}", arguments, {"Content-Type": "application/json"}, keys)

    def wait(self, kind: str, name: str, seconds: float) -> dict[str, Any]:
        """The description of a job, answered when it is terminal or the time is over, whichever comes first."""
        path = f"/_compute/wait/{kind}/{quote(name, safe='')}?timeout={seconds:g}"
        return self._send("GET", path, b"", {"X-Aimatrix-Control": self.control_secret}, seconds + CALL_SECONDS)

    def _call(
        self, service: str, path: str, arguments: dict[str, Any], headers: dict[str, str], keys: Keys
    ) -> dict[str, Any]:
        body = json.dumps(arguments).encode()
        request = AWSRequest(method="POST", url=self.url + path, data=body, headers=headers)
        credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.token)
        SigV4Auth(credentials, service, REGION).add_auth(request)
        return self._send("POST", path, body, dict(request.headers.items()), CALL_SECONDS)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str], timeout: float) -> dict[str, Any]:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ComputeUnavailableError(f"the compute emulator did not answer: {error}") from error
        finally:
            connection.close()
        try:
            document = json.loads(content) if content else {}
        except ValueError as error:
            # Not the emulator's own words, so its state is unknown: as if it had not answered.
            text = content[:200].decode(errors="replace")
            raise ComputeUnavailableError(f"the compute emulator answered {response.status} {text}") from error
        if response.status >= 400:
            code = (
                response.headers.get("x-amzn-errortype") or document.get("__type") or document.get("code") or "Unknown"
            )
            message = document.get("message") or document.get("Message") or str(document)
            raise ComputeError(code.split(":")[0].split("#")[-1], message, response.status)
        return dict(document)
