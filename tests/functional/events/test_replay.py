"""Replays of the archive, as an administrator asks for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.functional.events.conftest import ARCHIVE, OPERATOR, Events
from tests.functional.rest import Response

HOUR = {"since": "2026-03-01T10:00:00Z", "until": "2026-03-01T11:00:00+00:00"}


def ask(events: Events, **body: Any) -> Response:
    return events.api.send(OPERATOR, "POST", "/v1/admin/events/replays", body)


class TestReplay:
    def test_asks_the_archive_for_the_events_of_the_time(self, events: Events) -> None:
        started = ask(events, **HOUR)
        assert (started.status, started.json["state"]) == (202, "starting")
        (wanted,) = events.aws.replays.values()
        assert (wanted["EventStartTime"], wanted["EventEndTime"]) == (
            datetime(2026, 3, 1, 10, tzinfo=UTC),
            datetime(2026, 3, 1, 11, tzinfo=UTC),
        )
        assert wanted["EventSourceArn"] == ARCHIVE
        assert wanted["Destination"] == {"Arn": "arn:aws:events:us-east-1:000000000000:event-bus/stack"}
        path = started.headers["Location"].removeprefix("/api")
        assert events.api.send(OPERATOR, "GET", path).json["replay_id"] == started.json["replay_id"]

    def test_reaches_one_rule_where_one_is_named(self, events: Events) -> None:
        ask(events, **HOUR, rule="nightly")
        (wanted,) = events.aws.replays.values()
        assert wanted["Destination"]["FilterArns"] == ["arn:aws:events:us-east-1:000000000000:rule/stack/nightly"]

    def test_ends_now_unless_it_is_told(self, events: Events) -> None:
        ask(events, since="2026-03-01T11:59:30.5+01:00")
        (wanted,) = events.aws.replays.values()
        assert wanted["EventStartTime"] == datetime(2026, 3, 1, 10, 59, 30, tzinfo=UTC)
        assert wanted["EventEndTime"] == events.moment[0]

    def test_is_the_same_for_the_same_times_and_another_by_name(self, events: Events) -> None:
        first, again, named = ask(events, **HOUR), ask(events, **HOUR), ask(events, **HOUR, name="second")
        assert first.json["replay_id"] == again.json["replay_id"] != named.json["replay_id"]
        assert len(events.aws.replays) == 2

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"since": "yesterday"}, "since"),
            ({"since": "2026-03-01T10:00:00"}, "since"),
            ({"since": "2026-03-01T10:00:00Z", "until": "x"}, "until"),
            ({"since": "2026-03-01T11:00:00Z", "until": "2026-03-01T11:00:00Z"}, "since"),
            ({"since": "2027-03-01T11:00:00Z", "until": "2028-03-01T11:00:00Z"}, "since"),
            ({}, "since"),
            ({**HOUR, "rule": "a/b"}, "rule"),
            ({**HOUR, "bus": "other"}, "bus"),
        ],
        ids=str,
    )
    def test_names_the_field_that_is_wrong(self, events: Events, body: dict[str, Any], field: str) -> None:
        refused = ask(events, **body)
        assert (refused.status, refused.json["errors"][0]["field"]) == (400, field)
        assert events.aws.replays == {}

    def test_knows_the_rules_of_the_bus(self, events: Events) -> None:
        refused = ask(events, **HOUR, rule="unknown")
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, "rule")

    def test_waits_for_its_turn(self, events: Events) -> None:
        events.aws.is_full = True
        assert ask(events, **HOUR).status == 409

    @pytest.mark.parametrize("name", ["x", "aimatrix-nothing", "aimatrix-5f0c8f4e-7a0b-4f57-9d3e-2f6f6c1d9a11"])
    def test_that_nobody_started_is_not_there(self, events: Events, name: str) -> None:
        assert events.api.send(OPERATOR, "GET", f"/v1/admin/events/replays/{name}").status == 404

    def test_is_in_the_audit_log(self, events: Events) -> None:
        started = ask(events, **HOUR)
        assert events.log.told("default") == [("root", "replay_events", f"replay/{started.json['replay_id']}")]
