"""HTTP connections, kept open per thread and origin, and the retry rule that every client of the agent shares."""

from __future__ import annotations

import http.client
import random
import threading
import time
from urllib.parse import urlsplit

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeVar, Union

    Body = Union[bytes, "FileSlice", "StreamedBody"]
    T = TypeVar("T")

CHUNK = 256 * 1024
# A connection that broke, timed out, or answered with something that is not HTTP.
BROKEN = (OSError, http.client.HTTPException)


class FileSlice:
    """Part of a file as a request body. It can be iterated again, so a request with it can be repeated."""

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self.path = path
        self.offset = offset
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        remaining = self.length
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while remaining:
                chunk = file.read(min(CHUNK, remaining))
                if not chunk:
                    raise OSError(f"{self.path} became shorter while it was being sent")
                remaining -= len(chunk)
                yield chunk


class StreamedBody:
    """A request body of known length that is still arriving. It can be sent once: a request with it is not repeated."""

    def __init__(self, read: Callable[[int], bytes], length: int) -> None:
        self._read = read
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        remaining = self.length
        while remaining:
            chunk = self._read(min(CHUNK, remaining))
            if not chunk:
                raise ConnectionAbortedError("the sender stopped in the middle of the body")
            remaining -= len(chunk)
            yield chunk


class Transport:
    """Sends requests. Safe to share between threads: each thread has connections of its own.

    Args:
        connect_seconds: How long to wait for a connection.
        read_seconds: How long to wait for each read or write on it.
    """

    def __init__(self, *, connect_seconds: float = 5.0, read_seconds: float = 60.0) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        # By thread: a response has to be read before its connection carries the next request. A thread's number is used
        # again once it has ended, and its connections with it.
        self._by_thread: dict[int, dict[tuple[str, str], http.client.HTTPConnection]] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body = b"") -> http.client.HTTPResponse:
        """Sends one request and returns the response with its body unread.

        The caller reads the body to its end (or calls `discard`): only then is the connection free for the next request.
        A kept connection that the server has closed meanwhile is replaced once, without counting as a failure.

        Raises:
            OSError, http.client.HTTPException: see `BROKEN`.
        """
        parts = urlsplit(url)
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        origin = (parts.scheme, parts.netloc)
        connections = self._connections()
        connection = connections.pop(origin, None)
        if connection is not None and isinstance(body, StreamedBody):
            # A kept connection may turn out to be closed, and this body could not be sent again.
            connection.close()
        elif connection is not None:
            try:
                response = self._exchange(connection, method, target, headers, body)
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                connection.close()
            except BaseException:
                connection.close()
                raise
            else:
                connections[origin] = connection
                return response
        connection = self._connect(parts.scheme, parts.hostname or "", parts.port)
        try:
            response = self._exchange(connection, method, target, headers, body)
        except BaseException:
            connection.close()
            raise
        connections[origin] = connection
        return response

    def discard(self) -> None:
        """Closes this thread's connections, among them one whose response was not read to its end."""
        connections = self._connections()
        for connection in connections.values():
            connection.close()
        connections.clear()

    def close(self) -> None:
        """Closes every thread's connections."""
        for connections in self._by_thread.values():
            for connection in connections.values():
                connection.close()
        self._by_thread.clear()

    def _connections(self) -> dict[tuple[str, str], http.client.HTTPConnection]:
        return self._by_thread.setdefault(threading.get_ident(), {})

    def _connect(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = kind(host, port, timeout=self._connect_seconds)
        connection.connect()
        connection.sock.settimeout(self._read_seconds)
        return connection

    @staticmethod
    def _exchange(
        connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: Body
    ) -> http.client.HTTPResponse:
        sent = dict(headers)
        if body or method in {"POST", "PUT", "PATCH"}:
            sent["Content-Length"] = str(len(body))
        connection.request(method, target, body=body or None, headers=sent)
        return connection.getresponse()


def read_body(response: http.client.HTTPResponse, limit: int) -> bytes:
    """Reads a response's body, at most `limit` bytes of it.

    `HTTPResponse.read` with a size takes a body that breaks off for one that has ended.

    Raises:
        http.client.IncompleteRead: the connection broke before the end.
    """
    expected = response.length
    body = response.read(limit)
    if expected is not None and len(body) < min(expected, limit):
        raise http.client.IncompleteRead(body, expected - len(body))
    return body


class Backoff:
    """How often and how long to wait between tries: full jitter under an exponential ceiling.

    Args:
        tries: How often to try, at least.
        patience: For how many seconds to go on trying, even if that takes more tries.
        base: The first ceiling, seconds; it doubles.
        cap: The highest ceiling, seconds.
        sleep: Waits for a number of seconds.
        draw: Returns a number in [0, 1).
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        tries: int = 7,
        patience: float = 0.0,
        base: float = 0.1,
        cap: float = 8.0,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tries = tries
        self._patience = patience
        self._clock = clock
        self._base = base
        self._cap = cap
        self._sleep = sleep
        self._draw = draw

    def run(self, attempt: Callable[[], T], retriable: Callable[[Exception], bool]) -> T:
        """Returns what `attempt` returns; its exception once it is not retriable, or tries and patience are used up."""
        begun = self._clock()
        failures = 0
        ceiling = self._base
        while True:
            try:
                return attempt()
            except Exception as error:  # noqa: PERF203 - each round waits for the network
                failures += 1
                used_up = failures >= self._tries and self._clock() - begun >= self._patience
                if used_up or not retriable(error):
                    raise
                self._sleep(self._draw() * ceiling)
                ceiling = min(self._cap, 2 * ceiling)
