"""A small S3 client: what the agent needs of S3, over the standard library."""

from __future__ import annotations

import base64
import hashlib
import time
from urllib.parse import quote, unquote

from trainer.errors import ObjectMissing, OutOfReach, StorageError
from trainer.sigv4 import EMPTY_SHA256, sign
from trainer.transport import BROKEN, CHUNK, Backoff, Transport, read_body

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeVar

    from trainer.credentials import CredentialChain
    from trainer.transport import Body

    _T = TypeVar("_T")

_RETRIABLE = frozenset({429, 500, 502, 503, 504})
# The keys are too old, or unknown: an S3 that was started again may have forgotten the sessions it had opened.
_KEYS_REFUSED = frozenset({
    "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired",
    "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
})  # fmt: skip
# A service that is being started again is away for some seconds, on a busy machine for many.
PATIENCE_SECONDS = 60.0
_ERROR_LIMIT = 64 * 1024


class S3Uri:
    """`s3://bucket/key`, taken apart."""

    __slots__ = ("bucket", "key")

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket = bucket
        self.key = key

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Raises `StorageError` for what is not an S3 address."""
        scheme, separator, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not separator or not bucket:
            raise StorageError(f"not an S3 address: {text!r}")
        return cls(bucket, key)

    def join(self, relative: str) -> S3Uri:
        """The address of `relative` under this prefix."""
        return S3Uri(self.bucket, f"{self.key.rstrip('/')}/{relative}" if self.key else relative)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class _Refused(Exception):
    """An answer other than success. `code` is S3's error code, empty when the answer has none.

    `access_key` is the one that the request was signed with.
    """

    def __init__(self, status: int, code: str, message: str, access_key: str) -> None:
        super().__init__(f"{code or 'HTTP'} {status}: {message}".strip())
        self.status = status
        self.code = code
        self.access_key = access_key


class S3Client:
    """Reads and writes objects, with retries.

    Args:
        credentials: Where keys come from.
        region: The region to sign for; a bucket elsewhere is found by what S3 answers.
        endpoint: Base URL of an S3-compatible service, addressed path style; `None` for AWS.
    """

    def __init__(
        self,
        credentials: CredentialChain,
        *,
        region: str,
        endpoint: str | None = None,
        transport: Transport | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._endpoint = endpoint.rstrip("/") if endpoint else None
        self._transport = transport or Transport()
        self._backoff = backoff or Backoff(patience=PATIENCE_SECONDS)
        self._clock = clock
        self._bucket_regions: dict[str, str] = {}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], credentials: CredentialChain) -> S3Client:
        """Region and endpoint as AWS's own clients read them."""
        return cls(
            credentials,
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None,
        )

    def get(self, uri: S3Uri, *, limit: int) -> bytes:
        """Returns an object's content.

        Raises:
            ObjectMissing: no such object.
            StorageError: refused, out of reach, or larger than `limit` bytes.
        """

        def attempt() -> bytes:
            response = self._send("GET", uri)
            body = read_body(response, limit + 1)
            if len(body) > limit:
                self._transport.discard()
                raise StorageError(f"{uri} is larger than {limit} bytes")
            return body

        return self._run(uri, attempt)

    def download(self, uri: S3Uri, path: Path) -> int:
        """Streams an object to a file, which appears only when it is complete. Returns its size in bytes.

        A broken transfer goes on where it stopped, provided the object has not changed meanwhile.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        etag = ""

        def attempt() -> int:
            nonlocal etag
            have = partial.stat().st_size if etag and partial.exists() else 0
            headers = {"Range": f"bytes={have}-", "If-Match": etag} if have else {}
            response = self._send("GET", uri, headers=headers)
            etag = response.headers.get("ETag", "")
            expected = int(response.headers.get("Content-Length", "-1"))
            received = 0
            with partial.open("ab" if response.status == 206 else "wb") as file:
                while True:
                    chunk = response.read(CHUNK)
                    if not chunk:
                        break
                    file.write(chunk)
                    received += len(chunk)
            if received < expected:
                self._transport.discard()
                raise ConnectionError(f"{uri} broke off after {received} of {expected} bytes")
            return partial.stat().st_size

        size = self._run(uri, attempt)
        partial.replace(path)
        return size

    def put(self, uri: S3Uri, body: Body, *, sha256: str, content_type: str = "application/octet-stream") -> None:
        """Writes an object. S3 checks the content against `sha256` (hexadecimal) and keeps it as metadata, too."""
        headers = {
            "Content-Type": content_type,
            "x-amz-checksum-sha256": _base64(sha256),
            "x-amz-meta-sha256": sha256,
        }
        self._run(uri, lambda: self._finish(self._send("PUT", uri, headers=headers, body=body, sha256=sha256)))

    def put_bytes(self, uri: S3Uri, body: bytes, *, content_type: str) -> str:
        """Writes an object and returns the hexadecimal SHA-256 of its content."""
        sha256 = hashlib.sha256(body).hexdigest()
        self.put(uri, body, sha256=sha256, content_type=content_type)
        return sha256

    def list(self, prefix: S3Uri) -> Iterator[tuple[S3Uri, int]]:
        """Yields each object under a prefix with its size in bytes."""
        from xml.etree import ElementTree

        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix.key, "encoding-type": "url"}
            if token:
                query["continuation-token"] = token
            bucket = S3Uri(prefix.bucket, "")
            _, body = self.call("GET", bucket, query=query)
            root = ElementTree.fromstring(body)  # noqa: S314 - the document is S3's own
            for element in root.iterfind("{*}Contents"):
                key = unquote(element.findtext("{*}Key", ""))
                yield S3Uri(prefix.bucket, key), int(element.findtext("{*}Size", "0"))
            token = root.findtext("{*}NextContinuationToken", "")
            if not token:
                return

    def call(
        self,
        method: str,
        uri: S3Uri,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        sha256: str | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        """One request of the S3 API, retried; returns the answer's headers and body. `sha256` is the body's."""

        def attempt() -> tuple[Mapping[str, str], bytes]:
            response = self._send(method, uri, query=query, headers=headers, body=body, sha256=sha256)
            return response.headers, response.read()  # type: ignore[return-value]

        return self._run(uri, attempt)

    def _run(self, uri: S3Uri, attempt: Callable[[], _T]) -> _T:
        try:
            return self._backoff.run(attempt, self._is_retriable)
        except _Refused as error:
            if error.status == 404:
                raise ObjectMissing(f"{uri} does not exist") from error
            kind = OutOfReach if error.status in _RETRIABLE else StorageError
            raise kind(f"S3 refused {uri}: {error}") from error
        except BROKEN as error:
            raise OutOfReach(f"S3 can't be reached for {uri}: {error!r}") from error

    def _is_retriable(self, error: Exception) -> bool:
        if isinstance(error, _Refused):
            if error.code in _KEYS_REFUSED:
                # The same keys again would be refused again.
                return self._credentials.get(renew=True).access_key != error.access_key
            return error.status in _RETRIABLE or error.code in {"RequestTimeout", "RegionFound"}
        return isinstance(error, BROKEN)

    def _send(
        self,
        method: str,
        uri: S3Uri,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        sha256: str | None = None,
    ) -> http.client.HTTPResponse:
        region = self._bucket_regions.get(uri.bucket, self._region)
        url = self._url(uri, region)
        if query:
            url += "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items()))
        if sha256 is None:
            sha256 = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) and body else EMPTY_SHA256
        keys = self._credentials.get()
        signed = sign(
            method,
            url,
            headers or {},
            payload_sha256=sha256,
            credentials=keys,
            region=region,
            service="s3",
            now=self._clock(),
        )
        response = self._transport.send(method, url, signed, body)
        if response.status < 300:
            return response
        text = response.read(_ERROR_LIMIT).decode("utf-8", "replace")
        actual = response.headers.get("x-amz-bucket-region")
        if actual and actual != region:
            self._bucket_regions[uri.bucket] = actual
            raise _Refused(response.status, "RegionFound", actual, keys.access_key)
        raise _Refused(response.status, _element(text, "Code"), _element(text, "Message"), keys.access_key)

    def _url(self, uri: S3Uri, region: str) -> str:
        path = quote(uri.key, safe="/-_.~")
        if self._endpoint:
            return f"{self._endpoint}/{uri.bucket}/{path}"
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        # A name with dots does not match the wildcard certificate of the virtual-hosted style.
        if "." in uri.bucket:
            return f"https://s3.{region}.{suffix}/{uri.bucket}/{path}"
        return f"https://{uri.bucket}.s3.{region}.{suffix}/{path}"

    @staticmethod
    def _finish(response: http.client.HTTPResponse) -> None:
        response.read()


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode("ascii")


def _element(text: str, name: str) -> str:
    _, _, rest = text.partition(f"<{name}>")
    return rest.partition(f"</{name}>")[0]
