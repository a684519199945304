"""Batch transform on the emulator: a dataset in S3 through a model, without an endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.compute.errors import ApiError
from tests.functional.endpoints.hosting_harness import (
    Hosting,
    World,
    archive,
    eventually,
    play,
    serving_processes,
)

# Answers each line in capitals, and says first with how many others it came.
LOUD = """
import os, time
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return (body if isinstance(body, str) else body.decode()).splitlines()
def predict_fn(lines, model):
    if "wait" in lines:
        open(os.environ["TMPDIR"] + "/waiting", "w").close()
        time.sleep(600)
    if "die" in lines:
        os._exit(3)
    if "bad" in lines:
        raise ValueError("not this")
    return [f"{len(lines)} {line.upper()} {os.environ.get('GREETING', '')}".strip() for line in lines]
def output_fn(lines, accept):
    return "\\n".join(lines), "text/csv"
"""
OUT = "s3://out/scores"


async def prepare(hosting: Hosting, **objects: str) -> None:
    """A model, and objects below s3://data/in/."""
    await hosting.create_model("loud", archive({"code/inference.py": LOUD}))
    for name, text in objects.items():
        hosting.world.objects.put(f"s3://data/in/{name.replace('_', '/')}.csv", text.encode())


def request(name: str = "t", **changes: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}}
    return {
        "TransformJobName": name,
        "ModelName": "loud",
        "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        "TransformOutput": {"S3OutputPath": OUT, "Accept": "text/csv", "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


async def ended(hosting: Hosting, name: str = "t") -> dict[str, Any]:
    return await until(hosting, name, lambda shown: shown["TransformJobStatus"] in ("Completed", "Failed", "Stopped"))


async def until(hosting: Hosting, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while not holds(shown := await hosting.call("DescribeTransformJob", TransformJobName=name)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return shown


def outputs(world: World) -> dict[str, str]:
    """What lies below `OUT`."""
    bucket, _, prefix = OUT.removeprefix("s3://").partition("/")
    found = {key: data for (held, key), data in world.objects.content.items() if held == bucket}
    return {key.removeprefix(f"{prefix}/"): data.decode() for key, data in found.items()}


class TestACompletedJob:
    def test_has_an_output_for_each_object_and_leaves_nothing_else(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one\ntwo\n", deep_b="three\n")
            await hosting.call("CreateTransformJob", **request())
            shown = await ended(hosting)
            assert shown["TransformJobStatus"] == "Completed", shown
            assert shown["TransformStartTime"] <= shown["TransformEndTime"]
            assert serving_processes(world) == []
            assert list((world.state / "transforms").iterdir()) == []

        play(world, scenario)
        assert outputs(world) == {"a.csv.out": "2 ONE\n2 TWO\n", "deep/b.csv.out": "1 THREE\n"}

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"BatchStrategy": "SingleRecord"}, "1 AA\n1 BB\n1 CC\n"),
            ({"BatchStrategy": "SingleRecord", "MaxConcurrentTransforms": 4}, "1 AA\n1 BB\n1 CC\n"),
            ({"BatchStrategy": "MultiRecord"}, "3 AA\n3 BB\n3 CC\n"),
            ({"Environment": {"GREETING": "hello"}}, "3 AA hello\n3 BB hello\n3 CC hello\n"),
        ],
    )
    def test_has_asked_for_records_as_it_was_told(self, world: World, changes: dict[str, Any], expected: str) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="aa\nbb\n\ncc")
            await hosting.call("CreateTransformJob", **request(**changes))
            assert (await ended(hosting))["TransformJobStatus"] == "Completed"

        play(world, scenario)
        assert outputs(world) == {"a.csv.out": expected}

    def test_has_put_no_more_into_a_request_than_a_payload_may_hold(self, world: World) -> None:
        line = "x" * (300 * 1024)

        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="\n".join([line] * 7))
            await hosting.call("CreateTransformJob", **request(MaxPayloadInMB=1))
            assert (await ended(hosting))["TransformJobStatus"] == "Completed"

        play(world, scenario)
        counts = [answer.split(" ")[0] for answer in outputs(world)["a.csv.out"].splitlines()]
        assert counts == ["3"] * 6 + ["1"]

    def test_has_taken_a_request_as_large_as_a_payload_may_be(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="x" * (30 * 1024 * 1024))
            wanted = request(MaxPayloadInMB=40, ModelClientConfig={"InvocationsMaxRetries": 0})
            wanted["TransformInput"]["SplitType"] = "None"
            await hosting.call("CreateTransformJob", **wanted)
            assert (await ended(hosting))["TransformJobStatus"] == "Completed"

        play(world, scenario)
        assert len(outputs(world)["a.csv.out"]) > 30 * 1024 * 1024

    def test_is_told_with_its_tags_and_found_in_the_list(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            made = await hosting.call("CreateTransformJob", **request(Tags=[{"Key": "team", "Value": "core"}]))
            await ended(hosting)
            listed = await hosting.call("ListTransformJobs", StatusEquals="Completed")
            assert [each["TransformJobArn"] for each in listed["TransformJobSummaries"]] == [made["TransformJobArn"]]
            await eventually(lambda: "Completed" in _told(world))

        play(world, scenario)
        assert _told(world) == ["InProgress", "InProgress", "Completed"]
        last = json.loads(world.control.events[-1]["Detail"])
        assert last["Tags"] == {"team": "core"}

    def test_shows_what_it_was_given_and_what_sagemaker_fills_in(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            await hosting.call("CreateTransformJob", **request(MaxPayloadInMB=2, DataProcessing={"InputFilter": "$"}))
            shown = await ended(hosting)
            assert (shown["MaxPayloadInMB"], shown["MaxConcurrentTransforms"]) == (2, 1)
            assert shown["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
            assert shown["TransformInput"] == {**request()["TransformInput"], "CompressionType": "None"}

        play(world, scenario)

    def test_does_not_mind_that_its_model_is_deleted(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            await hosting.call("CreateTransformJob", **request())
            await hosting.call("DeleteModel", ModelName="loud")
            assert (await ended(hosting))["TransformJobStatus"] == "Completed"

        play(world, scenario)


def _told(world: World) -> list[str]:
    """The statuses that events told."""
    details = [json.loads(each["Detail"]) for each in world.control.events if "Transform" in each["DetailType"]]
    return [detail["TransformJobStatus"] for detail in details]


class TestAFailedJob:
    def test_stores_what_could_be_transformed_and_its_log_says_what_could_not(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one", b="bad", c="three")
            await hosting.call("CreateTransformJob", **request(ModelClientConfig={"InvocationsMaxRetries": 0}))
            shown = await ended(hosting)
            assert shown["TransformJobStatus"] == "Failed"
            assert shown["FailureReason"] == "AlgorithmError: See job logs for more information"

        play(world, scenario)
        assert set(outputs(world)) == {"a.csv.out", "c.csv.out"}
        (said,) = (line for line in world.logs.lines() if "Bad HTTP status" in line)
        assert said.startswith("data/in/b.csv: Bad HTTP status received from algorithm: 500")
        assert "not this" in said

    def test_has_asked_again_a_container_that_died(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="die", b="two")
            await hosting.call("CreateTransformJob", **request(ModelClientConfig={"InvocationsMaxRetries": 1}))
            assert (await ended(hosting))["FailureReason"].startswith("AlgorithmError")

        play(world, scenario)
        assert set(outputs(world)) == {"b.csv.out"}

    @pytest.mark.parametrize(
        ("objects", "changes", "reason"),
        [
            ({}, {}, "ClientError: No S3 objects found"),
            ({"a": "x" * (2 * 1024 * 1024)}, {"MaxPayloadInMB": 1}, "ClientError: See job logs"),
        ],
    )
    def test_says_what_is_wrong_with_its_data(
        self, world: World, objects: dict[str, str], changes: dict[str, Any], reason: str
    ) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, **objects)
            await hosting.call("CreateTransformJob", **request(**changes))
            shown = await ended(hosting)
            assert shown["FailureReason"].startswith(reason)

        play(world, scenario)
        assert outputs(world) == {}

    def test_says_that_its_model_does_not_come_up(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            await hosting.create_model("broken", archive({"code/inference.py": "raise SystemExit(1)"}))
            await hosting.call("CreateTransformJob", **request(ModelName="broken"))
            shown = await ended(hosting)
            assert "did not pass the ping health check" in shown["FailureReason"]
            assert serving_processes(world) == []

        play(world, scenario)


class TestStopping:
    def test_stores_nothing_and_ends_the_process(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one", b="wait")
            await hosting.call("CreateTransformJob", **request())
            await eventually(lambda: list((world.state / "transforms").glob("*/**/waiting")) != [])
            await hosting.call("StopTransformJob", TransformJobName="t")
            assert (await ended(hosting))["TransformJobStatus"] == "Stopped"
            assert serving_processes(world) == []
            refused = await hosting.refused("StopTransformJob", TransformJobName="t")
            assert "is in status Stopped" in refused.message

        play(world, scenario)
        assert outputs(world) == {}

    def test_ends_one_that_has_not_begun(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            await asyncio.gather(
                hosting.call("CreateTransformJob", **request()),
                hosting.call("StopTransformJob", TransformJobName="t"),
            )
            assert (await ended(hosting))["TransformJobStatus"] == "Stopped"

        play(world, scenario)
        assert outputs(world) == {}

    def test_ends_one_that_waits_for_room(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="wait")
            for name in ("first", "second", "third"):
                await hosting.call("CreateTransformJob", **request(name))
            await eventually(lambda: len(list((world.state / "transforms").glob("*/**/waiting"))) == 2)
            for name in ("third", "first", "second"):
                await hosting.call("StopTransformJob", TransformJobName=name)
            for name in ("third", "first", "second"):
                assert (await ended(hosting, name))["TransformJobStatus"] == "Stopped"

        play(world, scenario)


class TestARestartOfTheEmulator:
    def test_begins_what_had_not_ended_again(self, world: World) -> None:
        async def first(hosting: Hosting) -> None:
            await prepare(hosting, a="wait", b="two")
            await hosting.call("CreateTransformJob", **request())
            await eventually(lambda: list((world.state / "transforms").glob("*/**/waiting")) != [])

        async def second(hosting: Hosting) -> None:
            assert (await ended(hosting))["TransformJobStatus"] == "Completed"

        play(world, first)
        assert serving_processes(world) == []
        world.objects.put("s3://data/in/a.csv", b"one")
        play(world, second)
        assert outputs(world) == {"a.csv.out": "1 ONE\n", "b.csv.out": "1 TWO\n"}

    def test_ends_what_was_being_stopped_and_leaves_nothing_of_it(self, world: World) -> None:
        async def first(hosting: Hosting) -> None:
            await prepare(hosting, a="wait")
            await hosting.call("CreateTransformJob", **request())
            await eventually(lambda: list((world.state / "transforms").glob("*/**/waiting")) != [])
            document = hosting.host.store.get("transform-job", "t")
            assert document is not None
            hosting.host.store.put("transform-job", "t", {**document, "status": "Stopping"})

        async def second(hosting: Hosting) -> None:
            assert (await ended(hosting))["TransformJobStatus"] == "Stopped"
            assert not (world.state / "transforms" / "t").exists()

        play(world, first)
        # As a kill leaves it.
        (world.state / "transforms" / "t").mkdir(parents=True, exist_ok=True)
        play(world, second)


class TestNames:
    def test_are_the_same_in_capitals(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            made = await hosting.call("CreateTransformJob", **request("MyJob"))
            refused = await hosting.refused("CreateTransformJob", **request("myjob"))
            assert refused.code == "ResourceInUse"
            assert (await ended(hosting, "MYJOB"))["TransformJobName"] == "MyJob"
            assert made["TransformJobArn"].endswith("transform-job/myjob")

        play(world, scenario)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ModelName": "nobody"}, "Could not find model"),
            ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must not exceed 100 MB"),
            ({"DataProcessing": {"JoinSource": "Input"}}, "Joining input and output"),
            ({"DataProcessing": {"InputFilter": "$[1:]"}}, "A filter"),
        ],
    )
    def test_of_what_can_not_be_done(self, world: World, changes: dict[str, Any], said: str) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            refused = await hosting.refused("CreateTransformJob", **request(**changes))
            assert said in refused.message

        play(world, scenario)

    @pytest.mark.parametrize(
        ("member", "value", "said"),
        [
            ("SplitType", "RecordIO", "SplitType RecordIO"),
            ("CompressionType", "Gzip", "Compressed input"),
            (
                "DataSource",
                {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://data/in/manifest"}},
                "S3DataType ManifestFile",
            ),
        ],
    )
    def test_of_input_that_the_emulator_does_not_read(self, world: World, member: str, value: Any, said: str) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            wanted = request()
            wanted["TransformInput"][member] = value
            refused = await hosting.refused("CreateTransformJob", **wanted)
            assert said in refused.message

        play(world, scenario)

    def test_of_a_name_that_is_taken_or_unknown(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await prepare(hosting, a="one")
            await hosting.call("CreateTransformJob", **request())
            refused: ApiError = await hosting.refused("CreateTransformJob", **request())
            assert refused.code == "ResourceInUse"
            unknown = await hosting.refused("DescribeTransformJob", TransformJobName="nobody")
            assert unknown.code == "ResourceNotFound"
            await ended(hosting)

        play(world, scenario)
