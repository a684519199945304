"""A shadow variant gets copies of the production variant's requests, and nobody hears its answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from localcloud.compute.hosting.runtime import MOST_COPIES
from tests.functional.endpoints.hosting_harness import (
    Hosting,
    World,
    echo_model,
    eventually,
    play,
    serving_processes,
    variant,
)


async def configure(
    hosting: Hosting, config: str, production: Sequence[dict[str, Any]], shadows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return await hosting.call(
        "CreateEndpointConfig",
        EndpointConfigName=config,
        ProductionVariants=list(production),
        ShadowProductionVariants=list(shadows),
    )


async def deploy(hosting: Hosting, share: float = 1.0) -> dict[str, Any]:
    for name in ("real", "shadow"):
        await hosting.create_model(name)
    await configure(hosting, "both", [variant("real")], [variant("shadow", share)])
    await hosting.call("CreateEndpoint", EndpointName="e", EndpointConfigName="both")
    return await hosting.settled("e")


def counted(world: World, metric: str, name: str) -> int:
    """What CloudWatch was told of a variant."""
    return round(world.metrics.total(metric, EndpointName="e", VariantName=name))


class TestAShadowVariant:
    def test_is_described_beside_the_production_variant_and_has_processes_of_its_own(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            shown = await deploy(hosting, 0.5)
            assert [each["VariantName"] for each in shown["ProductionVariants"]] == ["real"]
            (shadow,) = shown["ShadowProductionVariants"]
            assert (shadow["VariantName"], shadow["CurrentWeight"], shadow["CurrentInstanceCount"]) == (
                "shadow",
                0.5,
                1,
            )
            assert len(serving_processes(world)) == 2

        play(world, scenario)

    def test_gets_every_request_and_answers_none(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            assert {await hosting.speaker("e") for _ in range(20)} == {"real"}
            await eventually(lambda: [counted(world, "Invocations", each) for each in ("real", "shadow")] == [20, 20])

        play(world, scenario)

    def test_gets_the_share_that_its_weight_is_of_the_production_variants(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting, 0.25)
            for _ in range(200):
                await hosting.speaker("e")

        play(world, scenario, dice=random.Random(7).random)  # noqa: S311 a repeatable draw
        assert counted(world, "Invocations", "real") == 200
        # Of 200 draws at a quarter, four standard deviations around 50.
        assert 26 <= counted(world, "Invocations", "shadow") <= 74

    def test_that_fails_is_nobodys_concern(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            code = "import time\ndef model_fn(d): return 0\ndef predict_fn(data, model):\n    raise KeyError('bad')\n"
            await hosting.create_model("real")
            await hosting.create_model("shadow", echo_model("shadow", code))
            await configure(hosting, "both", [variant("real")], [variant("shadow")])
            await hosting.call("CreateEndpoint", EndpointName="e", EndpointConfigName="both")
            await hosting.settled("e")
            assert {await hosting.speaker("e") for _ in range(10)} == {"real"}
            await eventually(lambda: counted(world, "InvocationModelErrors", "shadow") == 10)
            assert counted(world, "InvocationModelErrors", "real") == 0

        play(world, scenario)

    def test_that_is_slow_gets_no_more_than_it_can_take_and_keeps_nobody_waiting(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            code = "import time\ndef model_fn(d): return 0\ndef predict_fn(data, model):\n    time.sleep(600)\n"
            await hosting.create_model("real")
            await hosting.create_model("shadow", echo_model("shadow", code))
            await configure(hosting, "both", [variant("real")], [variant("shadow")])
            await hosting.call("CreateEndpoint", EndpointName="e", EndpointConfigName="both")
            await hosting.settled("e")
            assert {await hosting.speaker("e") for _ in range(MOST_COPIES + 10)} == {"real"}

        play(world, scenario)
        assert counted(world, "Invocations", "real") == MOST_COPIES + 10

    def test_can_not_be_asked_by_name_nor_weighed(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            refused = await hosting.refused("InvokeEndpoint", EndpointName="e", Body=b"{}", TargetVariant="shadow")
            assert "not found" in refused.message
            wanted = [{"VariantName": "shadow", "DesiredWeight": 0.5}]
            refused = await hosting.refused(
                "UpdateEndpointWeightsAndCapacities", EndpointName="e", DesiredWeightsAndCapacities=wanted
            )
            assert "Could not find production variant" in refused.message

        play(world, scenario)

    def test_comes_and_goes_with_the_endpoints_configuration(self, world: World) -> None:
        async def scenario(hosting: Hosting) -> None:
            await deploy(hosting)
            await hosting.create_config("alone", real=1.0)
            await hosting.call("UpdateEndpoint", EndpointName="e", EndpointConfigName="alone")
            shown = await hosting.settled("e")
            assert "ShadowProductionVariants" not in shown
            await eventually(lambda: len(serving_processes(world)) == 1)

        play(world, scenario)

    def test_is_up_again_after_a_restart_of_the_emulator(self, world: World) -> None:
        async def first(hosting: Hosting) -> None:
            await deploy(hosting)

        async def second(hosting: Hosting) -> None:
            await eventually(lambda: len(serving_processes(world)) == 2)
            assert await hosting.speaks_again("e") == "real"
            await eventually(lambda: counted(world, "Invocations", "shadow") > 0)

        play(world, first)
        play(world, second)


class TestRefusals:
    @pytest.mark.parametrize(
        ("production", "shadows", "said"),
        [
            (["one", "two"], ["three"], "one production variant and one shadow variant"),
            (["one"], ["two", "three"], "one production variant and one shadow variant"),
            (["one"], ["one"], "Duplicate"),
            (["one"], ["nobody"], "Could not find model"),
        ],
    )
    def test_of_what_sagemaker_does_not_take(
        self, world: World, production: list[str], shadows: list[str], said: str
    ) -> None:
        async def scenario(hosting: Hosting) -> None:
            for name in ("one", "two", "three"):
                await hosting.create_model(name)
            refused = await hosting.refused(
                "CreateEndpointConfig",
                EndpointConfigName="c",
                ProductionVariants=[variant(name) for name in production],
                ShadowProductionVariants=[variant(name) for name in shadows],
            )
            assert said in refused.message

        play(world, scenario)
