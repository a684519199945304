"""The front door before a server that can be slow, rude or away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from localcloud.frontdoor.app import MAX_BODY_BYTES, Deployment, FrontDoor
from localcloud.seam.forwarding import Forwarder, signed_service
from localcloud.upstream import Upstream

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-seen: %d\r\n\r\nok"


class Server:
    """A server whose every connection is handled by a given function."""

    upstream: Upstream

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.requests: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._handler(reader, writer)
        finally:
            writer.close()

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        return request


def ask(
    handler: Callable[[Server], Handler],
    calls: Callable[[httpx.AsyncClient, Server], Awaitable[Any]],
    api_id: str | None = "abcd1234",
    timeout: float = 5.0,
) -> Any:
    """Put the front door before a server and let `calls` use it."""

    async def main() -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await handler(server)(reader, writer)

        server = Server(connected)
        async with server:
            upstream = server.upstream = Upstream("127.0.0.1", server.port)
            issuer = {"/issuer/.well-known/jwks.json": b'{"keys":[]}'}
            door = FrontDoor(upstream, lambda: api_id, issuer, timeout)
            transport = httpx.ASGITransport(app=door)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                answer = await calls(client, server)
            upstream.close()
            return answer

    return asyncio.run(main())


def polite(server: Server) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                await server.read_request(reader)
            except asyncio.IncompleteReadError:
                return
            writer.write(ANSWER % len(server.requests))
            await writer.drain()

    return handle


def silent(server: Server) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    return handle


def rude(server: Server) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read_request(reader)

    return handle


class TestForwardingToCompute:
    """The same client hands what is for SageMaker and Batch on to the compute emulator."""

    def ask(self, handler: Callable[[Server], Handler], **request: Any) -> tuple[httpx.Response, list[bytes]]:
        async def main() -> tuple[httpx.Response, list[bytes]]:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await handler(server)(reader, writer)

            server = Server(connected)
            async with server:
                upstream = Upstream("127.0.0.1", server.port)
                transport = httpx.ASGITransport(app=Forwarder(upstream))  # type: ignore[arg-type]
                async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4566") as client:
                    answer = await client.request(**request)
                upstream.close()
                return answer, server.requests

        return asyncio.run(main())

    def test_leaves_the_request_as_it_was_signed(self) -> None:
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/d/r/batch/aws4_request", "X-Amz-Date": "now"}
        answer, requests = self.ask(
            polite, method="POST", url="/v1/tags/arn%3Aa%2Fb?x=%20", content=b"body", headers=headers
        )
        assert (answer.status_code, answer.content) == (200, b"ok")
        head, _, body = requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /v1/tags/arn%3Aa%2Fb?x=%20 HTTP/1.1"
        sent = dict(line.split(b": ", 1) for line in lines[1:])
        assert {name.lower(): value for name, value in sent.items()}[b"host"] == b"127.0.0.1:4566"
        assert headers["Authorization"].encode() in sent.values()
        assert b"connection" not in {name.lower() for name in sent}
        assert body == b"body"

    def test_streams_a_body_of_unknown_length(self) -> None:
        def chunked(server: Server) -> Handler:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                server.requests.append(await reader.readuntil(b"0\r\n\r\n"))
                writer.write(ANSWER % 1)
                await writer.drain()

            return handle

        async def body() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 10

        answer, requests = self.ask(chunked, method="POST", url="/", content=body())
        assert answer.status_code == 200
        assert requests[0].count(b"x" * 10) == 3
        assert requests[0].lower().count(b"transfer-encoding: chunked") == 1

    def test_an_emulator_that_does_not_answer_is_a_reason_to_try_again(self) -> None:
        answer, _ = self.ask(rude, method="POST", url="/", content=b"body")
        assert answer.status_code == 503
        assert answer.headers["x-amzn-errortype"] == "ServiceUnavailable"


class TestSignedService:
    @pytest.mark.parametrize(
        ("authorization", "query", "service"),
        [
            (b"AWS4-HMAC-SHA256 Credential=A/20300101/us-east-1/sagemaker/aws4_request, Signature=0", b"", "sagemaker"),
            (b"AWS4-HMAC-SHA256 SignedHeaders=host,Credential=AKIA/20300101/us-east-1/batch/aws4_request", b"", "batch"),
            (b"", b"X-Amz-Credential=AKIA%2F20300101%2Fus-east-1%2Fs3%2Faws4_request", "s3"),
            (b"AWS4-HMAC-SHA256 Credential=AKIA/20300101/us-east-1/sagemaker, SignedHeaders=host", b"", None),
            (b"Bearer batch", b"", None),
            (b"", b"", None),
        ],
    )  # fmt: skip
    def test_is_named_by_the_credential_scope(self, authorization: bytes, query: bytes, service: str | None) -> None:
        headers = [(b"authorization", authorization)] if authorization else []
        scope: Any = {"type": "http", "headers": headers, "query_string": query}
        assert signed_service(scope) == service


class TestForwarding:
    def test_addresses_the_deployed_api_and_drops_what_is_not_to_be_passed_on(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> bytes:
            headers = {
                "Authorization": "Bearer t",
                "X-Forwarded-For": "10.0.0.1",
                "Connection": "close",
                "Host": "evil.example",
                "TE": "trailers",
            }
            await client.post("/api/v1/a%2Fb?x=1&x=2", content=b"body", headers=headers)
            return server.requests[0]

        request = ask(polite, calls)
        head, _, body = request.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /api/v1/a%2Fb?x=1&x=2 HTTP/1.1"
        sent = dict(line.lower().split(b": ", 1) for line in lines[1:])
        assert sent[b"host"] == b"abcd1234.execute-api.localhost"
        assert sent[b"authorization"] == b"bearer t"
        assert sent[b"x-forwarded-for"] == b"127.0.0.1"
        assert b"te" not in sent
        assert b"connection" not in sent
        assert body == b"body"

    def test_takes_blanks_around_a_header_for_no_part_of_it(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> tuple[int, bytes]:
            answer = await client.get("/api/v1/x", headers={"Authorization": "Bearer "})
            return answer.status_code, server.requests[0]

        status, request = ask(polite, calls)
        assert status == 200
        assert b"authorization: Bearer\r\n" in request

    def test_refuses_what_may_not_be_sent_on(self) -> None:
        async def calls(client: httpx.AsyncClient, _server: Server) -> httpx.Response:
            return await client.get("/api/v1/x", headers=[(b"x-odd", b"a\x00b")])

        answer = ask(polite, calls)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")

    def test_keeps_its_connection(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> int:
            for _ in range(5):
                assert (await client.get("/api/v1/jobs")).text == "ok"
            return server.connections

        assert ask(polite, calls) == 1

    def test_opens_as_many_connections_as_there_are_requests_at_once(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> set[int]:
            answers = await asyncio.gather(*(client.get("/api/v1/jobs") for _ in range(20)))
            return {answer.status_code for answer in answers}

        assert ask(polite, calls) == {200}


class TestLimits:
    def test_refuses_a_body_that_says_it_is_too_large(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> httpx.Response:
            return await client.post("/api/v1/jobs", content=b"x" * (MAX_BODY_BYTES + 1))

        answer = ask(polite, calls)
        assert answer.status_code == 413
        assert answer.json()["code"] == "too-large"
        assert "uploads" in answer.json()["detail"]

    def test_refuses_a_body_that_turns_out_too_large(self) -> None:
        async def chunks() -> Any:
            for _ in range(11):
                yield b"x" * 1024 * 1024

        async def calls(client: httpx.AsyncClient, server: Server) -> httpx.Response:
            return await client.post("/api/v1/jobs", content=chunks())

        assert ask(polite, calls).status_code == 413

    def test_passes_a_body_of_the_very_size(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> httpx.Response:
            return await client.post("/api/v1/jobs", content=b"x" * MAX_BODY_BYTES)

        assert ask(polite, calls).status_code == 200

    def test_answers_when_the_time_is_over(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> httpx.Response:
            return await client.get("/api/v1/slow")

        answer = ask(silent, calls, timeout=0.1)
        assert answer.status_code == 504
        assert answer.headers["content-type"] == "application/problem+json"


class TestServerAway:
    def test_is_told_while_nothing_is_deployed(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> httpx.Response:
            return await client.get("/api/v1/jobs")

        answer = ask(polite, calls, api_id=None)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"

    def test_is_told_when_nobody_listens(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> httpx.Response:
            await server.__aexit__()
            return await client.get("/api/v1/jobs")

        answer = ask(polite, calls)
        assert answer.status_code == 502
        assert answer.json()["title"] == "Bad Gateway"

    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_never_repeats_a_request_that_may_have_been_seen(self, method: str) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> tuple[int, int]:
            answer = await client.request(method, "/api/v1/jobs")
            return answer.status_code, len(server.requests)

        assert ask(rude, calls) == (502, 1)

    def test_replaces_a_kept_connection_that_was_closed(self) -> None:
        def once(server: Server) -> Handler:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await server.read_request(reader)
                writer.write(ANSWER % len(server.requests))
                await writer.drain()

            return handle

        async def calls(client: httpx.AsyncClient, server: Server) -> tuple[str, int]:
            await client.post("/api/v1/jobs")
            await server.upstream.idle_closed()
            answer = await client.post("/api/v1/jobs")
            return answer.text, server.connections

        assert ask(once, calls) == ("ok", 2)


class TestOwnDocuments:
    def test_are_served_without_the_server(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> list[int]:
            await server.__aexit__()
            paths = ["/healthz", "/issuer/.well-known/jwks.json", "/issuer/key.pem", "/", "/issuer/../settings.json"]
            return [(await client.get(path)).status_code for path in paths]

        assert ask(polite, calls) == [200, 200, 404, 404, 404]

    def test_cannot_be_written(self) -> None:
        async def calls(client: httpx.AsyncClient, server: Server) -> int:
            return (await client.post("/issuer/.well-known/jwks.json")).status_code

        assert ask(polite, calls) == 405


class TestDeployment:
    def test_is_read_again_when_the_file_has_changed(self, tmp_path: Path) -> None:
        file = tmp_path / "deployment.json"
        deployment = Deployment(file)
        assert deployment.api_id() is None
        for api_id in ("first", "second"):
            other = tmp_path / "new"
            other.write_text(json.dumps({"outputs": {"RestApiId": api_id}}))
            other.replace(file)
            assert deployment.api_id() == api_id
            assert deployment.api_id() == api_id
        file.unlink()
        assert deployment.api_id() is None
