"""A cloud is ready when its API has answered what anybody and what a user may ask."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from localcloud.readiness import LONGEST_SECONDS, PAUSE_SECONDS, NotAnsweringError, await_api, http_get

API = "http://127.0.0.1:1/api/v1"
HEALTH, JOBS = f"{API}/health", f"{API}/training/jobs?limit=1"


class FakeApi:
    """Answers in turn, the last answer for ever; time passes only when somebody sleeps."""

    def __init__(self, *answers: tuple[int, str] | ConnectionError) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.clock = 100.0

    def get(self, url: str, headers: Mapping[str, str]) -> tuple[int, str]:
        self.asked.append((url, headers))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, ConnectionError):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def await_it(self, token: str = "a-token") -> None:
        await_api(API, lambda: token, self.get, lambda: self.clock, self.sleep)


class TestAwaitApi:
    def test_asks_without_and_with_a_token(self) -> None:
        api = FakeApi((200, "{}"))
        api.await_it()
        assert api.asked == [(HEALTH, {}), (JOBS, {"Authorization": "Bearer a-token"})]
        assert api.clock == 100.0

    def test_asks_again_until_it_is_answered(self) -> None:
        api = FakeApi(ConnectionError("no answer"), (503, "starting"), (200, "{}"), (502, "cold"), (200, "{}"))
        api.await_it()
        assert [url for url, _headers in api.asked] == [HEALTH, HEALTH, HEALTH, JOBS, JOBS]

    def test_makes_a_token_only_when_the_first_request_has_succeeded(self) -> None:
        api = FakeApi((503, "starting"))

        def no_token() -> str:
            raise AssertionError("the issuer's key may not be there yet")

        with pytest.raises(NotAnsweringError):
            await_api(API, no_token, api.get, lambda: api.clock, api.sleep)

    @pytest.mark.parametrize(
        ("answer", "shown"),
        [
            ((500, '{"title":\n "Internal"}'), '500 {"title": "Internal"}'),
            ((403, "forbidden"), "403 forbidden"),
            (ConnectionError("no answer (NewConnectionError)"), "no answer"),
        ],
    )
    def test_gives_up_in_time_and_says_what_it_was_answered(
        self, answer: tuple[int, str] | ConnectionError, shown: str
    ) -> None:
        api = FakeApi((200, "{}"), answer)
        with pytest.raises(NotAnsweringError) as error:
            api.await_it()
        assert f"GET {JOBS}: {shown}" in str(error.value)
        assert 100.0 + LONGEST_SECONDS < api.clock <= 100.0 + LONGEST_SECONDS + 2 * PAUSE_SECONDS


class TestHttpGet:
    def test_that_nobody_answers_is_a_connection_error(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionError, match="no answer"):
                http_get(f"http://127.0.0.1:{bound.getsockname()[1]}/", {})
