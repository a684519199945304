from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from chalice.app import AuthRequest

from chalicelib.identity.authorizer import Unauthorized, answer, fetch, verifier_of_process
from chalicelib.identity.caller import Caller
from chalicelib.settings import Settings
from tests.unit.identity.issuer import AUDIENCE, ISSUER, JWKS_URL, Issuer, claims, token

ARN = "arn:aws:execute-api:us-east-1:000000000000:abc/api/GET/v1/models"


def ask(text: str, issuer: Issuer | None = None) -> object:
    return answer(AuthRequest("TOKEN", text, ARN), (issuer or Issuer()).verifier())


class TestAnswer:
    def test_carries_the_caller_in_its_context(self) -> None:
        found = answer(AuthRequest("TOKEN", f"Bearer {token()}", ARN), Issuer().verifier())
        assert found.principal_id == "acme/ada"
        assert Caller.from_context(found.context) == Caller("acme", "ada", frozenset({"USER"}))

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
    def test_takes_the_scheme_in_any_case(self, scheme: str) -> None:
        assert ask(f"{scheme} {token()}")

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer x y", "bearer:x", "\ud800", "Bearer \0"]
    )
    def test_refuses_what_is_no_bearer_token(self, header: str) -> None:
        with pytest.raises(Unauthorized):
            ask(header)

    def test_refuses_a_token_without_its_scheme(self) -> None:
        with pytest.raises(Unauthorized):
            ask(token())

    def test_says_the_one_word_that_the_gateway_turns_into_401_and_no_reason(self) -> None:
        with pytest.raises(Unauthorized, match=r"\AUnauthorized\Z") as raised:
            ask(f"Bearer {token(claims(exp=1))}")
        assert raised.value.__suppress_context__


class TestVerifierOfProcess:
    SETTINGS = Settings(
        {
            "AIMATRIX_JWKS_URL": JWKS_URL,
            "AIMATRIX_TOKEN_ISSUER": ISSUER,
            "AIMATRIX_TOKEN_AUDIENCE": AUDIENCE,
        }
    )

    def test_is_one_for_the_whole_process_so_that_keys_are_fetched_once(self) -> None:
        assert verifier_of_process(self.SETTINGS) is verifier_of_process(Settings(dict(self.SETTINGS.environment)))


@contextmanager
def server(location: str | None, body: bytes = b'{"keys": []}') -> Iterator[tuple[str, list[str]]]:
    """An HTTP server on loopback that redirects, or answers with a body; yields its address and what was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302 if location and self.path == "/" else 200)
            if location and self.path == "/":
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/", asked
        finally:
            httpd.shutdown()
            thread.join()


class TestFetch:
    def test_gets_the_document_from_this_machine(self) -> None:
        with server(None) as (url, asked):
            assert fetch(url) == b'{"keys": []}'
        assert asked == ["/"]

    def test_does_not_follow_a_redirect(self) -> None:
        with server("/elsewhere") as (url, asked), pytest.raises(OSError, match="302"):
            fetch(url)
        assert asked == ["/"]

    def test_refuses_an_answer_without_end(self) -> None:
        with server(None, b" " * (256 * 1024 + 1)) as (url, _), pytest.raises(OSError, match="more than"):
            fetch(url)

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "ftp://127.0.0.1/keys",
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost:1/",
            "http://127.0.0.1:80@evil.example/",
            "http://127.0.0.1.evil.example/",
            "data:application/json,{}",
            "/etc/passwd",
            "",
        ],
    )
    def test_refuses_addresses_that_are_neither_https_nor_here(self, url: str) -> None:
        with pytest.raises(OSError, match="neither"):
            fetch(url)
