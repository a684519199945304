"""A table's stream tells the same before and after the process dies, and each function goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ministack.services import dynamodb, lambda_svc

from localcloud.journal.records import Change, Contents, Told
from localcloud.seam.streams import CHANGES, TOLD_AGAIN_SECONDS, Streams

TABLE = ("000000000000", "us-east-1", "jobs")
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/jobs/stream/2026-03-01T12:00:00.000"
STORES = (dynamodb._stream_records, dynamodb._stream_trimmed, lambda_svc._dynamodb_stream_positions, lambda_svc._esms)


def record(number: int, at: float = 1_000_000.0) -> dict[str, Any]:
    return {"eventID": str(number), "dynamodb": {"ApproximateCreationDateTime": at}}


@dataclass
class Run:
    """One life of the process: what it notes, and functions that read when they are called."""

    contents: Contents
    notes: list[Change] = field(default_factory=list)
    told: dict[str, list[str]] = field(default_factory=dict)
    at_once: int = 100

    def __post_init__(self) -> None:
        for store in STORES:
            store.clear()
        lambda_svc._poll_dynamodb_streams = self._read
        Streams(self.notes.append).install(self.contents, lambda: None)

    def subscribe(self, function: str) -> None:
        mapping = {"UUID": f"{id(self)}-{function}", "EventSourceArn": ARN, "FunctionName": function}
        lambda_svc._esms._data[*TABLE[:2], mapping["UUID"]] = mapping
        # As ministack does at TRIM_HORIZON.
        start = dynamodb._stream_trimmed._data.get(TABLE, 0)
        lambda_svc._dynamodb_stream_positions._data[*TABLE[:2], mapping["UUID"]] = start

    def change(self, *records: dict[str, Any]) -> None:
        dynamodb._emit_stream_event("jobs", "INSERT", None, {})
        for each in records:
            dynamodb._stream_records._data[TABLE].append(each)

    def poll(self) -> bool:
        found: bool = lambda_svc._poll_dynamodb_streams()
        return found

    def die(self) -> Contents:
        """What the journal gives the next process."""
        left = Contents()
        for change in self.notes:
            left.apply(change)
        again = Contents()
        for change in left.changes():
            again.apply(change)
        return again

    def _read(self) -> bool:
        found = False
        for key, mapping in lambda_svc._esms._data.items():
            positions = lambda_svc._dynamodb_stream_positions._data
            offset = positions[key] - dynamodb._stream_trimmed._data.get(TABLE, 0)
            batch = dynamodb._stream_records._data.get(TABLE, [])[offset : offset + self.at_once]
            self.told.setdefault(mapping["FunctionName"], []).extend(each["eventID"] for each in batch)
            positions[key] += len(batch)
            found = found or bool(batch)
        return found


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    poll, emit = lambda_svc._poll_dynamodb_streams, dynamodb._emit_stream_event
    yield
    lambda_svc._poll_dynamodb_streams, dynamodb._emit_stream_event = poll, emit
    for store in STORES:
        store.clear()


def read_all(run: Run) -> None:
    while run.poll():
        pass


class TestAStream:
    def test_tells_after_a_death_what_nobody_had_read(self) -> None:
        run = Run(Contents())
        run.change(record(1), record(2))
        after = Run(run.die())
        after.subscribe("publish")
        read_all(after)
        assert after.told == {"publish": ["1", "2"]}

    def test_goes_on_for_each_function_where_it_was(self) -> None:
        run = Run(Contents(), at_once=1)
        run.subscribe("publish")
        later = 1_000_000.0 + TOLD_AGAIN_SECONDS + 1
        run.change(record(1), record(2), record(3, later))
        run.poll()
        after = Run(run.die())
        after.subscribe("publish")
        after.subscribe("new")
        read_all(after)
        assert after.told == {"publish": ["2", "3"], "new": ["1", "2", "3"]}

    def test_tells_the_last_minute_again(self) -> None:
        run = Run(Contents())
        run.subscribe("publish")
        recent = 1_000_000.0 + TOLD_AGAIN_SECONDS + 1
        run.change(record(1), record(2, recent), record(3, recent + 5))
        read_all(run)
        after = Run(run.die())
        after.subscribe("publish")
        after.change(record(4, recent + 9))
        read_all(after)
        assert after.told == {"publish": ["2", "3", "4"]}

    def test_forgets_what_all_have_read_but_the_latest(self) -> None:
        run = Run(Contents(), at_once=CHANGES)
        run.subscribe("publish")
        run.change(*(record(number) for number in range(CHANGES + 500)))
        run.poll()
        assert dynamodb._stream_trimmed._data[TABLE] == 500
        left = run.die().streams[TABLE]
        assert (left.forgotten, len(left.records), left.positions) == (500, CHANGES, {"publish": CHANGES})

    def test_that_not_all_have_read_is_kept_whole(self) -> None:
        run = Run(Contents())
        run.subscribe("publish")
        run.subscribe("as far as publish")
        run.change(*(record(number) for number in range(CHANGES + 500)))
        run.poll()
        assert len(dynamodb._stream_records._data[TABLE]) == CHANGES + 400

    def test_of_a_deleted_table_is_gone(self) -> None:
        run = Run(Contents())
        run.change(record(1))
        run.notes.append(["T", list(TABLE)])
        assert run.die().streams == {}

    def test_that_told_nothing_is_empty(self) -> None:
        after = Run(Contents(streams={TABLE: Told(positions={"publish": 0})}))
        after.subscribe("publish")
        read_all(after)
        assert after.told == {"publish": []}
