"""The job's secret variables: decrypted by KMS, or read from Secrets Manager, with the container's own role.

Imported only for a job that has some. Values go to the script's environment and to the `Mask`, and nowhere else: no message
of this module holds one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time

from trainer.errors import AgentError
from trainer.sigv4 import sign
from trainer.transport import BROKEN, Backoff, Transport, read_body

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from trainer.credentials import CredentialChain
    from trainer.spec import Spec

SHORTEST_VALUE = 4
PATIENCE_SECONDS = 60.0
_ANSWER_LIMIT = 1024 * 1024
_SHOWN = 300
_BUSY = frozenset(
    {"ThrottlingException", "RequestLimitExceeded", "KeyUnavailableException", "DependencyTimeoutException"}
)
_KEYS_REFUSED = frozenset({"ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"})


class SecretError(AgentError):
    """A secret variable can't be had; the message names the variable."""


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, access_key: str) -> None:
        super().__init__(f"{code}: {message}"[:_SHOWN])
        self.status = status
        self.code = code
        self.access_key = access_key


def reveal(spec: Spec, environ: Mapping[str, str], credentials: CredentialChain) -> dict[str, str]:
    """The values of the job's secret variables, by name.

    Raises:
        SecretError: one of them can't be had.
    """
    client = JsonClient.from_environment(environ, credentials)
    return {name: _value(client, spec, name, secret) for name, secret in spec.secret_variables.items()}


def _value(client: JsonClient, spec: Spec, name: str, secret: Mapping[str, str]) -> str:
    try:
        return _checked(_decrypted(client, spec, name, secret) if "ciphertext" in secret else _fetched(client, secret))
    except _Refused as error:
        why = str(error)
    except BROKEN as error:
        why = f"no answer from AWS ({error!r})"
    except _Unusable as error:
        why = str(error)
    except (KeyError, TypeError, ValueError):
        # What such an error says may be the value.
        why = "the answer was not of the form expected"
    raise SecretError(f"the secret variable {name} can't be had: {why}")


def _decrypted(client: JsonClient, spec: Spec, name: str, secret: Mapping[str, str]) -> str:
    context = {"aimatrix:tenant": spec.tenant, "aimatrix:job-id": spec.job_id, "aimatrix:variable": name}
    asked = {"CiphertextBlob": secret["ciphertext"], "EncryptionContext": context}
    return base64.b64decode(client.call("kms", "TrentService.Decrypt", asked)["Plaintext"]).decode("utf-8")


def _fetched(client: JsonClient, secret: Mapping[str, str]) -> str:
    answer = client.call("secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": secret["secret_arn"]})
    text = answer.get("SecretString")
    if not isinstance(text, str):
        raise _Unusable("the secret is binary; only text can be a variable")
    key = secret.get("json_key")
    if key is None:
        return text
    try:
        document = json.loads(text)
    except ValueError:
        raise _Unusable("the secret is not JSON, so json_key finds nothing in it") from None
    value = document.get(key) if isinstance(document, dict) else None
    if value is None or isinstance(value, (dict, list)):
        raise _Unusable(f"the secret has no text under the json_key {key!r}")
    return value if isinstance(value, str) else json.dumps(value)


class _Unusable(ValueError):
    """A secret that was read and is no value for a variable. Its message is ours."""


def _checked(value: str) -> str:
    if len(value) < SHORTEST_VALUE:
        raise _Unusable(f"it has fewer than {SHORTEST_VALUE} characters, too few to keep it out of the log")
    if "\0" in value:
        raise _Unusable("it has a NUL character, which no variable can hold")
    return value


class JsonClient:
    """Calls AWS services that speak JSON, signed and retried.

    Args:
        endpoint: Where they all are; `None` for AWS's own addresses.
        environ: Read for an address of one service, `AWS_ENDPOINT_URL_KMS` and the like.
    """

    def __init__(
        self,
        credentials: CredentialChain,
        *,
        region: str,
        environ: Mapping[str, str],
        transport: Transport | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._environ = environ
        self._transport = transport or Transport(read_seconds=20.0)
        self._backoff = backoff or Backoff(patience=PATIENCE_SECONDS)
        self._clock = clock

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], credentials: CredentialChain) -> JsonClient:
        """Region and endpoints as AWS's own clients read them."""
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return cls(credentials, region=region, environ=environ)

    def call(self, service: str, target: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """The answer's document.

        Args:
            service: The signing name, which is also the first word of the address.
            target: The action, as `X-Amz-Target` names it.

        Raises:
            _Refused: the service said no.
            OSError, http.client.HTTPException: no answer; see `BROKEN`.
        """
        body = json.dumps(document).encode("ascii")
        url = self._url(service)
        return self._backoff.run(lambda: self._once(service, target, url, body), self._is_retriable)

    def _once(self, service: str, target: str, url: str, body: bytes) -> dict[str, Any]:
        keys = self._credentials.get()
        headers = sign(
            "POST",
            url,
            {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target},
            payload_sha256=hashlib.sha256(body).hexdigest(),
            credentials=keys,
            region=self._region,
            service=service,
            now=self._clock(),
        )
        response = self._transport.send("POST", url, headers, body)
        answer = read_body(response, _ANSWER_LIMIT)
        try:
            document = json.loads(answer)
        except ValueError:
            document = {}
        if not isinstance(document, dict):
            document = {}
        if response.status != 200:
            code = str(document.get("__type") or f"HTTP {response.status}").rpartition("#")[2]
            message = str(document.get("message") or document.get("Message") or "")
            raise _Refused(response.status, code, message, keys.access_key)
        return document

    def _is_retriable(self, error: Exception) -> bool:
        if isinstance(error, _Refused):
            if error.code in _KEYS_REFUSED:
                # The same keys again would be refused again.
                return self._credentials.get(renew=True).access_key != error.access_key
            return error.status >= 500 or error.status == 429 or error.code in _BUSY
        return isinstance(error, BROKEN)

    def _url(self, service: str) -> str:
        own = {"kms": "KMS", "secretsmanager": "SECRETS_MANAGER"}[service]
        given = self._environ.get(f"AWS_ENDPOINT_URL_{own}") or self._environ.get("AWS_ENDPOINT_URL")
        if given:
            return given.rstrip("/") + "/"
        suffix = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        return f"https://{service}.{self._region}.{suffix}/"
