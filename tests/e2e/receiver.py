"""A server of a user's, on the port that the cloud's owner has opened for webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = 30


@dataclass(frozen=True)
class Got:
    headers: Mapping[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Receiver:
    """
    Attributes:
        answers: status codes, and where to for a redirect, that are given next; then 204.
    """

    url: str
    got: list[Got] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, until: Callable[[list[Got]], bool]) -> list[Got]:
        """What has come, once it is enough."""
        with self.changed:
            assert self.changed.wait_for(lambda: until(self.got), SECONDS), [each.payload for each in self.got]
            return list(self.got)


@contextmanager
def receiving(port: int) -> Iterator[Receiver]:
    here = Receiver(f"http://127.0.0.1:{port}/in?key=of-the-receiver")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with here.changed:
                here.got.append(Got({name.lower(): value for name, value in self.headers.items()}, body))
                status, location = here.answers.pop(0) if here.answers else (204, "")
                here.changed.notify_all()
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
