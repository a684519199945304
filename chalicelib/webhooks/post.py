"""One request to a webhook: resolved once, checked, and sent to the address that was checked.

Built on http.client, because a connection must go to an address of our choice while the certificate is checked against the
name; see docs/decisions/0042. No proxy, no redirect, no retry, no byte of the answer but its status and Retry-After.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from chalicelib.version import VERSION
from chalicelib.webhooks.addresses import Target, is_public

# All of it: name, connection, TLS, request, status.
SECONDS = 10.0
_RESOLVE_SECONDS = 3.0
_MOST_ADDRESSES = 16
_TRIED = 2
_LOOPBACK = ("127.0.0.1",)

Resolve = Callable[[str, int], Sequence[str]]
"""Name and port → addresses. Raises OSError."""
Connect = Callable[[str, int, float], socket.socket]
"""Address, port, seconds → a connection. Raises OSError. The address is never a name."""


class NotSent(Exception):
    """There is no answer; the text says why, in words for the webhook's owner."""


@dataclass(frozen=True)
class Answer:
    status: int
    retry_after: timedelta | None = None


def resolve(host: str, port: int) -> Sequence[str]:
    """By the system's resolver, which has no time limit of its own: it is left alone when it takes too long."""
    found: Future[list[str]] = Future()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=ask, daemon=True, name="resolve").start()
    return found.result(_RESOLVE_SECONDS)


def connect(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=seconds)


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@dataclass(frozen=True)
class Poster:
    """
    Args:
        context: which certificates are trusted.
        seconds: for all of a request.
    """

    context: ssl.SSLContext
    resolve: Resolve = resolve
    connect: Connect = connect
    monotonic: Callable[[], float] = time.monotonic
    seconds: float = SECONDS

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """
        Raises:
            NotSent: no answer, or nobody may be asked for one.
        """
        deadline = self.monotonic() + self.seconds
        addresses = _LOOPBACK if target.is_loopback else self._addresses(target)
        connection = self._connected(target, addresses, deadline)
        with contextlib.closing(connection), _Limit(connection, deadline - self.monotonic()) as limit:
            try:
                if not target.is_loopback:
                    connection = self.context.wrap_socket(connection, server_hostname=target.host)
                with contextlib.closing(connection):
                    return _exchange(connection, target, body, headers)
            except ssl.SSLCertVerificationError as error:
                raise NotSent(f"the certificate is not good: {error.verify_message}") from error
            except ssl.SSLError as error:
                raise NotSent(self._late if limit.is_over else f"TLS failed: {error.reason}") from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                over = limit.is_over or isinstance(error, TimeoutError)
                raise NotSent(self._late if over else _words(error)) from error

    @property
    def _late(self) -> str:
        return f"no answer within {self.seconds:g} seconds"

    def _addresses(self, target: Target) -> Sequence[str]:
        try:
            found = self.resolve(target.host, target.port)[:_MOST_ADDRESSES]
        except TimeoutError as error:
            raise NotSent("its name could not be resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise NotSent("its name could not be resolved") from error
        # All of them: a name that leads inside with one of its addresses is not to be trusted with the others.
        if not found or not all(is_public(address) for address in found):
            raise NotSent("its name leads to an address that is not public")
        return found

    def _connected(self, target: Target, addresses: Sequence[str], deadline: float) -> socket.socket:
        trouble: OSError | None = None
        for address in addresses[:_TRIED]:
            left = deadline - self.monotonic()
            if left <= 0:
                break
            try:
                # An address that does not answer leaves half of the time to the next one.
                return self.connect(address, target.port, left / 2)
            except OSError as error:
                trouble = error
        words = "it does not take connections in time" if trouble is None or _is_late(trouble) else _words(trouble)
        raise NotSent(words) from trouble


class _Limit:
    """Ends a connection when its time is over, however the other side keeps it busy."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        connection.settimeout(max(0.01, seconds))
        # A socket of its own on the same connection: closing ours, or wrapping it into TLS, does not touch it.
        self._handle = socket.socket(connection.family, connection.type, fileno=os.dup(connection.fileno()))
        self._timer = threading.Timer(max(0.01, seconds), self._end)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._handle.close()

    def _end(self) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)


def _exchange(connection: socket.socket, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
    client = http.client.HTTPConnection(target.host, target.port)
    client.default_port = 80 if target.is_loopback else 443
    client.auto_open = 0
    client.sock = connection
    named = {
        "Content-Type": "application/json",
        "User-Agent": f"aimatrix-webhooks/{VERSION}",
        "Connection": "close",
        **headers,
    }
    client.request("POST", target.path, body, named)
    answer = client.getresponse()
    return Answer(answer.status, _retry_after(answer.getheader("Retry-After", "")))


def _retry_after(text: str) -> timedelta | None:
    """In seconds; a date is left alone: our own pauses are good enough."""
    is_number = text.isascii() and text.isdigit() and len(text) <= 6
    return timedelta(seconds=int(text)) if is_number else None


def _is_late(error: OSError) -> bool:
    return isinstance(error, TimeoutError)


def _words(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "it refuses connections"
        case ConnectionError():
            return "it ended the connection"
        case http.client.HTTPException():
            return "its answer is not HTTP"
        case OSError():
            return f"it cannot be reached: {os.strerror(error.errno) if error.errno else type(error).__name__}"
    return f"it cannot be reached: {type(error).__name__}"
