"""The emulator's own use of S3 and CloudWatch Logs, on moto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest
from moto import mock_aws

from localcloud.compute.aws_clients import CloudWatchLogs, ObjectError, S3Objects
from localcloud.compute.log_shipping import LogDeliveryError

SMALLEST_PART = 5 * 1024 * 1024  # S3's own bound
NOW = int(time.time() * 1000)


def client(service: Any) -> Any:
    return boto3.client(service, aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        made = client("s3")
        made.create_bucket(Bucket="data")
        yield made


@pytest.fixture
def logs() -> Iterator[Any]:
    with mock_aws():
        yield client("logs")


class TestObjects:
    def test_go_up_and_come_down(self, s3: Any, tmp_path: Path) -> None:
        objects = S3Objects(s3)
        (tmp_path / "a").write_bytes(b"\x00\xff" * 10)

        objects.upload(tmp_path / "a", "data", "k/ä b")
        objects.download("data", "k/ä b", tmp_path / "b", Event())

        assert (tmp_path / "b").read_bytes() == b"\x00\xff" * 10
        assert (objects.size("data", "k/ä b"), objects.size("data", "k")) == (20, None)
        assert objects.list("data", "k/") == [("k/ä b", 20)]

    def test_large_ones_go_up_in_parts(self, s3: Any, tmp_path: Path) -> None:
        with (tmp_path / "large").open("wb") as file:
            file.truncate(SMALLEST_PART + 5)

        S3Objects(s3, SMALLEST_PART).upload(tmp_path / "large", "data", "large")

        shown = s3.head_object(Bucket="data", Key="large")
        assert shown["ContentLength"] == SMALLEST_PART + 5
        assert shown["ETag"].strip('"').endswith("-2")

    def test_a_link_is_not_followed(self, s3: Any, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("/etc/passwd")

        with pytest.raises(OSError, match="symbolic links"):
            S3Objects(s3).upload(tmp_path / "link", "data", "k")

    def test_a_download_that_was_cancelled_ends(self, s3: Any, tmp_path: Path) -> None:
        s3.put_object(Bucket="data", Key="k", Body=b"x")
        cancelled = Event()
        cancelled.set()

        S3Objects(s3).download("data", "k", tmp_path / "a", cancelled)

        assert (tmp_path / "a").read_bytes() == b""

    def test_refusals_carry_the_code_of_s3(self, s3: Any, tmp_path: Path) -> None:
        objects = S3Objects(s3)
        with pytest.raises(ObjectError) as missing_key:
            objects.download("data", "none", tmp_path / "a", Event())
        with pytest.raises(ObjectError) as missing_bucket:
            objects.list("nothing", "")

        assert (missing_key.value.code, missing_bucket.value.code) == ("NoSuchKey", "NoSuchBucket")


class TestLogs:
    def test_group_and_stream_are_made_once(self, logs: Any) -> None:
        sink = CloudWatchLogs(logs)
        for _ in range(2):
            sink.create_stream("/aws/sagemaker/TrainingJobs", "job/algo-1-1")

        sink.put("/aws/sagemaker/TrainingJobs", "job/algo-1-1", [(NOW, "one"), (NOW + 1, "two")])

        streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
        assert [stream["logStreamName"] for stream in streams] == ["job/algo-1-1"]
        events = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="job/algo-1-1")
        assert [event["message"] for event in events["events"]] == ["one", "two"]

    def test_a_stream_that_was_lost_is_made_again_for_the_next_try(self, logs: Any) -> None:
        sink = CloudWatchLogs(logs)

        with pytest.raises(LogDeliveryError):
            sink.put("group", "stream", [(NOW, "one")])
        sink.put("group", "stream", [(NOW, "one")])

        assert logs.get_log_events(logGroupName="group", logStreamName="stream")["events"][0]["message"] == "one"
