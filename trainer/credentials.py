"""AWS credentials as containers get them: from the environment, or from the container credentials endpoint."""

from __future__ import annotations

import calendar
import json
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from trainer.errors import StorageError
from trainer.transport import BROKEN, Backoff, Transport

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Addresses that AWS documents for plain http: the task endpoint of ECS and Batch, the pod identity agent, loopback.
_PLAIN_HTTP_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "localhost", "127.0.0.1", "::1"})
_RELATIVE_BASE = "http://169.254.170.2"
_REFRESH_BEFORE_SECONDS = 300.0
_LIMIT = 64 * 1024
# The endpoint has its keys from a service that may be being started again.
_READ_SECONDS = 20.0
_PATIENCE_SECONDS = 60.0


class Credentials:
    """One set of credentials. `expires` is in seconds since the epoch, `None` when they don't expire."""

    __slots__ = ("access_key", "expires", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str | None, expires: float | None = None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token
        self.expires = expires


class CredentialChain:
    """Finds credentials in the order of AWS's own clients, and renews those that expire.

    Keys in the environment win; they are read once. The container endpoint is asked again five minutes before what it
    gave expires. If it does not answer then, the old ones are used for as long as they last.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        transport: Transport | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environ = environ
        self._transport = transport or Transport(connect_seconds=2.0, read_seconds=_READ_SECONDS)
        self._backoff = backoff or Backoff(tries=5, patience=_PATIENCE_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Credentials | None = None

    def get(self, *, renew: bool = False) -> Credentials:
        """Returns credentials that are valid now.

        Args:
            renew: Ask the endpoint even if the ones at hand should still be good: a service did not accept them.

        Raises:
            StorageError: there are none.
        """
        with self._lock:
            current = self._current
            if current is not None and not renew and not self._is_due(current):
                return current
            try:
                self._current = self._load()
            except StorageError:
                if current is None or current.expires is None or current.expires <= self._clock():
                    raise
                return current
            return self._current

    def _is_due(self, credentials: Credentials) -> bool:
        return credentials.expires is not None and credentials.expires - _REFRESH_BEFORE_SECONDS <= self._clock()

    def _load(self) -> Credentials:
        access_key = self._environ.get("AWS_ACCESS_KEY_ID")
        secret_key = self._environ.get("AWS_SECRET_ACCESS_KEY")
        if access_key and secret_key:
            return Credentials(access_key, secret_key, self._environ.get("AWS_SESSION_TOKEN") or None)
        url = self._endpoint()
        if url is None:
            raise StorageError(
                "no AWS credentials: neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_FULL_URI or "
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is set"
            )
        try:
            document = self._backoff.run(lambda: self._fetch(url), lambda error: isinstance(error, BROKEN))
            expiration = document.get("Expiration")
            return Credentials(
                document["AccessKeyId"],
                document["SecretAccessKey"],
                document.get("Token"),
                parse_time(expiration) if expiration else None,
            )
        except BROKEN as error:
            raise StorageError(f"the container credentials endpoint can't be reached: {error}") from error
        except (KeyError, ValueError) as error:
            raise StorageError(f"the container credentials endpoint answered something else: {error!r}") from error

    def _endpoint(self) -> str | None:
        relative = self._environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        if relative:
            return _RELATIVE_BASE + relative
        full = self._environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not full:
            return None
        parts = urlsplit(full)
        if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _PLAIN_HTTP_HOSTS):
            raise StorageError(
                f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {parts.hostname}: only https, loopback and the container "
                "addresses of AWS are allowed"
            )
        return full

    def _fetch(self, url: str) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        token_file = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if token_file:
            headers["Authorization"] = Path(token_file).read_text("utf-8").strip()
        elif self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            headers["Authorization"] = self._environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        response = self._transport.send("GET", url, headers)
        body = response.read(_LIMIT)
        if response.status >= 500 or response.status == 429:
            raise ConnectionError(f"HTTP {response.status}")
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - for the caller it is one more unusable answer
        return document


def parse_time(text: str) -> float:
    """Seconds since the epoch of `2030-01-31T12:00:00Z`, whatever fraction of a second follows.

    `time.strptime` would do, and would import three more modules.
    """
    fields = (text[0:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19])
    return float(calendar.timegm((*map(int, fields), 0, 0, 0)))
