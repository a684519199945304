"""An S3 that holds objects in memory and checks what a real one would check."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class FakeS3:
    """`objects` maps `bucket/key` to content; `requests` lists method and path of each request.

    `faults` is taken from the front: each entry answers one request with that status instead; -1 cuts the connection in
    the middle of the body. A request signed with a key of `forgotten_keys` is refused as one of an unknown session is.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    refuse_writes: bool = False
    forgotten_keys: set[str] = field(default_factory=set)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    url: str = ""

    def under(self, prefix: str) -> dict[str, bytes]:
        """The objects whose `bucket/key` starts so, by the rest of their name."""
        return {key[len(prefix) :]: body for key, body in self.objects.items() if key.startswith(prefix)}


@contextmanager
def serve_s3() -> Iterator[FakeS3]:
    """Runs a fake S3 on a free port."""
    store = FakeS3()

    class Handler(_Handler):
        s3 = store

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    s3: FakeS3

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        name = unquote(parts.path).lstrip("/")
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.s3.requests.append((self.command, self.path))
        self.s3.authorizations.append(self.headers.get("Authorization", ""))
        if self.s3.faults:
            status = self.s3.faults.pop(0)
            if status == -1:
                self._cut(name)
            elif status:
                self._send(status, b"<Error><Code>InternalError</Code><Message>try again</Message></Error>")
            if status:
                return
        if self.headers.get("X-Amz-Content-SHA256") != hashlib.sha256(body).hexdigest():
            self._send(400, b"<Error><Code>XAmzContentSHA256Mismatch</Code></Error>")
        elif "AWS4-HMAC-SHA256 Credential=" not in self.headers.get("Authorization", ""):
            self._send(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif self._key() in self.s3.forgotten_keys:
            self._send(403, b"<Error><Code>InvalidAccessKeyId</Code><Message>does not exist</Message></Error>")
        elif self.command == "GET":
            self._get(name, query)
        elif self.s3.refuse_writes:
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>no writing here</Message></Error>")
        else:
            self._change(name, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - names of http.server

    def _key(self) -> str:
        return self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]

    def _get(self, name: str, query: dict[str, str]) -> None:
        if "list-type" in query:
            self._list(name.rstrip("/"), query)
            return
        body = self.s3.objects.get(name)
        if body is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324 - what S3 uses as an entity tag
        span = self.headers.get("Range")
        if span:
            start = int(span.removeprefix("bytes=").rstrip("-"))
            self._send(206, body[start:], ETag=etag)
        else:
            self._send(200, body, ETag=etag)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        names = sorted(self.s3.under(f"{bucket}/"))
        names = [name for name in names if name.startswith(query.get("prefix", ""))]
        start = int(query.get("continuation-token", "0"))
        page = names[start : start + 2]
        rows = "".join(
            f"<Contents><Key>{escape(quote(name, safe='/'))}</Key>"
            f"<Size>{len(self.s3.objects[f'{bucket}/{name}'])}</Size></Contents>"
            for name in page
        )
        more = f"<NextContinuationToken>{start + 2}</NextContinuationToken>" if start + 2 < len(names) else ""
        document = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}{more}</ListBucketResult>'
        self._send(200, document.encode())

    def _change(self, name: str, query: dict[str, str], body: bytes) -> None:
        checksum = self.headers.get("x-amz-checksum-sha256")
        if checksum and base64.b64decode(checksum) != hashlib.sha256(body).digest():
            self._send(400, b"<Error><Code>BadDigest</Code></Error>")
        elif self.command == "DELETE":
            if "uploadId" in query:
                self.s3.uploads.pop(query["uploadId"], None)
            else:
                self.s3.objects.pop(name, None)
            self._send(204, b"")
        elif "uploads" in query:
            upload = f"upload-{len(self.s3.uploads)}"
            self.s3.uploads[upload] = {}
            self._remember(name)
            self._send(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
        elif "partNumber" in query:
            self.s3.uploads[query["uploadId"]][int(query["partNumber"])] = body
            self._send(200, b"", ETag=f'"{query["partNumber"]}"')
        elif "uploadId" in query:
            parts = self.s3.uploads.pop(query["uploadId"])
            self.s3.objects[name] = b"".join(parts[number] for number in sorted(parts))
            self._send(200, b"<CompleteMultipartUploadResult/>")
        else:
            self.s3.objects[name] = body
            self._remember(name)
            self._send(200, b"")

    def _remember(self, name: str) -> None:
        prefix = "x-amz-meta-"
        self.s3.metadata[name] = {
            key.lower()[len(prefix) :]: value for key, value in self.headers.items() if key.lower().startswith(prefix)
        }

    def _cut(self, name: str) -> None:
        body = self.s3.objects[name]
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')  # noqa: S324 - what S3 uses as an entity tag
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Tests read `requests`."""
