"""Requests against botocore's model."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import OperationModel

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.service_models import error_status, load_service_model
from localcloud.compute.validation import SerializationFailed, compiled, parse_request
from tests.unit.compute.harness import training_request

OFFERED = {
    "sagemaker": ("CreateTrainingJob", "ListTrainingJobs", "AddTags", "CreateEndpointConfig", "CreateModel"),
    "batch": ("SubmitJob", "RegisterJobDefinition", "CreateComputeEnvironment", "TagResource"),
    "sagemaker-runtime": ("InvokeEndpoint",),
}


@pytest.fixture(scope="module")
def create_training_job() -> OperationModel:
    return load_service_model("sagemaker", ["CreateTrainingJob"]).operation_model("CreateTrainingJob")


def refusal(model: OperationModel, request: dict[str, Any]) -> str:
    with pytest.raises(ValidationFailed) as caught:
        parse_request(model.input_shape, request)
    return caught.value.message


class TestTrainingRequests:
    def test_accepts_what_boto3_sends(self, create_training_job: OperationModel) -> None:
        request = training_request("job", "pass")

        assert parse_request(create_training_job.input_shape, request) == request

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            (
                {"TrainingJobName": "-x"},
                "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
            ),
            ({"TrainingJobName": "x" * 64}, "Member must have length less than or equal to 63"),
            ({"RoleArn": None}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
            ({"Nonsense": 1}, "Unknown member 'Nonsense' at 'CreateTrainingJobRequest'"),
            (
                {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
                "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value",
            ),
            (
                {"ResourceConfig": {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
                "'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum value set: [",
            ),
            ({"InputDataConfig": [{"DataSource": {}}]}, "Value null at 'inputDataConfig.1.member.channelName'"),
            ({"HyperParameters": {"k" * 257: "v"}}, "Member must have length less than or equal to 256"),
        ],
    )
    def test_names_the_member_and_the_constraint(
        self, create_training_job: OperationModel, changes: dict[str, Any], expected: str
    ) -> None:
        message = refusal(create_training_job, training_request("job", "pass", **changes))

        assert message.startswith("1 validation error detected: ")
        assert expected in message

    def test_reports_every_fault_at_once(self, create_training_job: OperationModel) -> None:
        request = training_request("_", "pass", RoleArn="short")
        del request["OutputDataConfig"]

        message = refusal(create_training_job, request)

        assert message.startswith("3 validation errors detected: ")
        for member in ("trainingJobName", "roleArn", "outputDataConfig"):
            assert f"'{member}'" in message

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("TrainingJobName", 5),
            ("InputDataConfig", {"ChannelName": "x"}),
            ("HyperParameters", ["a"]),
            ("HyperParameters", {"a": 1}),
            ("EnableManagedSpotTraining", "true"),
            ("StoppingCondition", {"MaxRuntimeInSeconds": "60"}),
            ("StoppingCondition", {"MaxRuntimeInSeconds": True}),
        ],
    )
    def test_refuses_a_wrong_type(self, create_training_job: OperationModel, member: str, value: object) -> None:
        with pytest.raises(SerializationFailed):
            parse_request(create_training_job.input_shape, training_request("job", "pass", **{member: value}))

    def test_a_long_value_is_cut_in_the_message(self, create_training_job: OperationModel) -> None:
        message = refusal(create_training_job, training_request("x" * 100_000, "pass"))

        assert len(message) < 1000


class TestModels:
    def test_every_pattern_compiles_here(self) -> None:
        models = [load_service_model(service, names) for service, names in OFFERED.items()]
        shapes = [model.shape_for(name) for model in models for name in model.shape_names]
        patterns = {shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}

        assert len(patterns) > 20
        for pattern in patterns:
            compiled(pattern)

    def test_tag_values_may_hold_letters_of_every_script(self) -> None:
        model = load_service_model("sagemaker", ["AddTags"]).operation_model("AddTags")
        tags = [{"Key": "équipe", "Value": "große Daten: 1/2_x@y"}]
        arn = "arn:aws:sagemaker:us-east-1:000000000000:training-job/a"

        assert parse_request(model.input_shape, {"ResourceArn": arn, "Tags": tags})["Tags"] == tags

    def test_carries_no_documentation_and_only_reachable_shapes(self) -> None:
        model = load_service_model("sagemaker", ["ListTags"])

        assert set(model.operation_names) == {"ListTags"}
        assert len(model.shape_names) < 15
        assert model.operation_model("ListTags").documentation == ""

    def test_knows_the_status_of_a_modelled_error(self) -> None:
        model = load_service_model("sagemaker-runtime", ["InvokeEndpoint"]).operation_model("InvokeEndpoint")

        assert error_status(model, "ModelError") == 424
        assert error_status(model, "NeverHeardOf") is None
