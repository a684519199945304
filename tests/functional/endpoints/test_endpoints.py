from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.compute.errors import ApiError
from tests.functional.endpoints.hosting_harness import (
    ECHO,
    IMAGE,
    QUICK,
    ROLE,
    Hosting,
    World,
    archive,
    echo_model,
    eventually,
    hosting,
    variant,
)

PROJECT = Path(__file__).parents[3]
Scenario = Callable[[Hosting], Coroutine[Any, Any, None]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def play(world: World, scenario: Scenario, **options: Any) -> None:
    """Runs a scenario against one emulator, start to stop."""

    async def run() -> None:
        async with hosting(world, **options) as hosted:
            await scenario(hosted)

    asyncio.run(run())


def serving_processes(world: World) -> list[psutil.Process]:
    """The serving processes on this world's state directory, found as the system sees them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(world.state) in " ".join(words) and "--model" in words and "guardian.py" not in " ".join(words):
            found.append(process)
    return found


class TestCreate:
    def test_an_endpoint_comes_into_service_and_answers(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            shown = await hosted.deploy("iris")
            assert shown["EndpointStatus"] == "InService"
            assert shown["EndpointArn"] == "arn:aws:sagemaker:us-east-1:000000000000:endpoint/iris"
            assert [v["VariantName"] for v in shown["ProductionVariants"]] == ["iris"]
            answer = await hosted.invoke("iris", ContentType="application/json")
            assert json.loads(answer["Body"]) == {"predictions": ["iris"]}
            assert answer["InvokedProductionVariant"] == "iris"
            assert answer["ContentType"] == "application/json"

        play(world, scenario)
        assert world.statuses("iris") == ["CREATING", "IN_SERVICE"]
        assert not serving_processes(world)

    def test_its_output_goes_to_the_log_group_of_the_endpoint(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")

        play(world, scenario)
        ((group, stream), lines) = next(iter(world.logs.streams.items()))
        assert group == "/aws/sagemaker/Endpoints/iris"
        assert stream.startswith("iris/i-")
        assert "loading" in lines

    def test_it_reads_the_model_data_with_the_role_of_the_model(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")

        play(world, scenario)
        assert set(world.objects.used_tokens) == {f"token of {ROLE}"}

    def test_the_container_gets_the_environment_of_the_model(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("iris", Environment={"GREETING": "hello"})
            await hosted.create_config("iris", iris=1)
            await hosted.call("CreateEndpoint", EndpointName="iris", EndpointConfigName="iris")
            await hosted.settled("iris")
            answer = await hosted.invoke("iris", b'{"environment": "GREETING"}')
            assert json.loads(answer["Body"]) == {"predictions": ["hello"]}

        play(world, scenario)

    @pytest.mark.parametrize(
        "code",
        [
            "def model_fn(model_dir):\n    raise RuntimeError('no such file')\n",
            "this is not Python",
            "import os; os._exit(0)",
        ],
        ids=["model_fn raises", "syntax error", "process ends"],
    )
    def test_a_model_that_does_not_load_fails_the_endpoint_as_on_aws(self, world: World, code: str) -> None:
        async def scenario(hosted: Hosting) -> None:
            shown = await hosted.deploy("broken", echo_model("broken", code))
            assert shown["EndpointStatus"] == "Failed"
            assert shown["FailureReason"] == (
                "The primary container for production variant broken did not pass the ping health check. Please check "
                "CloudWatch logs for this endpoint."
            )
            refused = await hosted.refused("InvokeEndpoint", EndpointName="broken", Body=b"{}")
            assert refused.code == "ValidationError"
            refused = await hosted.refused("UpdateEndpoint", EndpointName="broken", EndpointConfigName="broken")
            assert "in status Failed" in refused.message
            await hosted.call("DeleteEndpoint", EndpointName="broken")
            await hosted.gone("broken")

        play(world, scenario)
        assert not list((world.state / "endpoints" / "broken").iterdir())

    def test_a_model_that_loads_for_ever_fails_after_the_startup_time(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            code = "import time\ndef model_fn(model_dir):\n    time.sleep(600)\n"
            shown = await hosted.deploy("slow", echo_model("slow", code))
            assert shown["EndpointStatus"] == "Failed"
            assert "ping health check" in shown["FailureReason"]
            assert not serving_processes(world)

        from dataclasses import replace

        play(world, scenario, settings=replace(QUICK, startup_timeout=1.0))

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"this is no archive", "valid tar.gz archive"),
            (archive({"../outside": "x"}), "leads out of the model directory"),
            (archive({"/etc/absolute": "x"}), "leads out of the model directory"),
            (echo_model("cut")[:-20], "valid tar.gz archive"),
        ],
        ids=["no archive", "parent directory", "absolute path", "cut off"],
    )
    def test_a_bad_archive_fails_the_endpoint(self, world: World, data: bytes, says: str) -> None:
        async def scenario(hosted: Hosting) -> None:
            shown = await hosted.deploy("bad", data)
            assert shown["EndpointStatus"] == "Failed"
            assert says in shown["FailureReason"]

        play(world, scenario)
        assert not list(world.state.glob("**/outside"))

    def test_model_data_that_vanished_fails_the_endpoint(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("gone")
            await hosted.create_config("gone", gone=1)
            world.objects.content.clear()
            await hosted.call("CreateEndpoint", EndpointName="gone", EndpointConfigName="gone")
            shown = await hosted.settled("gone")
            assert "Failed to download model data" in shown["FailureReason"]

        play(world, scenario)

    def test_a_variant_gets_as_many_processes_as_the_cap_allows(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("many")
            await hosted.call(
                "CreateEndpointConfig", EndpointConfigName="many", ProductionVariants=[variant("many", count=5)]
            )
            await hosted.call("CreateEndpoint", EndpointName="many", EndpointConfigName="many")
            shown = await hosted.settled("many")
            assert shown["ProductionVariants"][0]["DesiredInstanceCount"] == 5
            assert len(serving_processes(world)) == QUICK.instance_cap

        play(world, scenario)

    def test_names_are_unique_whatever_their_case(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            refused = await hosted.refused("CreateEndpoint", EndpointName="IRIS", EndpointConfigName="iris")
            assert refused.code == "ValidationException"
            assert refused.message == (
                'Cannot create already existing endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/iris".'
            )
            refused = await hosted.refused("CreateEndpoint", EndpointName="other", EndpointConfigName="none")
            assert refused.message.startswith('Could not find endpoint configuration "arn:aws:sagemaker:')

        play(world, scenario)


class TestInvoke:
    def test_an_unknown_endpoint_and_an_unknown_variant_are_refused(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            refused = await hosted.refused("InvokeEndpoint", EndpointName="none", Body=b"{}")
            assert (refused.code, refused.status) == ("ValidationError", 400)
            assert refused.message == "Endpoint none of account 000000000000 not found."
            await hosted.deploy("iris")
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b"{}", TargetVariant="other")
            assert refused.message == "Variant other not found for Request"

        play(world, scenario)

    def test_an_error_of_the_model_is_a_model_error_without_a_trace(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"raise": 1}')
            assert (refused.code, refused.status) == ("ModelError", 424)
            assert refused.members["OriginalStatusCode"] == 500
            assert "KeyError: 'missing thing'" in refused.members["OriginalMessage"]
            assert "Traceback" not in refused.message
            assert refused.message.startswith("Received server error (500) from primary with message")
            assert refused.members["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/iris")

        play(world, scenario)
        assert any("Traceback" in line for line in world.logs.lines())

    def test_an_answer_that_takes_too_long_is_a_model_error(self, world: World) -> None:
        from dataclasses import replace

        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"sleep": 30}')
            assert refused.code == "ModelError"
            assert "timed out while waiting for a response from container primary" in refused.message

        play(world, scenario, settings=replace(QUICK, request_timeout=0.3, drain_timeout=0.1, stop_grace=0.1))

    def test_an_answer_larger_than_the_limit_is_a_model_error(self, world: World) -> None:
        from dataclasses import replace

        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"large": 5000}')
            assert "larger than 1000 bytes" in refused.message

        play(world, scenario, settings=replace(QUICK, payload_bytes=1000))

    def test_traffic_follows_the_weights(self, world: World) -> None:
        throws = iter([0.0, 0.2, 0.74, 0.76, 0.99])

        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("a")
            await hosted.create_model("b")
            await hosted.create_config("ab", a=3, b=1)
            await hosted.call("CreateEndpoint", EndpointName="ab", EndpointConfigName="ab")
            await hosted.settled("ab")
            assert [await hosted.speaker("ab") for _ in range(5)] == ["a", "a", "a", "b", "b"]
            answer = await hosted.invoke("ab", TargetVariant="b")
            assert answer["InvokedProductionVariant"] == "b"

        play(world, scenario, dice=lambda: next(throws))

    def test_weights_change_while_the_endpoint_serves(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("a")
            await hosted.create_model("b")
            await hosted.create_config("ab", a=1, b=0)
            await hosted.call("CreateEndpoint", EndpointName="ab", EndpointConfigName="ab")
            await hosted.settled("ab")
            assert await hosted.speaker("ab") == "a"
            change = [{"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredWeight": 1.0}]
            await hosted.call(
                "UpdateEndpointWeightsAndCapacities", EndpointName="ab", DesiredWeightsAndCapacities=change
            )
            shown = await hosted.settled("ab")
            assert [v["CurrentWeight"] for v in shown["ProductionVariants"]] == [0.0, 1.0]
            assert await hosted.speaker("ab") == "b"
            more = [{"VariantName": "b", "DesiredInstanceCount": 2}]
            await hosted.call("UpdateEndpointWeightsAndCapacities", EndpointName="ab", DesiredWeightsAndCapacities=more)
            await hosted.settled("ab")
            assert len(serving_processes(world)) == 3
            refused = await hosted.refused(
                "UpdateEndpointWeightsAndCapacities",
                EndpointName="ab",
                DesiredWeightsAndCapacities=[{"VariantName": "b", "DesiredWeight": 0.0}],
            )
            assert "weight greater than zero" in refused.message

        play(world, scenario)


class TestDeathOfAProcess:
    def test_a_process_that_dies_is_started_again(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            (before,) = serving_processes(world)
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"die": 1}')
            assert refused.code == "ModelError"
            assert refused.members["OriginalStatusCode"] == 0
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b"{}")
            assert (refused.code, refused.status) == ("ServiceUnavailable", 503)
            assert await hosted.speaks_again("iris") == "iris"
            (after,) = serving_processes(world)
            assert after.pid != before.pid
            shown = await hosted.call("DescribeEndpoint", EndpointName="iris")
            assert shown["EndpointStatus"] == "InService"

        play(world, scenario)

    def test_a_process_that_is_killed_from_outside_is_started_again(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            for _ in range(2):
                serving_processes(world)[0].kill()
                await asyncio.sleep(0.05)
                assert await hosted.speaks_again("iris") == "iris"

        play(world, scenario)

    def test_another_instance_answers_while_one_is_down(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("two")
            variants = [variant("two", count=2)]
            await hosted.call("CreateEndpointConfig", EndpointConfigName="two", ProductionVariants=variants)
            await hosted.call("CreateEndpoint", EndpointName="two", EndpointConfigName="two")
            await hosted.settled("two")
            await hosted.refused("InvokeEndpoint", EndpointName="two", Body=b'{"die": 1}')
            for _ in range(20):
                assert await hosted.speaker("two") == "two"

        from dataclasses import replace

        play(world, scenario, settings=replace(QUICK, restart_first=5.0, restart_most=5.0))


class TestUpdate:
    async def prepare(self, hosted: Hosting, data: bytes | None = None) -> None:
        await hosted.deploy("first")
        await hosted.create_model("second", data)
        await hosted.create_config("second", second=1)

    def test_an_update_under_load_loses_no_request(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await self.prepare(hosted)
            answered: list[str] = []
            updated = asyncio.Event()

            async def caller() -> None:
                while not updated.is_set():
                    answer = await hosted.invoke("first", b'{"sleep": 0.002}')
                    answered.append(json.loads(answer["Body"])["predictions"][0])

            callers = [asyncio.create_task(caller()) for _ in range(8)]
            # One that is in the old process while the traffic moves.
            straggler = asyncio.create_task(hosted.invoke("first", b'{"sleep": 1.5}'))
            await hosted.call("UpdateEndpoint", EndpointName="first", EndpointConfigName="second")
            shown = await hosted.call("DescribeEndpoint", EndpointName="first")
            assert shown["EndpointStatus"] == "Updating"
            assert shown["EndpointConfigName"] == "first"
            assert shown["PendingDeploymentSummary"]["EndpointConfigName"] == "second"
            shown = await hosted.settled("first")
            assert shown["EndpointConfigName"] == "second"
            moved = len(answered)
            await eventually(lambda: len(answered) >= moved + 50)
            updated.set()
            await asyncio.gather(*callers)
            assert json.loads((await straggler)["Body"])["predictions"] == ["first"]
            assert answered[0] == "first"
            assert answered[-1] == "second"
            assert len(answered) > 20
            await eventually(lambda: len(serving_processes(world)) == 1)
            await eventually(lambda: len(list((world.state / "endpoints" / "first").iterdir())) == 1)

        play(world, scenario)
        assert world.statuses("first") == ["CREATING", "IN_SERVICE", "UPDATING", "IN_SERVICE"]

    def test_an_update_to_a_broken_model_rolls_back(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await self.prepare(hosted, echo_model("second", "import nothing_of_that_name"))
            await hosted.call("UpdateEndpoint", EndpointName="first", EndpointConfigName="second")
            assert await hosted.speaker("first") == "first"
            shown = await hosted.settled("first")
            assert shown["EndpointStatus"] == "InService"
            assert shown["EndpointConfigName"] == "first"
            assert "production variant second did not pass the ping health check" in shown["FailureReason"]
            assert await hosted.speaker("first") == "first"
            assert len(serving_processes(world)) == 1

        play(world, scenario)

    def test_an_endpoint_in_progress_can_be_neither_updated_nor_deleted(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await self.prepare(hosted)
            await hosted.call("UpdateEndpoint", EndpointName="first", EndpointConfigName="second")
            for operation in ("UpdateEndpoint", "DeleteEndpoint"):
                refused = await hosted.refused(operation, EndpointName="first", EndpointConfigName="second")
                assert refused.message.startswith('Cannot update in-progress endpoint "arn:aws:sagemaker:')
            await hosted.settled("first")

        play(world, scenario)

    def test_deleting_the_model_and_the_configuration_leaves_the_endpoint_alone(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            await hosted.call("DeleteEndpointConfig", EndpointConfigName="iris")
            await hosted.call("DeleteModel", ModelName="iris")
            assert await hosted.speaker("iris") == "iris"

        play(world, scenario)

    def test_retained_properties_survive_the_update(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            change = [{"VariantName": "iris", "DesiredWeight": 7.0}]
            await hosted.call(
                "UpdateEndpointWeightsAndCapacities", EndpointName="iris", DesiredWeightsAndCapacities=change
            )
            await hosted.settled("iris")
            await hosted.create_config("again", iris=1)
            await hosted.call(
                "UpdateEndpoint", EndpointName="iris", EndpointConfigName="again", RetainAllVariantProperties=True
            )
            shown = await hosted.settled("iris")
            assert shown["EndpointConfigName"] == "again"
            assert shown["ProductionVariants"][0]["CurrentWeight"] == 7.0

        play(world, scenario)


class TestDelete:
    def test_requests_in_progress_are_answered_before_the_process_ends(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            last = asyncio.create_task(hosted.invoke("iris", b'{"sleep": 0.5}'))
            await asyncio.sleep(0.1)
            await hosted.call("DeleteEndpoint", EndpointName="iris")
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b"{}")
            assert refused.code == "ValidationError"
            assert json.loads((await last)["Body"]) == {"predictions": ["iris"]}
            await hosted.gone("iris")
            assert not serving_processes(world)
            refused = await hosted.refused("DeleteEndpoint", EndpointName="iris")
            assert refused.message.startswith('Could not find endpoint "arn:')
            await hosted.call("CreateEndpoint", EndpointName="iris", EndpointConfigName="iris")
            assert (await hosted.settled("iris"))["EndpointStatus"] == "InService"

        play(world, scenario)
        assert world.statuses("iris")[:4] == ["CREATING", "IN_SERVICE", "DELETING", "DELETING"]


class TestAfterARestart:
    def test_an_endpoint_in_service_comes_up_by_itself_without_its_model_data(self, world: World) -> None:
        async def first(hosted: Hosting) -> None:
            await hosted.deploy("iris")

        async def second(hosted: Hosting) -> None:
            shown = await hosted.call("DescribeEndpoint", EndpointName="iris")
            assert shown["EndpointStatus"] == "InService"
            assert await hosted.speaks_again("iris") == "iris"

        play(world, first)
        assert not serving_processes(world)
        world.objects.content.clear()
        play(world, second)

    def test_a_killed_emulator_leaves_no_process_and_no_endpoint_behind(self, world: World) -> None:
        command = [sys.executable, "-m", "tests.functional.endpoints.abandoned_emulator", str(world.state)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as emulator:
            assert emulator.stdout is not None
            assert emulator.stdout.readline() == b"in service\n"
            orphans = serving_processes(world)
            assert len(orphans) == 1
            emulator.kill()
            _, alive = psutil.wait_procs(orphans, timeout=10)
            assert not alive

        async def afterwards(hosted: Hosting) -> None:
            shown = await hosted.call("DescribeEndpoint", EndpointName="iris")
            assert shown["EndpointStatus"] == "InService"
            assert await hosted.speaks_again("iris") == "iris"

        play(world, afterwards)

    def test_what_was_being_created_updated_or_deleted_is_taken_up_again(self, world: World) -> None:
        async def first(hosted: Hosting) -> None:
            await hosted.deploy("updating")
            await hosted.deploy("deleting")
            slow = ECHO.replace('print("loading", flush=True)', "time.sleep(0.3)")
            await hosted.create_model("next", echo_model("next", slow))
            await hosted.create_config("next", next=1)
            await hosted.call("CreateEndpoint", EndpointName="creating", EndpointConfigName="next")
            await hosted.call("UpdateEndpoint", EndpointName="updating", EndpointConfigName="next")
            await hosted.call("DeleteEndpoint", EndpointName="deleting")

        async def second(hosted: Hosting) -> None:
            await hosted.gone("deleting")
            assert (await hosted.settled("creating"))["EndpointStatus"] == "InService"
            shown = await hosted.settled("updating")
            assert shown["EndpointConfigName"] == "next"
            assert await hosted.speaks_again("updating") == "next"

        play(world, first)
        play(world, second)
        assert not serving_processes(world)


class TestRequests:
    def test_listing_filters_sorts_and_pages(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            for name in ("alpha", "beta", "gamma"):
                await hosted.create_model(name)
            page = await hosted.call("ListModels", SortBy="Name", SortOrder="Ascending", MaxResults=2)
            assert [m["ModelName"] for m in page["Models"]] == ["alpha", "beta"]
            rest = await hosted.call(
                "ListModels", SortBy="Name", SortOrder="Ascending", MaxResults=2, NextToken=page["NextToken"]
            )
            assert [m["ModelName"] for m in rest["Models"]] == ["gamma"]
            assert rest["NextToken"] is None
            found = await hosted.call("ListModels", NameContains="ET")
            assert [m["ModelName"] for m in found["Models"]] == ["beta"]
            assert (await hosted.call("ListEndpoints"))["Endpoints"] == []

        play(world, scenario)

    def test_model_data_that_is_not_there_is_refused(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            container = {"Image": IMAGE, "ModelDataUrl": "s3://models/none.tar.gz"}
            refused = await hosted.refused(
                "CreateModel", ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE
            )
            assert refused.message == "Could not find model data at s3://models/none.tar.gz."

        play(world, scenario)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"DataCaptureConfig": {"DestinationS3Uri": "s3://x"}}, "Data capture is not supported"),
            ({"ProductionVariants": [variant("iris"), variant("iris")]}, "Duplicate variant names"),
            ({"ProductionVariants": [variant("other")]}, 'Could not find model "arn:aws:sagemaker:'),
            ({"ProductionVariants": [{"VariantName": "v", "ModelName": "iris"}]}, "InstanceType is missing"),
        ],
    )
    def test_a_configuration_that_cannot_run_is_refused(self, world: World, changes: dict[str, Any], says: str) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("iris")
            request = {"EndpointConfigName": "c", "ProductionVariants": [variant("iris")], **changes}
            refused = await hosted.refused("CreateEndpointConfig", **request)
            assert refused.code == "ValidationException"
            assert says in refused.message

        play(world, scenario)

    def test_a_role_that_cannot_be_assumed_is_refused(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            world.control.unknown_roles.add(ROLE)
            with pytest.raises(ApiError, match="may not assume"):
                await hosted.create_model("iris")

        play(world, scenario)

    def test_tags_are_kept_on_each_kind_of_resource(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            for kind in ("model", "endpoint-config", "endpoint"):
                arn = f"arn:aws:sagemaker:us-east-1:000000000000:{kind}/iris"
                await hosted.call("AddTags", ResourceArn=arn, Tags=[{"Key": "team", "Value": "blue"}])
                listed = await hosted.call("ListTags", ResourceArn=arn)
                assert listed["Tags"] == [{"Key": "team", "Value": "blue"}]

        play(world, scenario)
