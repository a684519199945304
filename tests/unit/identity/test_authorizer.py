from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chalicelib.api.authorization import Question, RequestAuthorizer
from chalicelib.errors import Unauthenticated
from chalicelib.identity.authorizer import Unauthorized, answer, fetch
from chalicelib.identity.caller import Auth, Caller, Origin
from tests.unit.identity.issuer import Issuer, claims, token

ARN = "arn:aws:execute-api:us-east-1:000000000000:abc/api/GET/v1/models"
KEY = Caller("acme", "ada", frozenset(), frozenset({"jobs:read"}), Auth.KEY, Origin(key_id="k-1"))


def question(*headers: tuple[str, str]) -> Question:
    """What API Gateway asks about a request with these headers."""
    many: dict[str, list[str]] = {}
    for name, value in headers:
        many.setdefault(name, []).append(value)
    return Question(
        {
            "type": "REQUEST",
            "methodArn": ARN,
            "headers": dict(headers),
            "multiValueHeaders": many,
            "requestContext": {"identity": {"sourceIp": "192.0.2.7"}},
        }
    )


class OneKey:
    """Knows the key `good`."""

    def authenticate(self, text: str) -> Caller:
        if text != "good":
            raise Unauthenticated("no such key")
        return KEY


def ask(*headers: tuple[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = answer(question(*headers), Issuer().verifier, OneKey).to_dict(question())
    return found


class TestAnswer:
    def test_carries_the_caller_of_a_token_in_its_context(self) -> None:
        found = ask(("Authorization", f"Bearer {token()}"))
        assert found["principalId"] == "acme/ada"
        assert found["context"]["auth"] == "token"
        assert Caller.from_context(found["context"]) == Caller("acme", "ada", frozenset({"USER"}))

    def test_carries_the_caller_of_a_key_and_which_key_it_was(self) -> None:
        found = ask(("X-API-Key", "good"))
        assert (found["context"]["auth"], found["context"]["key_id"]) == ("key", "k-1")
        assert Caller.from_context(found["context"]) == KEY
        assert Caller.from_context(found["context"]).origin == Origin(key_id="k-1")

    def test_allows_the_api_that_was_asked_for_and_no_other(self) -> None:
        (statement,) = ask(("X-API-Key", "good"))["policyDocument"]["Statement"]
        assert statement["Effect"] == "Allow"
        assert all(arn.startswith("arn:aws:execute-api:us-east-1:000000000000:abc/") for arn in statement["Resource"])

    @pytest.mark.parametrize("name", ["x-api-key", "X-Api-Key", "X-API-KEY"])
    def test_takes_a_header_in_any_case(self, name: str) -> None:
        assert ask((name, "good"))

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
    def test_takes_the_scheme_in_any_case(self, scheme: str) -> None:
        assert ask(("Authorization", f"{scheme} {token()}"))

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "Token x",
            "Bearer x y",
            "bearer:x",
            "\ud800",
            "Bearer \0",
            "Bearer good",
        ],
    )
    def test_refuses_what_is_no_bearer_token(self, header: str) -> None:
        with pytest.raises(Unauthorized):
            ask(("Authorization", header))

    def test_refuses_a_token_without_its_scheme(self) -> None:
        with pytest.raises(Unauthorized):
            ask(("Authorization", token()))

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [("Cookie", "a=b")],
            [("X-API-Key", "bad")],
            [("X-API-Key", "")],
            [("X-API-Key", "good"), ("X-API-Key", "good")],
            [("X-API-Key", "good"), ("x-api-key", "bad")],
            [("X-API-Key", "good"), ("Authorization", "Bearer nonsense")],
            [("X-API-Key", "good"), ("Authorization", "")],
            [("Authorization", "Bearer a"), ("authorization", "Bearer b")],
        ],
        ids=str,
    )
    def test_refuses_anything_but_one_good_credential(self, headers: list[tuple[str, str]]) -> None:
        with pytest.raises(Unauthorized):
            ask(*headers)

    def test_refuses_a_good_token_beside_a_good_key(self) -> None:
        with pytest.raises(Unauthorized):
            ask(("X-API-Key", "good"), ("Authorization", f"Bearer {token()}"))

    def test_says_the_one_word_that_the_gateway_turns_into_401_and_no_reason(self) -> None:
        with pytest.raises(Unauthorized, match=r"\AUnauthorized\Z") as raised:
            ask(("Authorization", f"Bearer {token(claims(exp=1))}"))
        assert raised.value.__suppress_context__

    def test_asks_for_keys_only_when_a_key_is_presented(self) -> None:
        def none() -> OneKey:
            raise AssertionError("no key was presented")

        assert answer(question(("Authorization", f"Bearer {token()}")), Issuer().verifier, none)


class TestRequestAuthorizer:
    def test_is_given_the_whole_request(self) -> None:
        asked: list[Question] = []

        def decide(question: Question) -> dict[str, str]:
            asked.append(question)
            return {"principalId": "x"}

        event = {"type": "REQUEST", "methodArn": ARN, "headers": {"X-API-Key": "k"}, "requestContext": {}}
        assert RequestAuthorizer("authorize", decide)(event, {}) == {"principalId": "x"}
        assert (asked[0].headers, asked[0].method_arn, asked[0].source_ip) == ({"x-api-key": ("k",)}, ARN, "")

    def test_is_what_the_application_makes_of_its_authorizer(self) -> None:
        import app

        assert isinstance(app.authorize, RequestAuthorizer)


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
