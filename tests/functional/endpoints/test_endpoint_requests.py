"""What comes of requests to make an endpoint: one in service, one that failed, or a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from localcloud.compute.errors import ApiError
from tests.functional.endpoints.hosting_harness import (
    IMAGE,
    QUICK,
    ROLE,
    Hosting,
    World,
    archive,
    echo_model,
    play,
    serving_processes,
    variant,
)


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
