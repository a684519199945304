"""A small HTTP/1.1 client that streams both ways over kept connections.

A proxy adds its own time to every request, so this is kept to what a proxy needs: h11 for the protocol, asyncio streams for
the bytes, and a stack of idle connections. Idle connections are dropped long before the server would close them, so that a
request is never sent into a closing one; if it still happens, only a request that does no harm twice is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass

import h11

Headers = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterable[bytes]

# RFC 9110, section 7.6.1: these speak about one connection and are not passed on.
HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"expect",
    }
)  # fmt: skip

_READ_BYTES = 64 * 1024
_MAX_IDLE = 64
# The server keeps connections for 75 s.
_IDLE_SECONDS = 30.0
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class UpstreamUnavailableError(ConnectionError):
    """Nothing answers at the address, or it closed the connection before an answer began."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: AsyncGenerator[bytes, None]


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.protocol = h11.Connection(our_role=h11.CLIENT)
        self.idle_since = 0.0

    async def send(self, event: h11.Event) -> None:
        data = self.protocol.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def receive(self) -> h11.Event:
        while True:
            event = self.protocol.next_event()
            if event is h11.NEED_DATA:
                self.protocol.receive_data(await self.reader.read(_READ_BYTES))
                continue
            if event is h11.PAUSED:
                raise UpstreamUnavailableError("the upstream server sent more than one answer")
            assert not isinstance(event, type)  # noqa: S101  (narrows: the two sentinels were handled above)
            return event

    def usable(self, now: float) -> bool:
        fresh = now - self.idle_since < _IDLE_SECONDS
        return fresh and not self.writer.is_closing() and not self.reader.at_eof()

    def close(self) -> None:
        self.writer.close()


class Upstream:
    """Sends requests to one server."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[_Connection] = []

    async def request(self, method: bytes, target: bytes, headers: Headers, body: Body) -> Response:
        """Send a request and return as soon as the answer's head is there; its body follows as it arrives.

        The caller must read the body to its end, or close it (`aclose`), for the connection to be used again or dropped.

        Args:
            headers: with `content-length`, or `transfer-encoding: chunked`, if there is a body.
            body: whole, or as it arrives. What raises while it arrives is raised here.

        Raises:
            UpstreamUnavailableError: nobody answered; whether the request was seen is unknown.
        """
        repeatable = method in _REPEATABLE and isinstance(body, bytes)
        while (connection := self._take()) is not None:
            try:
                return await self._exchange(connection, method, target, headers, body)
            except UpstreamUnavailableError:
                if not repeatable:
                    raise
        try:
            connection = _Connection(*await asyncio.open_connection(self._host, self._port))
        except OSError as error:
            raise UpstreamUnavailableError(str(error)) from error
        return await self._exchange(connection, method, target, headers, body)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def idle_closed(self) -> None:
        """Returns when the server has closed every connection that is kept."""
        for connection in list(self._idle):
            await connection.reader.read()

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable(asyncio.get_running_loop().time()):
                return connection
            connection.close()
        return None

    async def _exchange(
        self, connection: _Connection, method: bytes, target: bytes, headers: Headers, body: Body
    ) -> Response:
        try:
            await connection.send(h11.Request(method=method, target=target, headers=list(headers)))
            if isinstance(body, bytes):
                if body:
                    await connection.send(h11.Data(data=body))
            else:
                async for chunk in body:
                    await connection.send(h11.Data(data=chunk))
            await connection.send(h11.EndOfMessage())
            event = await connection.receive()
            while isinstance(event, h11.InformationalResponse):
                event = await connection.receive()
        except (OSError, h11.RemoteProtocolError) as error:
            connection.close()
            raise UpstreamUnavailableError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        if not isinstance(event, h11.Response):
            connection.close()
            raise UpstreamUnavailableError("the upstream server closed the connection")
        return Response(event.status_code, list(event.headers), self._body(connection))

    async def _body(self, connection: _Connection) -> AsyncGenerator[bytes, None]:
        complete = False
        try:
            while True:
                event = await connection.receive()
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    complete = True
                    return
                else:
                    raise UpstreamUnavailableError("the upstream server closed the connection within its answer")
        finally:
            self._give_back(connection, complete)

    def _give_back(self, connection: _Connection, complete: bool) -> None:
        protocol = connection.protocol
        if (
            complete
            and protocol.our_state is h11.DONE
            and protocol.their_state is h11.DONE
            and len(self._idle) < _MAX_IDLE
        ):
            protocol.start_next_cycle()
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()
