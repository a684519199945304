"""How long the service waits for AWS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import HTTPClientError

from chalicelib import aws
from chalicelib.aws import Clients, is_busy
from tests.faults import Shows

GATEWAY_SECONDS = 29
"""After which API Gateway gives up: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""
ANSWER_SECONDS = 25
# Standard mode waits a random part of at most 1, 2, 4 .. seconds between attempts:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
PAUSE_SECONDS = (1, 2, 4, 8)


@pytest.fixture
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes every connection and never says a word; its address and what came."""
    came: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    came.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came
        server.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=5)
    for each in came:
        each.close()


class TestACallThatHangs:
    def test_is_given_up_while_there_is_time_to_answer(
        self, silent: tuple[str, list[socket.socket]], monkeypatch: pytest.MonkeyPatch, shows: Shows
    ) -> None:
        address, came = silent
        for name, value in (
            ("AWS_ENDPOINT_URL", address),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
        ):
            monkeypatch.setenv(name, value)
        shipped: Any = aws._CONFIG
        client = Clients()._make("dynamodb", shipped.merge(Config(read_timeout=0.1)))
        with pytest.raises(HTTPClientError) as given_up:
            client.list_tables()
        assert is_busy(given_up.value), "the caller is told to try again, not that the service is broken"
        longest = len(came) * shipped.read_timeout + sum(PAUSE_SECONDS[: len(came) - 1])
        shows(21, f"AWS does not answer: given up after {len(came)} attempts, {longest} of {GATEWAY_SECONDS} s at most")
        assert longest <= ANSWER_SECONDS
