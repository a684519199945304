"""Hosting as boto3 sees it: the wire forms of answers and errors."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.compute.server import Served, served
from tests.functional.endpoints.hosting_harness import IMAGE, ROLE, echo_model, variant


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An emulator with one endpoint in service."""
    with served(tmp_path_factory.mktemp("state")) as emulator:
        emulator.objects.put("s3://models/iris.tar.gz", echo_model("iris"))
        sagemaker = emulator.client("sagemaker")
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/iris.tar.gz"}
        sagemaker.create_model(ModelName="iris", PrimaryContainer=container, ExecutionRoleArn=ROLE)
        sagemaker.create_endpoint_config(EndpointConfigName="iris", ProductionVariants=[variant("iris")])
        sagemaker.create_endpoint(EndpointName="iris", EndpointConfigName="iris")
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName="iris", WaiterConfig={"Delay": 0.2, "MaxAttempts": 100}
        )
        yield emulator


def refusal(call: Any, **params: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return dict(caught.value.response)


class TestHosting:
    def test_descriptions_parse(self, deployed: Served) -> None:
        sagemaker = deployed.client("sagemaker")
        endpoint = sagemaker.describe_endpoint(EndpointName="iris")
        assert endpoint["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"] == IMAGE
        assert endpoint["CreationTime"] <= endpoint["LastModifiedTime"]
        assert sagemaker.describe_model(ModelName="iris")["PrimaryContainer"]["Image"] == IMAGE
        config = sagemaker.describe_endpoint_config(EndpointConfigName="iris")
        assert config["ProductionVariants"][0]["ModelName"] == "iris"
        assert [e["EndpointName"] for e in sagemaker.list_endpoints()["Endpoints"]] == ["iris"]

    def test_passing_the_role_is_asked_for(self, deployed: Served) -> None:
        asked = next(a for a in deployed.control.asked if a.action == "sagemaker:CreateModel")
        assert [(role.role_arn, role.service) for role in asked.pass_roles] == [(ROLE, "sagemaker.amazonaws.com")]
        asked = next(a for a in deployed.control.asked if a.action == "sagemaker:CreateEndpoint")
        assert [arn.rpartition(":")[2] for arn in asked.resources] == ["endpoint/iris", "endpoint-config/iris"]

    def test_an_unknown_endpoint_is_a_validation_exception(self, deployed: Served) -> None:
        response = refusal(deployed.client("sagemaker").describe_endpoint, EndpointName="none")
        assert response["Error"]["Code"] == "ValidationException"
        assert response["Error"]["Message"].startswith('Could not find endpoint "arn:aws:sagemaker:')


class TestInvokeEndpoint:
    def test_an_answer(self, deployed: Served) -> None:
        answer = deployed.client("sagemaker-runtime").invoke_endpoint(
            EndpointName="iris", Body=b"{}", ContentType="application/json", Accept="application/json"
        )
        assert json.loads(answer["Body"].read()) == {"predictions": ["iris"]}
        assert answer["ContentType"] == "application/json"
        assert answer["InvokedProductionVariant"] == "iris"

    def test_a_model_error_carries_the_original(self, deployed: Served) -> None:
        runtime = deployed.client("sagemaker-runtime")
        response = refusal(runtime.invoke_endpoint, EndpointName="iris", Body=b'{"raise": 1}')
        assert response["Error"]["Code"] == "ModelError"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert response["OriginalStatusCode"] == 500
        assert "missing thing" in response["OriginalMessage"]

    def test_is_served_at_normal_priority(self, deployed: Served) -> None:
        answer = deployed.client("sagemaker-runtime").invoke_endpoint(EndpointName="iris", Body=b'{"niceness": 1}')
        assert json.loads(answer["Body"].read()) == {"predictions": [os.nice(0)]}

    def test_a_body_of_25_mebibytes_reaches_the_model(self, deployed: Served) -> None:
        body = b'{"text": "' + b"x" * (25 * 1024 * 1024 - 12) + b'"}'
        assert len(body) == 25 * 1024 * 1024
        answer = deployed.client("sagemaker-runtime").invoke_endpoint(EndpointName="iris", Body=body)
        assert json.loads(answer["Body"].read()) == {"predictions": ["iris"]}

    def test_a_body_over_25_mebibytes_is_refused(self, deployed: Served) -> None:
        runtime = deployed.client("sagemaker-runtime")
        response = refusal(runtime.invoke_endpoint, EndpointName="iris", Body=b"x" * (25 * 1024 * 1024 + 1))
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 413

    def test_a_caller_without_permission_is_refused(self, deployed: Served) -> None:
        deployed.control.denied.add("sagemaker:InvokeEndpoint")
        try:
            runtime = deployed.client("sagemaker-runtime")
            response = refusal(runtime.invoke_endpoint, EndpointName="iris", Body=b"{}")
        finally:
            deployed.control.denied.clear()
        assert response["Error"]["Code"] == "AccessDeniedException"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 403

    def test_invocations_are_quick(self, deployed: Served) -> None:
        """A guard against a pause in the chain (delayed acknowledgements cost 40 ms), not a benchmark."""
        runtime = deployed.client("sagemaker-runtime")
        times = []
        for _ in range(20):
            begun = time.perf_counter()
            runtime.invoke_endpoint(EndpointName="iris", Body=b"{}")
            times.append(time.perf_counter() - begun)
        print(f"InvokeEndpoint: median {sorted(times)[10] * 1000:.1f} ms")
        assert sorted(times)[10] < 0.035
