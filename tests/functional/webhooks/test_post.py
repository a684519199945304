"""Requests to receivers that lie, dawdle, redirect and pretend: real sockets, on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chalicelib.webhooks.addresses import target_of
from chalicelib.webhooks.post import Answer, NotSent, Poster

HOST = "hooks.example.com"
PUBLIC = "93.184.215.14"
URL = f"https://{HOST}/in?x=1"


@dataclass(frozen=True)
class Certificate:
    file: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For the name of the receiver, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "receiver.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return Certificate(file)


@dataclass
class Receiver:
    """A server that does with each connection what it is told to."""

    port: int
    got: list[bytes] = field(default_factory=list)


@contextmanager
def receiver(behave: Callable[[socket.socket, Receiver], None], tls: ssl.SSLContext | None) -> Iterator[Receiver]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Receiver(listening.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    with tls.wrap_socket(connection, server_side=True) if tls else connection as wrapped:
                        behave(wrapped, found)
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield found
        # Wakes up whoever waits in accept.
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def answers(text: bytes) -> Callable[[socket.socket, Receiver], None]:
    def behave(connection: socket.socket, found: Receiver) -> None:
        found.got.append(read_request(connection))
        connection.sendall(text)

    return behave


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        chunk = connection.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


@dataclass
class World:
    """The names of the Internet as a test has them, and what was connected to."""

    port: int
    names: list[Sequence[str]]
    asked: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        # One answer after the other; the last one for ever.
        return self.names.pop(0) if len(self.names) > 1 else self.names[0]

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def poster(self, context: ssl.SSLContext, seconds: float = 5.0) -> Poster:
        return Poster(context, self.resolve, self.connect, seconds=seconds)


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class TestPost:
    def test_sends_to_the_address_that_was_checked_under_the_name_that_was_meant(
        self, certificate: Certificate
    ) -> None:
        with receiver(answers(OK), certificate.server()) as server:
            world = World(server.port, [[PUBLIC]])
            answer = world.poster(certificate.trusted()).post(target_of(URL), b'{"a":1}', {"webhook-id": "e1"})
        assert answer == Answer(204)
        assert (world.asked, world.connected) == ([HOST], [PUBLIC])
        head = server.got[0].decode().split("\r\n")
        assert head[0] == "POST /in?x=1 HTTP/1.1"
        assert f"Host: {HOST}" in head
        assert "webhook-id: e1" in head
        assert head[-1] == '{"a":1}'

    def test_resolves_once_so_that_a_name_cannot_change_between_check_and_use(self, certificate: Certificate) -> None:
        with receiver(answers(OK), certificate.server()) as server:
            world = World(server.port, [[PUBLIC], ["127.0.0.1"]])
            poster = world.poster(certificate.trusted())
            assert poster.post(target_of(URL), b"{}", {}).status == 204
            # The next time it leads inside, and is not followed.
            with pytest.raises(NotSent, match="not public"):
                poster.post(target_of(URL), b"{}", {})
        assert world.connected == [PUBLIC]

    @pytest.mark.parametrize(
        "found",
        [
            ["127.0.0.1"],
            ["169.254.169.254"],
            ["::ffff:10.0.0.1"],
            [PUBLIC, "10.0.0.1"],
            ["64:ff9b::7f00:1", PUBLIC],
            [],
        ],
        ids=str,
    )
    def test_asks_nobody_whose_name_leads_inside_with_any_of_its_addresses(
        self, certificate: Certificate, found: list[str]
    ) -> None:
        world = World(1, [found])
        with pytest.raises(NotSent, match="not public"):
            world.poster(certificate.trusted()).post(target_of(URL), b"{}", {})
        assert world.connected == []

    def test_does_not_say_where_inside_a_name_leads(self, certificate: Certificate) -> None:
        with pytest.raises(NotSent) as refused:
            World(1, [["10.1.2.3"]]).poster(certificate.trusted()).post(target_of(URL), b"{}", {})
        assert "10." not in str(refused.value)

    def test_wants_a_certificate_of_the_name(self, certificate: Certificate) -> None:
        with receiver(answers(OK), certificate.server()) as server:
            world = World(server.port, [[PUBLIC]])
            poster = world.poster(certificate.trusted())
            with pytest.raises(NotSent, match="certificate"):
                poster.post(target_of("https://other.example.com/"), b"{}", {})
            with pytest.raises(NotSent, match="certificate"):
                world.poster(ssl.create_default_context()).post(target_of(URL), b"{}", {})
        assert server.got == []

    def test_follows_no_redirect(self, certificate: Certificate) -> None:
        away = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        with receiver(answers(away), certificate.server()) as server:
            world = World(server.port, [[PUBLIC]])
            assert world.poster(certificate.trusted()).post(target_of(URL), b"{}", {}).status == 302
        assert (len(server.got), world.connected) == (1, [PUBLIC])

    @pytest.mark.parametrize(
        ("text", "wished"), [(b"120", timedelta(minutes=2)), (b"soon", None), (b"-1", None), (b"9" * 20, None)]
    )
    def test_reads_what_a_receiver_wishes(
        self, certificate: Certificate, text: bytes, wished: timedelta | None
    ) -> None:
        later = b"HTTP/1.1 429 Later\r\nRetry-After: " + text + b"\r\n\r\n"
        with receiver(answers(later), certificate.server()) as server:
            answer = World(server.port, [[PUBLIC]]).poster(certificate.trusted()).post(target_of(URL), b"{}", {})
        assert answer == Answer(429, wished)

    @pytest.mark.parametrize(
        "text",
        [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 xyz\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"],
        ids=["nonsense", "nothing", "no status", "200 headers"],
    )
    def test_says_what_is_no_answer(self, certificate: Certificate, text: bytes) -> None:
        with receiver(answers(text), certificate.server()) as server:
            poster = World(server.port, [[PUBLIC]]).poster(certificate.trusted())
            with pytest.raises(NotSent):
                poster.post(target_of(URL), b"{}", {})

    def test_ends_when_its_time_is_over_however_busy_the_receiver_keeps_it(self, certificate: Certificate) -> None:
        ended = threading.Event()

        def drips(connection: socket.socket, found: Receiver) -> None:
            read_request(connection)
            try:
                # A byte now and then: no single wait is long.
                while not ended.wait(0.02):
                    connection.sendall(b"H")
            finally:
                found.got.append(b"hung up")

        with receiver(drips, certificate.server()) as server:
            poster = World(server.port, [[PUBLIC]]).poster(certificate.trusted(), seconds=0.5)
            with pytest.raises(NotSent, match=r"no answer within 0\.5 seconds"):
                poster.post(target_of(URL), b"{}", {})
            ended.set()

    def test_reads_nothing_of_a_body(self, certificate: Certificate) -> None:
        def floods(connection: socket.socket, found: Receiver) -> None:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x" * 65536)
            finally:
                found.got.append(b"hung up")

        with receiver(floods, certificate.server()) as server:
            poster = World(server.port, [[PUBLIC]]).poster(certificate.trusted())
            assert poster.post(target_of(URL), b"{}", {}) == Answer(200)
        assert server.got == [b"hung up"]

    def test_says_who_refuses_and_who_has_no_name(self, certificate: Certificate) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(NotSent, match="refuses connections"):
            World(port, [[PUBLIC]]).poster(certificate.trusted()).post(target_of(URL), b"{}", {})

        def unknown(_host: str, _port: int) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        with pytest.raises(NotSent, match="could not be resolved"):
            Poster(certificate.trusted(), unknown).post(target_of(URL), b"{}", {})

    def test_tries_the_next_address_of_a_name(self, certificate: Certificate) -> None:
        with receiver(answers(OK), certificate.server()) as server:
            world = World(server.port, [[PUBLIC, "93.184.215.15"]])

            def second(address: str, port: int, seconds: float) -> socket.socket:
                if address == PUBLIC:
                    raise ConnectionRefusedError
                return world.connect(address, port, seconds)

            assert Poster(certificate.trusted(), world.resolve, second).post(target_of(URL), b"{}", {}).status == 204
        assert world.connected == ["93.184.215.15"]


class TestLoopback:
    def test_is_reached_without_tls_and_without_a_resolver(self, certificate: Certificate) -> None:
        with receiver(answers(OK), None) as server:
            target = target_of(f"http://localhost:{server.port}/x", frozenset({server.port}))

            def nobody(_host: str, _port: int) -> Sequence[str]:
                raise AssertionError("asked a resolver")

            assert Poster(certificate.trusted(), nobody).post(target, b"{}", {}).status == 204
        assert f"Host: localhost:{server.port}".encode() in server.got[0]
