"""Auto scaling adds and removes serving processes, and refuses what AWS refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.functional.endpoints.hosting_harness import Hosting, World, eventually, play, serving_processes, variant

OF = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
OURS = {**OF, "ResourceId": "endpoint/one/variant/one"}
QUEUE = "SageMakerVariantConcurrentRequestsPerModelHighResolution"


def tracking(metric: str = QUEUE, target: float = 2.0, **changes: Any) -> dict[str, Any]:
    configuration = {
        "TargetValue": target,
        "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        "ScaleOutCooldown": 0,
        "ScaleInCooldown": 0,
        **changes,
    }
    return {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": configuration}


def on_cpu(**dimensions: str) -> dict[str, Any]:
    specification = {
        "MetricName": "CPUUtilization",
        "Namespace": "/aws/sagemaker/Endpoints",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Statistic": "Average",
        "Unit": "Percent",
    }
    made = tracking(CustomizedMetricSpecification=specification)
    del made["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    return made


async def scaled(hosting: Hosting, least: int = 1, most: int = 2, **policy: Any) -> None:
    await hosting.deploy("one")
    await hosting.call("RegisterScalableTarget", **OURS, MinCapacity=least, MaxCapacity=most)
    if policy:
        await hosting.call("PutScalingPolicy", **OURS, PolicyName="queue", **policy)


async def load(hosting: Hosting, done: asyncio.Event, callers: int = 12) -> None:
    async def ask() -> None:
        while not done.is_set():
            await hosting.invoke("one", b'{"sleep": 0.05}')

    await asyncio.gather(*(ask() for _ in range(callers)))


class TestInstances:
    def test_are_added_under_load_and_removed_after_it(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await scaled(hosting, **tracking())
            done = asyncio.Event()
            asking = asyncio.create_task(load(hosting, done))
            await eventually(lambda: len(serving_processes(world)) == 2)
            shown = await hosting.until("one", lambda shown: shown["EndpointStatus"] == "InService")
            assert shown["ProductionVariants"][0]["CurrentInstanceCount"] == 2
            done.set()
            await asking
            await eventually(lambda: len(serving_processes(world)) == 1)
            await hosting.until("one", lambda shown: shown["EndpointStatus"] == "InService")
            await asyncio.sleep(0.2)
            found = await hosting.call("DescribeScalingActivities", ServiceNamespace="sagemaker")
            removed, added = found["ScalingActivities"][:2]
            assert "policy queue" in added["Cause"]
            assert "to 2" in added["Description"]
            assert added["StatusCode"] == "Successful"
            assert "to 1" in removed["Description"]

        play(world, scenario)

    def test_are_as_many_as_the_least_from_the_start(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await scaled(hosting, least=2)
            await eventually(lambda: len(serving_processes(world)) == 2)

        play(world, scenario)

    def test_stay_as_they_are_when_the_target_is_deregistered(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await scaled(hosting, least=2)
            await eventually(lambda: len(serving_processes(world)) == 2)
            await hosting.settled("one")
            await hosting.call("DeregisterScalableTarget", **OURS)
            await asyncio.sleep(0.5)
            assert len(serving_processes(world)) == 2

        play(world, scenario)


class TestTargets:
    def test_are_kept_through_a_kill_and_go_with_their_endpoint(self, world: World) -> None:
        async def first(hosting: Hosting) -> None:
            await scaled(hosting, **tracking())

        async def second(hosting: Hosting) -> None:
            targets = await hosting.call("DescribeScalableTargets", ServiceNamespace="sagemaker")
            assert [(each["MinCapacity"], each["MaxCapacity"]) for each in targets["ScalableTargets"]] == [(1, 2)]
            policies = await hosting.call("DescribeScalingPolicies", ServiceNamespace="sagemaker")
            assert [each["PolicyName"] for each in policies["ScalingPolicies"]] == ["queue"]
            await hosting.settled("one")
            await hosting.call("DeleteEndpoint", EndpointName="one")
            await hosting.gone("one")
            await asyncio.sleep(0.3)
            for kind in ("ScalableTargets", "ScalingPolicies"):
                assert (await hosting.call(f"Describe{kind}", ServiceNamespace="sagemaker"))[kind] == []

        play(world, first)
        play(world, second)

    def test_keep_their_instance_type(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await scaled(hosting)
            other = variant("one", InstanceType="ml.m5.xlarge")
            await hosting.call("CreateEndpointConfig", EndpointConfigName="larger", ProductionVariants=[other])
            refused = await hosting.refused("UpdateEndpoint", EndpointName="one", EndpointConfigName="larger")
            assert "deregister it from auto scaling" in refused.message
            await hosting.call("DeregisterScalableTarget", **OURS)
            await hosting.call("UpdateEndpoint", EndpointName="one", EndpointConfigName="larger")
            await hosting.settled("one")

        play(world, scenario)

    def test_are_registered_again_with_other_bounds(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await scaled(hosting)
            await hosting.call("RegisterScalableTarget", **OURS, MaxCapacity=7)
            (target,) = (await hosting.call("DescribeScalableTargets", ServiceNamespace="sagemaker"))["ScalableTargets"]
            assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 7)

        play(world, scenario)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ResourceId": "endpoint/none/variant/one"}, "does not exist"),
            ({"ResourceId": "endpoint/one/variant/none"}, "does not exist"),
            ({"ResourceId": "table/jobs"}, "Unsupported resource ID"),
            ({"ServiceNamespace": "ecs"}, "Unsupported service namespace"),
            ({"MinCapacity": 0}, "at least 1"),
            ({"MinCapacity": 3}, "cannot be less"),
            ({"MaxCapacity": None}, "Both"),
        ],
    )
    def test_of_a_target(self, world: World, changes: dict[str, Any], said: str) -> None:
        async def scenario(hosting: Hosting) -> None:
            await hosting.deploy("one")
            params = {**OURS, "MinCapacity": 1, "MaxCapacity": 2, **changes}
            given = {name: value for name, value in params.items() if value is not None}
            assert said in (await hosting.refused("RegisterScalableTarget", **given)).message

        play(world, scenario)

    @pytest.mark.parametrize(
        ("policy", "said"),
        [
            ({"PolicyType": "StepScaling"}, "target tracking"),
            (tracking("LambdaProvisionedConcurrencyUtilization"), "not supported"),
            (tracking(target=0.0), "greater than 0"),
            (on_cpu(EndpointName="other", VariantName="one"), "not supported"),
        ],
    )
    def test_of_a_policy(self, world: World, policy: dict[str, Any], said: str) -> None:
        async def scenario(hosting: Hosting) -> None:
            await scaled(hosting)
            assert said in (await hosting.refused("PutScalingPolicy", **OURS, PolicyName="p", **policy)).message
            await hosting.call(
                "PutScalingPolicy", **OURS, PolicyName="p", **on_cpu(EndpointName="one", VariantName="one")
            )

        play(world, scenario)

    def test_of_what_is_not_registered(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await hosting.deploy("one")
            for operation, params in (
                ("DeregisterScalableTarget", OURS),
                ("PutScalingPolicy", {**OURS, "PolicyName": "p", **tracking()}),
                ("DeleteScalingPolicy", {**OURS, "PolicyName": "p"}),
            ):
                assert (await hosting.refused(operation, **params)).code == "ObjectNotFoundException"

        play(world, scenario)
