"""The control endpoints as the emulator asks them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from localcloud.compute.control import ControlUnavailable, HttpControlPlane
from localcloud.compute.errors import AccessDenied, ApiError
from localcloud.compute.host import Blocking, HttpRequest
from localcloud.compute.operations import Authorization, PassRole

REQUEST = HttpRequest("POST", "/v1/submitjob", "a=b", {"authorization": "AWS4-HMAC-SHA256 ..."}, b"\x00body")
RULE = Authorization("batch:SubmitJob", ("arn:a", "arn:b"), (PassRole("arn:role", "ecs-tasks.amazonaws.com"),))


class FakeControlEndpoints:
    """Answers in turn and remembers what it was sent."""

    def __init__(self, *answers: tuple[int, Any] | ApiError) -> None:
        self._answers = list(answers)
        self.sent: list[tuple[str, Any]] = []

    def post(self, path: str, body: bytes | None) -> tuple[int, bytes]:
        self.sent.append((path, json.loads(body) if body is not None else None))
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        status, document = answer
        return status, document if isinstance(document, bytes) else json.dumps(document).encode()


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


def ask(endpoints: FakeControlEndpoints, question: Callable[[HttpControlPlane], Coroutine[Any, Any, Any]]) -> Any:
    blocking = Blocking(1)
    try:
        return asyncio.run(question(HttpControlPlane(endpoints.post, blocking, no_wait)))
    finally:
        blocking.close()


class TestAuthorize:
    def test_sends_the_request_as_it_came_with_the_digest_of_its_body(self) -> None:
        endpoints = FakeControlEndpoints((200, {"allowed": True, "principal": "arn:me"}))

        decision = ask(endpoints, lambda plane: plane.authorize(REQUEST, "batch", RULE))

        assert (decision.allowed, decision.principal) == (True, "arn:me")
        ((path, sent),) = endpoints.sent
        assert path == "/authorize"
        assert sent["payload_sha256"] == hashlib.sha256(b"\x00body").hexdigest()
        assert (sent["method"], sent["path"], sent["query"]) == ("POST", "/v1/submitjob", "a=b")
        assert (sent["service"], sent["action"], sent["resources"]) == ("batch", "batch:SubmitJob", ["arn:a", "arn:b"])
        assert sent["pass_roles"] == [{"role_arn": "arn:role", "service": "ecs-tasks.amazonaws.com"}]

    @pytest.mark.parametrize("answer", [{}, {"allowed": False}, {"allowed": "true"}, {"allowed": 1}])
    def test_anything_but_a_clear_yes_is_no(self, answer: dict[str, Any]) -> None:
        decision = ask(FakeControlEndpoints((200, answer)), lambda plane: plane.authorize(REQUEST, "batch", RULE))

        assert not decision.allowed
        assert decision.code == "AccessDeniedException"

    @pytest.mark.parametrize("answer", [(500, {}), (200, b"<html>"), ControlUnavailable("/authorize", "gone")])
    def test_without_an_answer_nothing_is_allowed(self, answer: Any) -> None:
        with pytest.raises(ControlUnavailable):
            ask(FakeControlEndpoints(answer), lambda plane: plane.authorize(REQUEST, "batch", RULE))


class TestCredentials:
    def test_are_read_with_their_expiry(self) -> None:
        document = {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": "2026-01-01T00:00:00Z"}

        keys = ask(FakeControlEndpoints((200, document)), lambda plane: plane.credentials("arn:role", "s", "n"))

        assert (keys.access_key_id, keys.token, keys.expiration.year) == ("A", "T", 2026)
        assert keys.expiration.tzinfo is not None

    def test_a_refusal_says_why(self) -> None:
        endpoints = FakeControlEndpoints((403, {"message": "the role does not trust the service"}))

        with pytest.raises(AccessDenied, match="does not trust"):
            ask(endpoints, lambda plane: plane.credentials("arn:role", "s", "n"))


class TestInstance:
    def test_is_read_from_the_health_of_the_process(self) -> None:
        endpoints = FakeControlEndpoints((200, {"status": "ok", "instance": "a1"}))

        assert ask(endpoints, lambda plane: plane.instance()) == "a1"
        assert endpoints.sent == [("/health", None)]


class TestEvents:
    def test_that_are_refused_do_not_hold_up_those_that_follow(self) -> None:
        endpoints = FakeControlEndpoints((400, {"message": "what is this"}), (200, {}))

        async def put(plane: HttpControlPlane) -> None:
            await plane.put_events([{"Source": "bad"}])
            await plane.put_events([{"Source": "good"}])

        ask(endpoints, put)

        assert [sent for _, sent in endpoints.sent] == [[{"Source": "bad"}], [{"Source": "good"}]]

    def test_are_sent_again_while_the_cloud_restarts(self) -> None:
        endpoints = FakeControlEndpoints(ControlUnavailable("/events", "x"), (503, {}), (200, {}))

        ask(endpoints, lambda plane: plane.put_events([{"Source": "aws.batch"}]))

        assert [sent for _, sent in endpoints.sent] == [[{"Source": "aws.batch"}]] * 3
