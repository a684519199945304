from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.client.fake_service import Clock, FakeService, Fault, client_of


def answers(method: str, path: str, *documents: dict[str, Any]) -> FakeService:
    """A service that gives these answers, one after the other."""
    return FakeService(faults=[Fault(method, path, httpx.Response(200, json=document)) for document in documents])


def replay(state: str) -> dict[str, Any]:
    return {"replay_id": "aimatrix-1", "state": state}


class TestEvents:
    def test_are_redriven_to_the_end_of_the_list(self) -> None:
        service = answers(
            "POST",
            "redrive",
            {"sent": 3, "failed": 1, "next_cursor": "c"},
            {"sent": 2, "failed": 0, "next_cursor": None},
        )

        done = client_of(service).events.redrive()

        assert (done.sent, done.failed) == (5, 1)
        assert service.bodies("POST", "/admin/events/redrive") == [{}, {"cursor": "c"}]

    def test_are_replayed_within_the_times_that_were_said(self) -> None:
        service = answers("POST", "replays", replay("starting"))

        client_of(service).events.start_replay("2026-03-01T10:00:00Z", rule="nightly")

        assert service.bodies("POST", "/admin/events/replays") == [{"since": "2026-03-01T10:00:00Z", "rule": "nightly"}]

    def test_replay_is_waited_for_until_it_has_ended(self) -> None:
        service = answers("GET", "replays", replay("running"), replay("running"), replay("completed"))
        clock = Clock()
        client = client_of(service, clock)

        ended = client.events.wait(client.events.replay("aimatrix-1"))

        assert ended.state == "completed"
        assert len(clock.sleeps) == 2

    def test_replay_that_takes_too_long_is_said(self) -> None:
        service = answers("GET", "replays", *[replay("running")] * 9)
        client = client_of(service, Clock())

        with pytest.raises(TimeoutError, match="still running"):
            client.events.wait(client.events.replay("aimatrix-1"), timeout=3)
