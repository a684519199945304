"""What becomes a dead letter, how it is listed, and how it is sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.events.tasks import note_dead_letters, publish_events
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.life import Ended, Started, Submitted
from chalicelib.table import encode
from tests.faults import Shows
from tests.functional.events.conftest import ELSEWHERE, NOW, OPERATOR, Events, delivered
from tests.unit.events.test_changes import image, life
from tests.unit.jobs.test_life import JOB, USED

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/stack-jobs/stream/1"


def stream_records() -> list[dict[str, Any]]:
    """The stream's records of a job that is submitted, runs and ends."""
    records = []
    for change in life(Started(NOW), Ended(JobStatus.COMPLETED, NOW, USED)):
        images = {"SequenceNumber": f"{int(change.sequence):03d}", "NewImage": encode(change.after or {})}
        if change.before:
            images["OldImage"] = encode(change.before)
        records.append({"eventSourceARN": TABLE, "dynamodb": images})
    return records


def given_up(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What Lambda says of a batch that it gave up."""
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    batch = {
        "shardId": "shard-1",
        "startSequenceNumber": numbers[0],
        "endSequenceNumber": numbers[-1],
        "streamArn": TABLE,
        "batchSize": len(records),
    }
    body = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": batch}
    return {"messageId": "m", "body": json.dumps(body)}


class TestPublishing:
    def test_goes_on_past_a_change_that_no_event_can_be_made_of(self, events: Events, shows: Shows) -> None:
        records = stream_records()
        del records[1]["dynamodb"]["NewImage"]["status"]
        publish_events(events.platform, {"Records": records})
        assert [each["recordVersion"] for each in events.aws.taken] == [1, 3]
        (letter,) = events.letters()
        assert (letter["stage"], letter["type"], letter["subject"]) == ("reading", None, f"jobs/acme#{JOB.job_id}")
        assert "KeyError" in letter["reason"]
        shows(15, f"1 poison change among {len(records)}: 0 good ones blocked")

    def test_keeps_what_the_bus_will_never_take_and_sends_the_rest(self, events: Events) -> None:
        records = stream_records()
        publish_events(events.platform, {"Records": records})
        ids = events.aws.seen
        events.aws.taken.clear()
        events.aws.refuses[ids[1]] = "MalformedDetail"
        publish_events(events.platform, {"Records": records})
        assert events.aws.seen == [ids[0], ids[2]]
        (letter,) = events.letters()
        assert (letter["dead_letter_id"], letter["stage"]) == (ids[1], "publishing")
        assert letter["reason"] == "MalformedDetail: no"

    def test_fails_as_a_whole_where_the_bus_may_take_it_later(self, events: Events) -> None:
        from chalicelib.events.gateways import NotTaken

        records = stream_records()
        publish_events(events.platform, {"Records": records})
        events.aws.refuses[events.aws.seen[0]] = "ThrottlingException"
        with pytest.raises(NotTaken):
            publish_events(events.platform, {"Records": records})
        assert events.letters() == []


class TestTheQueue:
    def test_of_what_lambda_gave_up_is_read_from_the_stream_again(self, events: Events) -> None:
        events.stream.records = stream_records()
        failed = note_dead_letters(events.platform, {"Records": [given_up(events.stream.records)]})
        assert failed == {"batchItemFailures": []}
        letters = events.letters()
        told = sorted((letter["content"]["recordVersion"], letter["type"]) for letter in letters)
        assert told == [
            (1, "training.job.submitted"),
            (2, "training.job.status-changed"),
            (3, "training.job.status-changed"),
        ]
        assert {letter["reason"] for letter in letters} == {"RetryAttemptsExhausted"}

    def test_stops_at_the_end_of_the_batch(self, events: Events) -> None:
        events.stream.records = stream_records()
        note_dead_letters(events.platform, {"Records": [given_up(events.stream.records[:2])]})
        assert len(events.letters()) == 2

    def test_says_so_when_the_stream_has_forgotten(self, events: Events) -> None:
        events.stream.records = stream_records()
        events.stream.is_trimmed = True
        note_dead_letters(events.platform, {"Records": [given_up(events.stream.records)]})
        (letter,) = events.letters()
        assert letter["stage"] == "lost"
        assert letter["content"]["DDBStreamBatchInfo"]["streamArn"] == TABLE

    def test_keeps_why_a_target_did_not_get_an_event(self, events: Events) -> None:
        message = delivered("e1", why="NO_PERMISSIONS")
        note_dead_letters(events.platform, {"Records": [message]})
        (letter,) = events.letters()
        assert (letter["stage"], letter["reason"]) == ("delivering", "NO_PERMISSIONS: NO_PERMISSIONS")
        assert letter["subject"] == "jobs/acme#j"

    def test_keeps_an_event_once_however_often_it_dies(self, events: Events) -> None:
        for why in ("first", "second"):
            note_dead_letters(events.platform, {"Records": [delivered("e1", why=why)]})
        (letter,) = events.letters()
        assert (letter["times"], letter["reason"]) == (2, "second: second")

    @pytest.mark.parametrize(
        "body", ["", "{", "null", "[]", '{"detail": 1}', '{"detail-type": "x", "detail": {}}', "\ud800"]
    )
    def test_keeps_whatever_it_is(self, events: Events, body: str) -> None:
        failed = note_dead_letters(events.platform, {"Records": [{"messageId": "m", "body": body}]})
        assert failed == {"batchItemFailures": []}
        assert [letter["stage"] for letter in events.letters()] == ["lost"]

    def test_lets_a_message_come_again_that_could_not_be_kept(self, events: Events) -> None:
        good, bad = delivered("e1"), given_up(stream_records())
        bad["body"] = bad["body"].replace('"endSequenceNumber"', '"nothing"')
        failed = note_dead_letters(events.platform, {"Records": [bad, good]})
        assert failed == {"batchItemFailures": [{"itemIdentifier": "m"}]}
        assert [letter["dead_letter_id"] for letter in events.letters()] == ["e1"]


class TestRedrive:
    def redrive(self, events: Events, **body: Any) -> dict[str, Any]:
        done: dict[str, Any] = events.api.send(OPERATOR, "POST", "/v1/admin/events/redrive", body or None).json
        return done

    def test_sends_the_events_of_each_item_in_their_order(self, events: Events) -> None:
        for event_id, version, job in (
            ("b3", 3, "b"),
            ("a10", 10, "a"),
            ("a2", 2, "a"),
            ("b1", 1, "b"),
            ("a9", 9, "a"),
        ):
            note_dead_letters(events.platform, {"Records": [delivered(event_id, version, job)]})
        assert self.redrive(events) == {"sent": 5, "failed": 0, "next_cursor": None}
        for job in "ab":
            versions = [each["recordVersion"] for each in events.aws.taken if each["jobId"] == job]
            assert versions == sorted(versions)
        assert events.letters() == []

    def test_twice_sends_once(self, events: Events, shows: Shows) -> None:
        count = 60
        for number in range(count):
            note_dead_letters(events.platform, {"Records": [delivered(f"e{number}", number, f"j{number % 7}")]})
        first, second = self.redrive(events), self.redrive(events)
        assert (first["sent"], second["sent"]) == (count, 0)
        assert sorted(events.aws.seen) == sorted(f"e{number}" for number in range(count))
        shows(16, f"{count} letters redriven twice: {count - len(set(events.aws.seen))} lost, 0 doubled")

    def test_that_dies_before_it_has_noted_its_work_sends_the_same_ids(self, events: Events) -> None:
        note_dead_letters(events.platform, {"Records": [delivered("e1")]})
        letter = next(iter(events.service.store.of_subject("jobs/acme#j")))
        events.service._send(letter)
        assert self.redrive(events)["sent"] == 1
        assert events.aws.seen == ["e1", "e1"]

    def test_keeps_a_letter_that_came_again_meanwhile(self, events: Events) -> None:
        note_dead_letters(events.platform, {"Records": [delivered("e1")]})
        read = next(iter(events.service.store.of_subject("jobs/acme#j")))
        note_dead_letters(events.platform, {"Records": [delivered("e1")]})
        assert events.service.store.remove(read) is False
        assert len(events.letters()) == 1

    def test_reads_a_change_again_that_a_later_release_may_understand(self, events: Events) -> None:
        from chalicelib.events.changes import Change

        change = Change("jobs", "1", None, image(JOB, Submitted()))
        events.undelivered.keep_unreadable([(change, ValueError("not yet understood"))])
        assert self.redrive(events)["sent"] == 1
        assert events.aws.taken[0]["jobId"] == JOB.job_id

    def test_leaves_what_still_cannot_be_sent_with_its_reason(self, events: Events) -> None:
        note_dead_letters(
            events.platform, {"Records": [delivered("e1"), delivered("e2", 3), {"messageId": "m", "body": "?"}]}
        )
        events.aws.refuses["e1"] = "MalformedDetail"
        # What is lost is not counted: nobody can send it.
        assert self.redrive(events) == {"sent": 1, "failed": 1, "next_cursor": None}
        assert events.aws.seen == ["e2"]
        kept = {letter["dead_letter_id"]: letter for letter in events.letters()}
        assert (kept["e1"]["times"], kept["e1"]["reason"]) == (2, "MalformedDetail: no")

    def test_of_one_subject_leaves_the_others(self, events: Events) -> None:
        note_dead_letters(events.platform, {"Records": [delivered("e1", job_id="a"), delivered("e2", job_id="b")]})
        assert self.redrive(events, subject="jobs/acme#b")["sent"] == 1
        assert events.aws.seen == ["e2"]

    def test_is_503_while_the_bus_takes_nothing(self, events: Events) -> None:
        note_dead_letters(events.platform, {"Records": [delivered("e1")]})
        events.aws.refuses["e1"] = "InternalFailure"
        assert events.api.send(OPERATOR, "POST", "/v1/admin/events/redrive").status == 503
        assert len(events.letters()) == 1

    def test_goes_on_from_its_cursor_when_its_time_is_over(self, events: Events) -> None:
        for number in range(60):
            note_dead_letters(events.platform, {"Records": [delivered(f"e{number}", job_id=f"j{number:02d}")]})
        late = iter([0.0, *[100.0] * 10])
        object.__setattr__(events.service, "seconds", lambda: next(late))
        first = self.redrive(events)
        assert (first["sent"], first["next_cursor"] is not None) == (50, True)
        assert self.redrive(events, cursor=first["next_cursor"])["sent"] == 10

    def test_is_in_the_audit_log(self, events: Events) -> None:
        self.redrive(events)
        assert events.log.told("default") == [("root", "redrive_events", "events/all")]


class TestAccess:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "dead-letters"),
            ("POST", "redrive"),
            ("POST", "replays"),
            ("GET", "replays/aimatrix-5f0c8f4e-7a0b-4f57-9d3e-2f6f6c1d9a11"),
        ],
    )
    def test_is_for_whoever_runs_the_installation(self, events: Events, method: str, path: str) -> None:
        body = {"since": "2026-03-01T11:00:00Z"} if path == "replays" else None
        answer = events.api.send(ELSEWHERE, method, f"/v1/admin/events/{path}", body)
        assert answer.status == 403

    def test_pages_through_the_list(self, events: Events) -> None:
        for number in range(3):
            note_dead_letters(events.platform, {"Records": [delivered(f"e{number}", number)]})
        first = events.api.send(OPERATOR, "GET", "/v1/admin/events/dead-letters?limit=2").json
        path = f"/v1/admin/events/dead-letters?limit=2&cursor={first['next_cursor']}"
        second = events.api.send(OPERATOR, "GET", path).json
        found = [letter["dead_letter_id"] for page in (first, second) for letter in page["dead_letters"]]
        assert sorted(found) == ["e0", "e1", "e2"]
