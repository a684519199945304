"""Events on their way to a bus that takes them, or not all of them, or none."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from chalicelib.events.gateways import MAX_BYTES, MAX_ENTRIES, Bus, NotTaken, Sent
from chalicelib.events.shapes import Event, QuotaExceeded


class FakeBus:
    """Refuses the entries of its calls that it was told to."""

    def __init__(self, *refuses: set[int]) -> None:
        self.taken: list[str] = []
        self.calls: list[int] = []
        self._refuses = list(refuses)

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  boto3 names it so
        self.calls.append(len(Entries))
        refused = self._refuses.pop(0) if self._refuses else set()
        answers = []
        for number, entry in enumerate(Entries):
            if number in refused:
                answers.append({"ErrorCode": "ThrottlingException"})
            else:
                self.taken.append(json.loads(entry["Detail"])["eventId"])
                answers.append({"EventId": "aws"})
        return {"FailedEntryCount": len(refused), "Entries": answers}


def events(count: int, detail: str = "d") -> list[Event]:
    return [
        QuotaExceeded(
            event_id=str(number), occurred_at="t", tenant_id="acme", user_id="u", operation="submit_job", detail=detail
        )
        for number in range(count)
    ]


def bus(fake: FakeBus, pauses: list[float] | None = None) -> Bus:
    return Bus(cast("Any", fake), "bus", (pauses if pauses is not None else []).append)


class TestBus:
    def test_gets_all_in_order_ten_at_a_time(self) -> None:
        fake = FakeBus()
        assert bus(fake).put(events(25)) == Sent(25)
        assert fake.calls == [MAX_ENTRIES, MAX_ENTRIES, 5]
        assert fake.taken == [str(number) for number in range(25)]

    def test_gets_no_call_that_is_too_large(self) -> None:
        fake = FakeBus()
        bus(fake).put(events(4, "x" * (MAX_BYTES // 3)))
        assert fake.calls == [2, 2]

    def test_gets_what_it_refused_again_with_all_that_follows(self) -> None:
        fake, pauses = FakeBus({1}), list[float]()
        bus(fake, pauses).put(events(3))
        assert fake.taken == ["0", "2", "1", "2"]
        assert len(pauses) == 1

    def test_that_refuses_for_ever_is_said(self) -> None:
        fake = FakeBus(*[{0}] * 10)
        with pytest.raises(NotTaken, match="1 events"):
            bus(fake).put(events(1))
        assert len(fake.calls) == 4

    def test_gets_names_in_camel_case_and_nothing_without_a_value(self) -> None:
        class Keeping(FakeBus):
            entries: list[dict[str, Any]]

            def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
                self.entries = Entries
                return super().put_events(Entries)

        fake = Keeping()
        bus(fake).put(events(1))
        (entry,) = fake.entries
        assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("aimatrix", "quota.exceeded", "bus")
        assert set(json.loads(entry["Detail"])) == {
            *("eventId", "schemaVersion", "occurredAt", "tenantId", "userId", "operation", "detail")
        }

    def test_says_what_it_will_never_take_and_takes_the_rest(self) -> None:
        class Picky(FakeBus):
            def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
                answer = super().put_events(Entries)
                for each in answer["Entries"]:
                    if "ErrorCode" in each:
                        each |= {"ErrorCode": "MalformedDetail", "ErrorMessage": "no"}
                return answer

        fake = Picky({1})
        sent = bus(fake).put(events(3))
        assert (fake.taken, sent.count) == (["0", "2"], 2)
        assert [refusal.reason for refusal in sent.refusals] == ["MalformedDetail: no"]
