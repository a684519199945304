"""What the emulator remembers: documents, training records, events, credentials."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from localcloud.compute.credentials import CredentialDesk
from localcloud.compute.errors import ValidationFailed
from localcloud.compute.event_outbox import EventOutbox
from localcloud.compute.faults import FaultPlan
from localcloud.compute.jobs.sagemaker_record import FAILED, IN_PROGRESS, STOPPED, shortened
from localcloud.compute.jobs.state_change import detail_of
from localcloud.compute.jobs.waiting import Finishes, seconds_of
from localcloud.compute.paging import page_of
from localcloud.compute.store import AlreadyThere, DocumentStore
from localcloud.compute.training.record import TrainingRecord
from localcloud.compute.training.requests import check_create
from tests.unit.compute.fakes import ROLE, FakeControl
from tests.unit.compute.harness import eventually, training_request

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(**changes: Any) -> TrainingRecord:
    return TrainingRecord.new(training_request("job", "pass", **changes), "arn:job", "job/algo-1-1", START)


class TestStore:
    def test_keeps_documents_with_their_times_and_their_order(self, tmp_path: Path) -> None:
        store = DocumentStore(tmp_path / "s.sqlite3")
        store.insert("job", "b", {"at": START, "deep": [{"at": at(0.25)}]})
        store.insert("job", "a", {})
        store.put("job", "b", {"at": START, "changed": True})
        store.close()

        again = DocumentStore(tmp_path / "s.sqlite3")

        assert list(again.scan("job")) == [("b", {"at": START, "changed": True}), ("a", {})]
        assert [key for key, _ in again.scan("job", newest_first=True)] == ["a", "b"]
        again.close()

    def test_a_key_is_taken_once(self, tmp_path: Path) -> None:
        store = DocumentStore(tmp_path / "s.sqlite3")
        store.insert("job", "a", {"n": 1})

        with pytest.raises(AlreadyThere):
            store.insert("job", "a", {"n": 2})
        assert store.get("job", "a") == {"n": 1}
        assert store.get("other", "a") is None
        store.close()

    def test_what_is_written_together_is_there_together_or_not_at_all(self, tmp_path: Path) -> None:
        store = DocumentStore(tmp_path / "s.sqlite3")
        store.insert("job", "taken", {})

        def write_both() -> None:
            with store.together():
                store.put("event", "1", {})
                store.insert("job", "taken", {"n": 2})

        with pytest.raises(AlreadyThere):
            write_both()
        assert store.get("event", "1") is None
        with store.together():
            store.put("event", "1", {})
        # What has been made durable, another connection sees.
        other = DocumentStore(tmp_path / "s.sqlite3")
        assert other.get("event", "1") == {}
        other.close()
        store.close()

    def test_nobody_else_reads_the_file(self, tmp_path: Path) -> None:
        store = DocumentStore(tmp_path / "state" / "s.sqlite3")

        assert (tmp_path / "state" / "s.sqlite3").stat().st_mode & 0o077 == 0
        store.close()


class TestTrainingRecord:
    def test_transitions_follow_one_another(self) -> None:
        job = record()
        job.enter(IN_PROGRESS, "Downloading", at(1))
        job.fail("AlgorithmError: , exit code: 1", at(2))

        shown = job.describe()["SecondaryStatusTransitions"]

        assert [step["Status"] for step in shown] == ["Starting", "Downloading", "Failed"]
        assert [(step["StartTime"], step["EndTime"]) for step in shown] == [
            (at(0), at(1)),
            (at(1), at(2)),
            (at(2), at(2)),
        ]

    def test_terminal_states_absorb(self) -> None:
        job = record()
        job.fail("because", at(1))

        with pytest.raises(ValueError, match="has ended as Failed"):
            job.enter(STOPPED, "Stopped", at(2))
        assert job.status == FAILED

    def test_bills_the_time_the_instance_was_occupied(self) -> None:
        job = record()
        job.occupy(at(10))
        job.release(at(13.5))
        job.occupy(at(100))
        job.enter(IN_PROGRESS, "Training", at(101))
        job.enter("Completed", "Completed", at(102.2))

        shown = job.describe()

        assert shown["TrainingStartTime"] == at(10)
        assert shown["TrainingTimeInSeconds"] == 93
        assert shown["BillableTimeInSeconds"] == 6

    def test_a_job_that_never_ran_bills_nothing(self) -> None:
        job = record()
        job.enter(STOPPED, "Stopped", at(5))

        assert "BillableTimeInSeconds" not in job.describe()

    def test_a_long_reason_keeps_head_and_tail(self) -> None:
        reason = shortened("AlgorithmError: " + "x" * 5000 + ", exit code: 3")

        assert len(reason) == 1024
        assert reason.startswith("AlgorithmError: ")
        assert reason.endswith(", exit code: 3")

    def test_the_event_is_the_description_with_times_in_milliseconds(self) -> None:
        detail = detail_of(record(Tags=[{"Key": "a", "Value": "b"}]))

        assert json.loads(json.dumps(detail)) == detail
        assert detail["CreationTime"] == int(START.timestamp() * 1000)
        assert detail["Tags"] == {"a": "b"}
        assert detail["SecondaryStatusTransitions"][0]["StartTime"] == int(START.timestamp() * 1000)

    def test_the_event_leaves_out_what_would_make_it_too_large(self) -> None:
        request = training_request("job", "pass", HyperParameters={f"k{n}": "v" * 2000 for n in range(100)})

        detail = detail_of(TrainingRecord.new(request, "arn", "s", START))

        assert "HyperParameters" not in detail
        assert len(json.dumps(detail)) < 256_000


class TestRequestRules:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}},
                "InstanceCount",
            ),
            ({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"}}, "ContainerEntrypoint"),
            ({"OutputDataConfig": {"S3OutputPath": "https://x/y"}}, "S3OutputPath"),
            ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds is required"),
            ({"StoppingCondition": {"MaxWaitTimeInSeconds": 5}}, "MaxWaitTimeInSeconds may only be set"),
            ({"CheckpointConfig": {"S3Uri": "s3://out/c", "LocalPath": "/opt/ml/model"}}, "LocalPath"),
            ({"CheckpointConfig": {"S3Uri": "s3://out/c", "LocalPath": "/elsewhere/x"}}, "LocalPath"),
        ],
    )
    def test_name_the_member(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationFailed, match=message):
            check_create(training_request("job", "pass", **changes))

    @pytest.mark.parametrize(
        "channel",
        [
            {"InputMode": "Pipe"},
            {"CompressionType": "Gzip"},
            {"DataSource": {"FileSystemDataSource": {}}},
            {"DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://data/m"}}},
            {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "https://data/m"}}},
        ],
    )
    def test_name_the_channel(self, channel: dict[str, Any]) -> None:
        request = training_request("job", "pass")
        request["InputDataConfig"][0] |= channel

        with pytest.raises(ValidationFailed, match="channel 'training'"):
            check_create(request)

    def test_channel_names_are_unique(self) -> None:
        request = training_request("job", "pass")
        request["InputDataConfig"] *= 2

        with pytest.raises(ValidationFailed, match="unique"):
            check_create(request)


class TestEvents:
    def test_what_was_not_delivered_goes_out_after_the_next_start_in_order(self, tmp_path: Path) -> None:
        async def scenario() -> list[str]:
            store = DocumentStore(tmp_path / "s.sqlite3")
            before = EventOutbox(store, FakeControl(), FaultPlan())
            for n in range(25):
                before.record("aws.sagemaker", "t", {"n": n}, ["arn"], START)
            control = FakeControl()
            after = EventOutbox(store, control, FaultPlan())
            after.record("aws.sagemaker", "t", {"n": 25}, ["arn"], START)
            after.start()
            await eventually(lambda: len(control.events) == 26)
            await after.stop()
            left = list(store.scan("event"))
            store.close()
            assert left == []
            return [event["Detail"] for event in control.events]

        assert asyncio.run(scenario()) == [f'{{"n":{n}}}' for n in range(26)]

    def test_are_lost_and_doubled_as_the_fault_plan_says(self, tmp_path: Path) -> None:
        store = DocumentStore(tmp_path / "s.sqlite3")
        faults = FaultPlan()
        faults.replace(
            {
                "rules": [
                    {"fault": "event_lost", "operation": "t", "name_prefix": "lost"},
                    {"fault": "event_doubled", "operation": "t", "times": 1},
                ]
            }
        )
        outbox = EventOutbox(store, FakeControl(), faults)
        for detail_type, name in (("t", "lost-1"), ("t", "a"), ("t", "b"), ("other", "lost-2")):
            outbox.record("aws.sagemaker", detail_type, {}, [f"arn:aws:sagemaker:r:a:training-job/{name}"], START)
        told = [entry["Resources"][0].rpartition("/")[2] for _, entry in store.scan("event")]
        store.close()
        assert told == ["a", "a", "b", "lost-2"]


class TestCredentials:
    def desk(self, control: FakeControl) -> CredentialDesk:
        ids = iter(range(100))
        return CredentialDesk(control, lambda: datetime.now(UTC), lambda: f"id-{next(ids)}", lambda: "token")

    def test_need_the_token_of_their_own_grant(self) -> None:
        desk = self.desk(FakeControl())
        grant = desk.open(ROLE, "sagemaker.amazonaws.com", "SageMaker")

        assert desk.find(grant.grant_id, "token") == grant
        assert desk.find(grant.grant_id, "Bearer token") == grant
        for wrong in ("", "Bearer", "toke", "tokenx", "tökén"):
            assert desk.find(grant.grant_id, wrong) is None
        assert desk.find("id-99", "token") is None

    def test_are_gone_with_the_process(self) -> None:
        desk = self.desk(FakeControl())
        grant = desk.open(ROLE, "sagemaker.amazonaws.com", "SageMaker")

        desk.close(grant)

        assert desk.find(grant.grant_id, "token") is None

    def test_are_not_kept_longer_than_the_process_that_gave_them(self) -> None:
        control = FakeControl()
        desk = self.desk(control)
        grant = desk.open(ROLE, "sagemaker.amazonaws.com", "SageMaker")

        async def ask() -> list[str]:
            first = await desk.credentials_of(grant)
            control.process = "second"
            return [first.access_key_id, *[(await desk.credentials_of(grant)).access_key_id for _ in range(2)]]

        assert asyncio.run(ask()) == ["AKIA0001", "AKIA0002", "AKIA0002"]

    @pytest.mark.parametrize(("minutes", "issued"), [(60, 1), (9, 3)])
    def test_are_kept_until_they_age(self, minutes: int, issued: int) -> None:
        control = FakeControl(lifetime=timedelta(minutes=minutes))
        desk = self.desk(control)
        grant = desk.open(ROLE, "sagemaker.amazonaws.com", "SageMaker")

        async def ask() -> None:
            for _ in range(3):
                await desk.credentials_of(grant)

        asyncio.run(ask())

        assert len(control.issued) == issued


class TestWaiting:
    def test_wakes_everybody_who_waits_for_the_job(self) -> None:
        async def scenario() -> list[bool]:
            finishes = Finishes()
            waits = [asyncio.create_task(finishes.wait(name, 0.05 if name == "b" else 5)) for name in ("a", "a", "b")]
            await asyncio.sleep(0)
            finishes.announce("a")
            return await asyncio.gather(*waits)

        assert asyncio.run(scenario()) == [True, True, False]

    @pytest.mark.parametrize("text", ["x", "-1", "nan", "inf", "3601"])
    def test_refuses_a_time_that_is_none(self, text: str) -> None:
        with pytest.raises(ValueError):
            seconds_of(text)


class TestPaging:
    def test_pages_hold_everything_once(self) -> None:
        seen: list[int] = []
        token = None
        while True:
            page, token = page_of(range(25), token, 10)
            seen += page
            if token is None:
                break

        assert seen == list(range(25))

    @pytest.mark.parametrize("token", ["x", "", "YWZ0ZXI6eA==", "ü"])
    def test_refuses_a_foreign_token(self, token: str) -> None:
        with pytest.raises(ValidationFailed, match="NextToken"):
            page_of([1], token, 10)
