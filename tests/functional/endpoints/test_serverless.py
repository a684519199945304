"""A serverless variant has a process while it is used, and none while it is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from localcloud.compute.errors import ApiError
from tests.functional.endpoints.hosting_harness import (
    QUICK,
    Hosting,
    World,
    eventually,
    play,
    serving_processes,
    variant,
)

RESTING = replace(QUICK, serverless_idle=0.5)
SMALL = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}


def serverless(model: str, **changes: Any) -> dict[str, Any]:
    found = variant(model, ServerlessConfig={**SMALL, **changes})
    del found["InstanceType"], found["InitialInstanceCount"]
    return found


async def deploy(hosting: Hosting, name: str = "one", **changes: Any) -> dict[str, Any]:
    await hosting.create_model(name)
    await hosting.call(
        "CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[serverless(name, **changes)]
    )
    await hosting.call("CreateEndpoint", EndpointName=name, EndpointConfigName=name)
    return await hosting.settled(name)


class TestAServerlessEndpoint:
    def test_has_no_process_while_nobody_asks_and_one_when_somebody_does(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            shown = await deploy(hosting)
            (found,) = shown["ProductionVariants"]
            assert found["CurrentServerlessConfig"] == SMALL
            assert "CurrentInstanceCount" not in found
            await eventually(lambda: serving_processes(world) == [])
            assert await hosting.speaker("one") == "one"
            assert len(serving_processes(world)) == 1
            await eventually(lambda: serving_processes(world) == [])

        play(world, scenario, settings=RESTING)

    def test_answers_all_that_wake_it_together_with_one_process(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            await eventually(lambda: serving_processes(world) == [])
            asked = await asyncio.gather(*(hosting.speaker("one") for _ in range(2)))
            assert asked == ["one", "one"]
            assert len(serving_processes(world)) == 1

        play(world, scenario, settings=RESTING)

    def test_is_not_put_to_rest_while_it_answers(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            assert (await hosting.invoke("one", b'{"sleep": 1.5}'))["InvokedProductionVariant"] == "one"

        play(world, scenario, settings=RESTING)

    def test_takes_no_more_at_once_than_it_was_made_for(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            asked = [hosting.invoke("one", b'{"sleep": 0.5}') for _ in range(4)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            refused = [each for each in answers if isinstance(each, ApiError)]
            assert {error.code for error in refused} == {"ThrottlingException"}
            assert len(refused) == 2

        play(world, scenario)

    def test_sleeps_through_a_restart_of_the_emulator(self, world: World) -> None:
        async def first(hosting: Hosting) -> None:
            await deploy(hosting)

        async def second(hosting: Hosting) -> None:
            assert serving_processes(world) == []
            assert await hosting.speaker("one") == "one"

        play(world, first)
        play(world, second)

    def test_whose_container_does_not_come_up_fails(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await hosting.create_model("bad", b"no archive")
            await hosting.call("CreateEndpointConfig", EndpointConfigName="bad", ProductionVariants=[serverless("bad")])
            await hosting.call("CreateEndpoint", EndpointName="bad", EndpointConfigName="bad")
            assert (await hosting.settled("bad"))["EndpointStatus"] == "Failed"

        play(world, scenario)


class TestRefusals:
    def test_of_a_second_variant(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            for name in ("one", "two"):
                await hosting.create_model(name)
            both = [serverless("one"), serverless("two")]
            refused = await hosting.refused("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=both)
            assert "only one production variant" in refused.message

        play(world, scenario)

    @pytest.mark.parametrize("to_serverless", [True, False])
    def test_there_is_a_way_from_instances_and_none_back(self, world: World, to_serverless: bool) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            await hosting.create_config("instances", one=1.0)
            update = {"EndpointName": "one", "EndpointConfigName": "instances"}
            refused = await hosting.refused("UpdateEndpoint", **update)
            assert "cannot be updated to use instances" in refused.message
            if to_serverless:
                await hosting.deploy("other")
                await hosting.call("UpdateEndpoint", EndpointName="other", EndpointConfigName="one")
                shown = await hosting.settled("other")
                assert shown["EndpointConfigName"] == "one"

        play(world, scenario)

    def test_of_auto_scaling(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            refused = await hosting.refused(
                "RegisterScalableTarget",
                ServiceNamespace="sagemaker",
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
                ResourceId="endpoint/one/variant/one",
                MinCapacity=1,
                MaxCapacity=2,
            )
            assert refused.code == "ValidationException"

        play(world, scenario)
