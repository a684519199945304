"""Uploads become runs: each object once, many of them one run, whatever order and company they come in."""

from __future__ import annotations

import json

import pytest

from chalicelib.retraining.run import RunStatus, Trigger
from tests.functional.jobs.conftest import ALICE
from tests.functional.retraining.conftest import PREFIX, Room


def created(**found: object) -> str:
    """What S3 might tell of an object."""
    detail = {"bucket": {"name": "artifacts"}, "object": found}
    return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})


class TestUploads:
    def test_train_when_nothing_has_come_for_a_while(self, room: Room) -> None:
        policy = room.policy()
        assert room.tell(room.put("a.csv"), room.put("b.csv")) == []
        room.later(40)
        assert room.tell(room.put("c.csv")) == []
        room.later(40)
        assert room.run(policy).status is RunStatus.GATHERING
        room.later(30)
        run = room.run(policy)
        assert (run.status, run.objects, run.trigger) == (RunStatus.TRAINING, 3, Trigger.UPLOAD)
        assert run.job_id is not None
        job = room.jobs.store.get("acme", run.job_id)
        assert job is not None
        assert (job.user, job.name, job.config["dataset_path"]) == ("alice", "churn", PREFIX)

    def test_that_never_end_train_all_the_same(self, room: Room) -> None:
        policy = room.policy(max_wait=120)
        for number in range(4):
            room.tell(room.put(f"{number}.csv"))
            room.later(40)
        assert room.run(policy).status is RunStatus.TRAINING

    def test_of_many_objects_are_one_run(self, room: Room) -> None:
        policy = room.policy(min_objects=300, schema_check="off")
        one = room.put("0.csv")
        key = one["detail"]["object"]["key"]
        text = json.dumps(one)
        for start in range(0, 300, 100):
            room.tell(*(text.replace(key, key.replace("0.csv", f"{n}.csv")) for n in range(start, start + 100)))
        room.later(61)
        assert [(run.status, run.objects) for run in room.runs(policy)] == [(RunStatus.TRAINING, 300)]

    def test_that_come_twice_and_late_start_nothing(self, room: Room) -> None:
        policy = room.policy()
        older, newer = room.put("a.csv", b"x\n1\n"), room.put("a.csv", ROWS_TWICE)
        room.tell(newer, older, newer)
        room.later(61)
        run = room.run(policy)
        assert (run.objects, run.size) == (1, len(ROWS_TWICE))
        room.tell(room.end(run))
        room.tell(older, newer)
        room.later(61)
        assert len(room.runs(policy)) == 1

    def test_that_are_deleted_before_they_are_used_do_not_count(self, room: Room) -> None:
        policy = room.policy(min_objects=2)
        room.tell(room.put("a.csv"), room.put("b.csv"))
        room.tell(room.remove("b.csv"))
        room.later(61)
        assert room.run(policy).status is RunStatus.GATHERING
        room.tell(room.put("c.csv"))
        room.later(61)
        assert (room.run(policy).status, room.run(policy).objects) == (RunStatus.TRAINING, 2)

    def test_whose_deletion_is_told_first_do_not_come_back(self, room: Room) -> None:
        policy = room.policy()
        created = room.put("a.csv")
        room.tell(room.remove("a.csv"))
        room.tell(created)
        room.later(61)
        assert room.runs(policy) == []

    def test_of_too_little_wait_for_more(self, room: Room) -> None:
        policy = room.policy(min_bytes=100)
        room.tell(room.put("a.csv"))
        room.later(3_600)
        assert room.run(policy).status is RunStatus.GATHERING
        room.tell(room.put("b.csv", b"a,b\n" + b"1,2\n" * 30))
        room.later(61)
        assert room.run(policy).status is RunStatus.TRAINING

    def test_with_any_character_in_their_keys_are_taken(self, room: Room) -> None:
        policy = room.policy()
        names = ["a b+c.csv", "%2F..%2f.csv", "日本/é.csv", "quote'\".csv", "a\nb.csv", "#?&=.csv"]
        room.tell(*(room.put(name) for name in names))
        room.later(61)
        run = room.run(policy)
        assert run.data is not None
        manifest = room.jobs.objects.client.get_object(Bucket="artifacts", Key=run.data.manifest)["Body"].read()
        keys = {json.loads(line)["key"] for line in manifest.decode().splitlines()}
        assert keys == {f"{ALICE.prefix}data/{name}" for name in names}

    def test_elsewhere_or_of_another_form_start_nothing(self, room: Room) -> None:
        policy = room.policy(source={"type": "s3", "uri_prefix": PREFIX, "pattern": "*.csv"})
        other = room.put("a.csv")
        other["detail"]["object"]["key"] = f"{ALICE.prefix}elsewhere/a.csv"
        room.tell(room.put("a.txt"), room.put("sub/"), other)
        room.later(61)
        assert room.runs(policy) == []

    def test_lost_between_the_record_and_the_word_are_found_when_they_come_again(self, room: Room) -> None:
        policy = room.policy()
        event = room.put("a.csv")
        room.looks.lost = 2
        assert room.tell(event) == ["0"]
        assert room.tell(event) == []
        room.later(61)
        assert room.run(policy).status is RunStatus.TRAINING


ROWS_TWICE = b"age,churned\n30,0\n41,1\n30,0\n41,1\n"


class TestASetWithAMarker:
    def test_trains_when_the_marker_comes_and_not_before(self, room: Room) -> None:
        policy = room.policy(source={"type": "s3", "uri_prefix": PREFIX, "marker": "_SUCCESS"})
        room.tell(room.put("day=1/a.csv"), room.put("day=1/b.csv"))
        room.later(3_600)
        assert room.run(policy).status is RunStatus.GATHERING
        room.tell(room.put("day=1/_SUCCESS", b""))
        room.deliver()
        assert (room.run(policy).status, room.run(policy).objects) == (RunStatus.TRAINING, 2)

    def test_is_not_completed_by_a_marker_that_is_told_of_twice(self, room: Room) -> None:
        policy = room.policy(source={"type": "s3", "uri_prefix": PREFIX, "marker": "_SUCCESS"})
        marker = room.put("day=1/_SUCCESS", b"")
        room.tell(room.put("day=1/a.csv"), marker)
        room.deliver()
        room.tell(room.end(room.run(policy)))
        room.tell(room.put("day=2/a.csv"), marker)
        room.later(3_600)
        assert room.run(policy, 2).status is RunStatus.GATHERING


class TestWhatNobodyCanRead:
    @pytest.mark.parametrize(
        "body",
        [
            "no json",
            "[]",
            "{}",
            created(),
            created(key="other/x", sequencer="1"),
            created(key="tenants/acme/users/\ud800", sequencer="1"),
            created(key="tenants/acme/users/x", sequencer="zz"),
            created(key="tenants/acme/users/x", sequencer="1", size=-1),
        ],
    )
    def test_is_a_dead_letter_with_its_reason_and_holds_nobody_up(self, room: Room, body: str) -> None:
        policy = room.policy()
        assert room.tell(room.put("a.csv"), body, room.put("b.csv")) == []
        room.later(61)
        assert room.run(policy).objects == 2
        (letter,) = room.letters.search(10, 0, None).letters
        assert letter.content
        assert letter.reason

    def test_a_test_event_of_s3_is_nothing(self, room: Room) -> None:
        assert room.tell({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "artifacts"}) == []
        assert room.letters.search(10, 0, None).letters == ()
