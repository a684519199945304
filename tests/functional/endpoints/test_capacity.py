"""What the account may not have, and AWS has not: refused or failed in SageMaker's words, while what serves goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from localcloud.compute.errors import ResourceLimitExceeded
from localcloud.compute.hosting.capacity import OUT_OF_CAPACITY
from tests.functional.endpoints.hosting_harness import (
    QUICK,
    Hosting,
    World,
    echo_model,
    play,
    serving_processes,
    variant,
)
from tests.functional.endpoints.test_scaling import OURS, load, scaled, tracking

HANGS = "import threading\ndef model_fn(model_dir):\n    threading.Event().wait()\n"


def allow(hosted: Hosting, **limits: int) -> None:
    """What endpoints may have of `m5_large` or `serverless`."""
    names = {"m5_large": "ml.m5.large", "serverless": "serverless"}
    hosted.host.limits.change({"endpoints": {names[name]: limit for name, limit in limits.items()}})


def inject(hosted: Hosting, **rule: Any) -> None:
    hosted.host.faults.replace({"rules": [rule]})


async def change(hosted: Hosting, count: int) -> None:
    wanted = [{"VariantName": "first", "DesiredInstanceCount": count}]
    await hosted.call("UpdateEndpointWeightsAndCapacities", EndpointName="first", DesiredWeightsAndCapacities=wanted)


async def prepared(hosted: Hosting, data: bytes | None = None) -> None:
    """An endpoint with one instance, and a configuration with two that it could be updated to."""
    await hosted.deploy("first")
    await hosted.create_model("second", data)
    await hosted.call(
        "CreateEndpointConfig", EndpointConfigName="second", ProductionVariants=[variant("second", count=2)]
    )


class TestALimit:
    def test_refuses_an_endpoint_and_leaves_none_behind(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await prepared(hosted)
            allow(hosted, m5_large=2)
            refused = await hosted.refused("CreateEndpoint", EndpointName="other", EndpointConfigName="second")
            assert refused.code == "ResourceLimitExceeded"
            assert (
                "limit 'ml.m5.large for endpoint usage' is 2 Instances, with current utilization of 1 Instances and a "
                "request delta of 2 Instances"
            ) in refused.message
            assert len((await hosted.call("ListEndpoints"))["Endpoints"]) == 1
            allow(hosted, m5_large=3)
            await hosted.call("CreateEndpoint", EndpointName="other", EndpointConfigName="second")
            await hosted.settled("other")

        play(world, scenario)

    def test_counts_the_instances_of_an_update_beside_the_old_ones(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await prepared(hosted)
            allow(hosted, m5_large=2)
            refused = await hosted.refused("UpdateEndpoint", EndpointName="first", EndpointConfigName="second")
            assert refused.code == "ResourceLimitExceeded"
            shown = await hosted.call("DescribeEndpoint", EndpointName="first")
            assert (shown["EndpointStatus"], shown["EndpointConfigName"]) == ("InService", "first")
            assert await hosted.speaker("first") == "first"
            allow(hosted, m5_large=3)
            await hosted.call("UpdateEndpoint", EndpointName="first", EndpointConfigName="second")
            # Until it has settled both are there.
            refused = await hosted.refused("CreateEndpoint", EndpointName="other", EndpointConfigName="first")
            assert "current utilization of 3 Instances" in refused.message
            await hosted.settled("first")
            await hosted.call("CreateEndpoint", EndpointName="other", EndpointConfigName="first")
            await hosted.settled("other")

        play(world, scenario)

    def test_counts_only_what_an_endpoint_grows_by(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await prepared(hosted)
            allow(hosted, m5_large=2)
            with pytest.raises(ResourceLimitExceeded, match="of 1 Instances and a request delta of 2 Instances"):
                await change(hosted, 3)
            await change(hosted, 2)
            await hosted.settled("first")
            allow(hosted, m5_large=0)
            await change(hosted, 1)
            shown = await hosted.settled("first")
            assert shown["ProductionVariants"][0]["CurrentInstanceCount"] == 1

        play(world, scenario)

    def test_is_free_again_of_what_failed_or_was_deleted(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            allow(hosted, m5_large=1)
            assert (await hosted.deploy("broken", echo_model("broken", "raise")))["EndpointStatus"] == "Failed"
            await hosted.deploy("one")
            await hosted.call("DeleteEndpoint", EndpointName="one")
            await hosted.gone("one")
            assert (await hosted.deploy("two"))["EndpointStatus"] == "InService"

        play(world, scenario)

    def test_of_serverless_endpoints_is_their_concurrency(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.create_model("seldom")
            seldom = {
                "VariantName": "seldom",
                "ModelName": "seldom",
                "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5},
            }
            await hosted.call("CreateEndpointConfig", EndpointConfigName="seldom", ProductionVariants=[seldom])
            allow(hosted, serverless=4, m5_large=0)
            refused = await hosted.refused("CreateEndpoint", EndpointName="seldom", EndpointConfigName="seldom")
            assert "across all serverless endpoints' is 4 None, with current utilization of 0" in refused.message
            allow(hosted, serverless=5)
            await hosted.call("CreateEndpoint", EndpointName="seldom", EndpointConfigName="seldom")
            assert (await hosted.settled("seldom"))["EndpointStatus"] == "InService"

        play(world, scenario)


class TestMissingCapacity:
    def test_fails_a_new_endpoint(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            inject(hosted, fault="no_capacity", operation="CreateEndpoint", name_prefix="fi")
            shown = await hosted.deploy("first")
            assert (shown["EndpointStatus"], shown["FailureReason"]) == ("Failed", OUT_OF_CAPACITY)
            assert (await hosted.deploy("other"))["EndpointStatus"] == "InService"
            await hosted.call("DeleteEndpoint", EndpointName="first")
            await hosted.gone("first")

        play(world, scenario)
        assert world.statuses("first")[:2] == ["CREATING", "FAILED"]

    @pytest.mark.parametrize("operation", ["UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"])
    def test_leaves_what_serves_as_it_was(self, world: World, operation: str) -> None:
        async def scenario(hosted: Hosting) -> None:
            await prepared(hosted)
            inject(hosted, fault="no_capacity", operation=operation)
            if operation == "UpdateEndpoint":
                await hosted.call(operation, EndpointName="first", EndpointConfigName="second")
            else:
                await change(hosted, 2)
            assert await hosted.speaker("first") == "first"
            shown = await hosted.settled("first")
            assert (shown["EndpointStatus"], shown["FailureReason"]) == ("InService", OUT_OF_CAPACITY)
            assert (shown["EndpointConfigName"], shown["ProductionVariants"][0]["CurrentInstanceCount"]) == ("first", 1)
            assert await hosted.speaker("first") == "first"
            assert len(serving_processes(world)) == 1

        play(world, scenario)

    def test_is_nothing_to_an_endpoint_that_needs_no_more(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await prepared(hosted)
            await change(hosted, 2)
            await hosted.settled("first")
            inject(hosted, fault="no_capacity")
            await change(hosted, 1)
            shown = await hosted.settled("first")
            assert (shown.get("FailureReason"), len(serving_processes(world))) == (None, 1)

        play(world, scenario)


class TestAContainerThatNeverAnswersThePing:
    def test_is_given_up_after_its_time_and_what_serves_goes_on(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await prepared(hosted, echo_model("second", HANGS))
            inject(hosted, fault="ping_timeout", operation="UpdateEndpoint", seconds=1)
            await hosted.call("UpdateEndpoint", EndpointName="first", EndpointConfigName="second")
            assert await hosted.speaker("first") == "first"
            shown = await hosted.settled("first")
            assert "production variant second did not pass the ping health check" in shown["FailureReason"]
            assert await hosted.speaker("first") == "first"
            assert len(serving_processes(world)) == 1

        play(world, scenario)

    def test_fails_a_new_endpoint(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            shown = await hosted.deploy("first", echo_model("first", HANGS))
            assert shown["EndpointStatus"] == "Failed"
            assert not serving_processes(world)

        play(world, scenario, settings=replace(QUICK, startup_timeout=1.0))


class TestAutoScaling:
    @pytest.mark.parametrize("lacking", ["limit", "capacity"])
    def test_that_gets_no_instance_says_so_and_the_endpoint_serves(self, world: World, lacking: str) -> None:
        async def scenario(hosted: Hosting) -> None:
            await scaled(hosted, **tracking())
            if lacking == "limit":
                allow(hosted, m5_large=1)
                why = "'ml.m5.large for endpoint usage' is 1 Instances"
            else:
                inject(hosted, fault="no_capacity")
                why = OUT_OF_CAPACITY
            done = asyncio.Event()
            asking = asyncio.create_task(load(hosted, done))
            failed = await activity(hosted, "Failed")
            assert failed["StatusMessage"].startswith("Failed to set desired instance count to 2. Reason: ")
            assert why in failed["StatusMessage"]
            done.set()
            await asking
            assert await hosted.speaks_again("one") == "one"
            shown = await hosted.settled("one")
            assert shown["ProductionVariants"][0]["CurrentInstanceCount"] == 1

        play(world, scenario)

    def test_gets_its_instance_once_the_limit_is_raised(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await scaled(hosted)
            allow(hosted, m5_large=1)
            await hosted.call("RegisterScalableTarget", **OURS, MinCapacity=2, MaxCapacity=2)
            await activity(hosted, "Failed")
            allow(hosted, m5_large=2)
            await activity(hosted, "Successful")
            found = await hosted.call("DescribeScalingActivities", ServiceNamespace="sagemaker")
            assert [each["StatusCode"] for each in found["ScalingActivities"]] == ["Successful", "Failed"]

        play(world, scenario)


async def activity(hosted: Hosting, status: str) -> dict[str, Any]:
    """Waits for one that has ended so."""
    async with asyncio.timeout(30):
        while True:
            found = await hosted.call("DescribeScalingActivities", ServiceNamespace="sagemaker")
            for each in found["ScalingActivities"]:
                if each["StatusCode"] == status:
                    return dict(each)
            await asyncio.sleep(0.02)
