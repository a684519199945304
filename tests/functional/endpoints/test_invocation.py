"""What whoever asks an endpoint for a prediction gets, also while its processes die."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.functional.endpoints.hosting_harness import (
    QUICK,
    Hosting,
    World,
    play,
    serving_processes,
    variant,
)


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
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            refused = await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"sleep": 30}')
            assert refused.code == "ModelError"
            assert "timed out while waiting for a response from container primary" in refused.message

        play(world, scenario, settings=replace(QUICK, request_timeout=0.3, drain_timeout=0.1, stop_grace=0.1))

    def test_an_answer_larger_than_the_limit_is_a_model_error(self, world: World) -> None:
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

        play(world, scenario, settings=replace(QUICK, restart_first=5.0, restart_most=5.0))


class TestMetrics:
    def test_tell_what_came_of_each_request_by_variant(self, world: World) -> None:
        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            for _ in range(3):
                await hosted.invoke("iris")
            await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"raise": 1}')
            await hosted.refused("InvokeEndpoint", EndpointName="iris", Body=b'{"die": 1}')

        play(world, scenario)
        where = {"EndpointName": "iris", "VariantName": "iris"}
        assert world.metrics.total("Invocations", **where) == 5
        assert world.metrics.total("Invocation5XXErrors", **where) == 1
        assert world.metrics.total("Invocation4XXErrors", **where) == 0
        # The one that got no answer is no 5XX of the model.
        assert world.metrics.total("InvocationModelErrors", **where) == 2
        latencies = [datum for datum in world.metrics.data if datum["MetricName"] == "ModelLatency"]
        assert sum(sum(datum["Counts"]) for datum in latencies) == 4
        assert {datum["Namespace"] for datum in world.metrics.data} == {"AWS/SageMaker"}

    def test_that_can_not_be_delivered_hold_nobody_up(self, world: World) -> None:
        world.metrics.broken = 1

        async def scenario(hosted: Hosting) -> None:
            await hosted.deploy("iris")
            for _ in range(2):
                await hosted.invoke("iris")

        play(world, scenario)
        assert world.metrics.total("Invocations") <= 2
