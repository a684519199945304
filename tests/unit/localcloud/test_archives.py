"""EventBridge's archives in the embedded cloud: what they keep, and what a replay of them reaches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core import iam_actions
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from localcloud.seam import archives
from localcloud.seam.archives import Kept

DAY = 24 * 3600.0


class Noted:
    """What an archive tells the journal."""

    def __init__(self, days: int = 1, now: float = 10 * DAY) -> None:
        self.days, self.now = days, now
        self.added: list[Any] = []
        self.forgotten: list[int] = []

    def kept(self, *times: float, **limits: int) -> Kept:
        return Kept(
            [{"Time": time} for time in times],
            retention_days=lambda: self.days,
            added=self.added.append,
            forgotten=self.forgotten.append,
            now=lambda: self.now,
            **limits,
        )


class TestKept:
    def test_tells_what_comes(self) -> None:
        noted = Noted()
        kept = noted.kept()
        kept.append({"Time": 9.5 * DAY})
        assert (noted.added, len(kept)) == ([{"Time": 9.5 * DAY}], 1)

    def test_forgets_what_is_older_than_it_is_told_to_keep(self) -> None:
        noted = Noted()
        assert len(noted.kept(8 * DAY, 8.9 * DAY, 9.1 * DAY)) == 1
        assert noted.forgotten == [2]

    def test_keeps_all_where_no_retention_is_set(self) -> None:
        noted = Noted(days=0)
        assert len(noted.kept(1.0, 2.0)) == 2
        assert noted.forgotten == []

    def test_is_never_larger_than_a_laptop_can_hold(self) -> None:
        noted = Noted()
        kept = noted.kept(most=10, step=3)
        for _ in range(30):
            kept.append({"Time": 9.5 * DAY})
        assert 10 <= len(kept) <= 13
        assert len(noted.added) - sum(noted.forgotten) == len(kept)


@pytest.fixture
def bus() -> Iterator[str]:
    """A bus with the seam's handlers in place, all taken away again."""
    saved = dict(provisioners._RESOURCE_HANDLERS), eventbridge._invoke_target, eventbridge._describe_archive
    extract = iam_actions.extract_resource_arn
    archives.install()
    eventbridge._create_event_bus({"Name": "stack"})
    yield "arn:aws:events:us-east-1:000000000000:event-bus/stack"
    provisioners._RESOURCE_HANDLERS.clear()
    provisioners._RESOURCE_HANDLERS.update(saved[0])
    eventbridge._invoke_target, eventbridge._describe_archive = saved[1:]
    iam_actions.extract_resource_arn = extract
    eventbridge.reset()


class TestTheType:
    def handler(self, action: str) -> Any:
        return provisioners._RESOURCE_HANDLERS["AWS::Events::Archive"][action]

    def test_makes_changes_and_deletes_an_archive(self, bus: str) -> None:
        properties = {"SourceArn": bus, "RetentionDays": "7", "EventPattern": {"source": ["aimatrix"]}}
        name, attributes = self.handler("create")("EventArchive", properties, "stack")
        assert attributes["Arn"].endswith(f":archive/{name}")
        assert eventbridge._archives[name]["RetentionDays"] == 7
        self.handler("update")(name, properties, {**properties, "RetentionDays": 9}, "stack")
        assert eventbridge._archives[name]["RetentionDays"] == 9
        self.handler("delete")(name, properties)
        assert name not in eventbridge._archives
        self.handler("delete")(name, properties)

    def test_gives_the_same_name_again_and_none_that_is_too_long(self, bus: str) -> None:
        properties = {"SourceArn": bus}
        name, _ = self.handler("create")("EventArchive", properties, "s" * 128)
        assert len(name) == 48
        with pytest.raises(ValueError, match="already exists"):
            self.handler("create")("EventArchive", properties, "s" * 128)

    def test_keeps_what_its_pattern_wants_and_describes_itself_without_it(self, bus: str) -> None:
        name, _ = self.handler("create")(
            "EventArchive", {"SourceArn": bus, "EventPattern": {"source": ["aimatrix"]}}, "stack"
        )
        for source in ("aimatrix", "other"):
            entry = {"Source": source, "DetailType": "t", "Detail": "{}", "EventBusName": "stack"}
            eventbridge._put_events({"Entries": [entry]})
        described = json.loads(eventbridge._describe_archive({"ArchiveName": name})[2])
        assert (described["EventCount"], "Events" in described) == (1, False)


class TestReplays:
    @pytest.mark.parametrize(
        ("body", "resource"),
        [
            ({"ReplayName": "r", "EventSourceArn": "arn:archive"}, "arn:archive"),
            ({"ReplayName": "r"}, "arn:aws:events:us-east-1:000000000000:replay/r"),
            ({"ReplayName": 1}, "*"),
            ({"Name": "r"}, "*"),
        ],
        ids=str,
    )
    def test_are_authorized_on_what_they_are_about(self, body: dict[str, Any], resource: str) -> None:
        extract = archives._by_replay(lambda *_: "*")
        assert (
            extract("events", "POST", "/", {}, json.dumps(body).encode(), {}, "us-east-1", "000000000000") == resource
        )

    def test_reach_the_rules_that_they_name(self, bus: str) -> None:
        reached: list[str] = []
        invoke = archives._to_named_rules(lambda _target, _event, rule, _view: reached.append(rule["Arn"]))
        eventbridge._replays["r"] = {"Destination": {"Arn": bus, "FilterArns": ["arn:a"]}}
        eventbridge._replays["all"] = {"Destination": {"Arn": bus}}
        for event in ({"ReplayName": "r"}, {"ReplayName": "all"}, {}):
            for rule in ("arn:a", "arn:b"):
                invoke({}, event, {"Arn": rule})
        assert reached == ["arn:a", *["arn:a", "arn:b"] * 2]
