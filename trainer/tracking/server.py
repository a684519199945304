"""The proxy's HTTP side: authentication, whole answers for API calls, streams for artifacts.

Imported once the script is running: the port is bound before, and connections wait in its backlog for a moment.
"""

from __future__ import annotations

import hmac
import json
import tempfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, cast

from trainer.s3 import file_sha256
from trainer.tracking.gateway import RETRY_AFTER_SECONDS, Answer, Gateway
from trainer.tracking.upstream import AWAY, Unreachable
from trainer.transport import BROKEN, CHUNK, FileSlice, StreamedBody

if TYPE_CHECKING:
    import socket

    from trainer.transport import Body

_HOP_BY_HOP = frozenset(
    {
        "authorization", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_LONGEST_CHUNK_LINE = 1024


class ProxyServer(ThreadingMixIn, TCPServer):
    """Serves one script over a socket that is bound and listening already.

    Args:
        listener: The socket.
        gateway: Decides about requests.
        token: What the script has to show.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, gateway: Gateway, token: str) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.gateway = gateway
        self.token = token

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle of an answer is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 600

    def _serve(self) -> None:
        server = cast("ProxyServer", self.server)
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {server.token}".encode()):
            self.close_connection = True
            self._send(_problem(401, "UNAUTHENTICATED", "MLFLOW_TRACKING_TOKEN is missing or wrong"))
            return
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
                self._chunked()
            else:
                self._sized(int(self.headers.get("Content-Length") or 0))
        except Unreachable as error:
            # Part of the body may be unread.
            self.close_connection = True
            self._send(_problem(503, "TEMPORARILY_UNAVAILABLE", str(error)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - names of http.server

    def _sized(self, length: int) -> None:
        gateway = cast("ProxyServer", self.server).gateway
        if gateway.is_buffered(self.path, length):
            self._send(gateway.answer(self.command, self.path, dict(self.headers), self.rfile.read(length)))
        elif length > 0 and gateway.upstream.is_signed:
            # The signature covers the body, so it has to be known before the first byte leaves.
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory, "body")
                with path.open("wb") as file:
                    for chunk in StreamedBody(self.rfile.read, length):
                        file.write(chunk)
                self._stream(FileSlice(path, 0, length), file_sha256(path))
        else:
            self._stream(StreamedBody(self.rfile.read, length) if length else b"")

    def _chunked(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "body")
            with path.open("wb") as file:
                while True:
                    size = int(self.rfile.readline(_LONGEST_CHUNK_LINE).split(b";")[0], 16)
                    for chunk in StreamedBody(self.rfile.read, size):
                        file.write(chunk)
                    if size == 0:
                        while self.rfile.readline(_LONGEST_CHUNK_LINE) not in {b"\r\n", b"\n", b""}:
                            pass
                        break
                    self.rfile.readline(_LONGEST_CHUNK_LINE)
            length = path.stat().st_size
            gateway = cast("ProxyServer", self.server).gateway
            if gateway.is_buffered(self.path, length):
                self._send(gateway.answer(self.command, self.path, dict(self.headers), path.read_bytes()))
            else:
                self._stream(FileSlice(path, 0, length) if length else b"", file_sha256(path))

    def _stream(self, body: Body, sha256: str | None = None) -> None:
        upstream = cast("ProxyServer", self.server).gateway.upstream
        target = cast("ProxyServer", self.server).gateway.translate(self.path)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        response = upstream.send(self.command, target, headers, body, sha256=sha256)
        if response.status in AWAY:
            upstream.discard()
            raise Unreachable(f"the MLflow server answered {response.status}")
        length = response.headers.get("Content-Length")
        has_body = self.command != "HEAD" and response.status >= 200 and response.status not in {204, 304}
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", length)
        elif has_body:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        try:
            while has_body:
                chunk = response.read(CHUNK)
                sent += len(chunk)
                if length is None:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                else:
                    self.wfile.write(chunk)
                if not chunk:
                    break
            self.wfile.flush()
            if has_body and length is not None and sent < int(length):
                raise ConnectionError("the server broke off")
        except BROKEN:
            # The status is out already: only a cut connection tells the client that the body is not whole.
            upstream.discard()
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """The script's requests are no part of its log."""


def _problem(status: int, code: str, message: str) -> Answer:
    document: dict[str, str] = {"error_code": code, "message": message}
    headers: list[tuple[str, str]] = [("Content-Type", "application/json")]
    if status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
    return Answer(status, headers, json.dumps(document).encode())
