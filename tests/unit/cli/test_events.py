from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import Fault

LETTER = {
    "dead_letter_id": "e1",
    "subject": "jobs/acme#j",
    "type": "training.job.submitted",
    "stage": "delivering",
    "reason": "NO_PERMISSIONS: \x1b[31mno",
    "times": 2,
    "noted_at": "2031-05-01T10:00:00.000Z",
    "content": {},
}


def answer(terminal: Terminal, method: str, path: str, body: dict[str, Any]) -> None:
    terminal.service.faults.append(Fault(method, path, httpx.Response(200, json=body)))


class TestEvents:
    def test_that_died_are_listed_with_the_reason(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "dead-letters", {"dead_letters": [LETTER], "next_cursor": None})

        shown = terminal.run("events", "dead-letters").stdout

        assert "jobs/acme#j" in shown
        assert "\x1b[31m" not in shown

    def test_redrive_says_how_many_and_fails_when_some_stay(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "redrive", {"sent": 2, "failed": 0, "next_cursor": None})
        answer(terminal, "POST", "redrive", {"sent": 0, "failed": 1, "next_cursor": None})

        assert document(terminal.run("events", "redrive", "--json")) == {"sent": 2, "failed": 0}
        failed = terminal.run("events", "redrive")
        assert (failed.exit_code, "1 could not be" in failed.stdout) == (1, True)

    @pytest.mark.parametrize(
        ("given", "since"),
        [("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00+00:00"), ("2h", "2031-05-01T08:00:00+00:00")],
    )
    def test_replay_takes_a_time_or_how_long_ago(self, terminal: Terminal, given: str, since: str) -> None:
        answer(terminal, "POST", "replays", {"replay_id": "aimatrix-1", "state": "completed"})

        ended = terminal.run("events", "replay", "--from", given, "--json")

        assert document(ended)["state"] == "completed"
        assert terminal.service.bodies("POST", "/admin/events/replays") == [{"since": since}]

    @pytest.mark.parametrize("given", ["2026-03-01T12:00:00", "yesterday"])
    def test_replay_refuses_what_is_no_time(self, terminal: Terminal, given: str) -> None:
        assert terminal.run("events", "replay", "--from", given).exit_code == 2

    def test_replay_that_failed_ends_so(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "replays", {"replay_id": "aimatrix-1", "state": "failed", "reason": "gone"})

        ended = terminal.run("events", "replay", "--from", "2h")

        assert (ended.exit_code, "gone" in ended.stderr) == (1, True)
