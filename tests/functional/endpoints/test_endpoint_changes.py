"""Endpoints that are changed, deleted, or met again after the emulator's end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import psutil

from tests.functional.endpoints.hosting_harness import (
    ECHO,
    Hosting,
    World,
    echo_model,
    eventually,
    play,
    serving_processes,
)

PROJECT = Path(__file__).parents[3]


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
