"""Deploying: the same template everywhere, by argument lists, and nothing begun when something is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra import chalice_config
from infra.build import Build
from infra.deploy import DeployError, Deployment, complete, deploy
from infra.names import Json
from infra.package import content_key, packaged

PARAMETERS = {
    "TokenIssuer": "https://issuer.example",
    "JwksUrl": "https://issuer.example/keys",
    "MlflowTrackingUri": "https://mlflow.example",
}
SERVER = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/ours"


class Aws:
    """An aws command line that notes what it is asked."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> str:
        self.commands.append(list(arguments))
        return json.dumps({"Stacks": [{"Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://api"}]}]})


@pytest.fixture
def small_build(tmp_path: Path) -> Build:
    for name in ("template.json", "deployment.zip", "agent.zip"):
        (tmp_path / name).write_text(name)
    return Build(tmp_path, "digest", fresh=True)


class TestDeploy:
    def test_uploads_packages_and_deploys(self, small_build: Build) -> None:
        aws = Aws()
        outputs = deploy(Deployment("ours", "bucket", PARAMETERS, ("--region", "eu-west-1")), small_build, aws)
        assert outputs == {"ApiUrl": "https://api"}
        assert [command[3:5] for command in aws.commands] == [
            ["s3", "cp"],
            ["cloudformation", "package"],
            ["cloudformation", "deploy"],
            ["cloudformation", "describe-stacks"],
        ]
        assert all(command[:3] == ["aws", "--region", "eu-west-1"] for command in aws.commands)

    def test_names_the_agent_by_its_content(self, small_build: Build) -> None:
        aws = Aws()
        deploy(Deployment("ours", "bucket", PARAMETERS), small_build, aws)
        uri = f"s3://bucket/{content_key(small_build.agent, 'aimatrix/agent/')}"
        assert aws.commands[0][-1] == uri
        assert f"AgentUri={uri}" in aws.commands[2]

    def test_passes_values_with_shell_metacharacters_as_they_are(self, small_build: Build) -> None:
        aws, odd = Aws(), "$(reboot); `x` 'y' \"z\" && |"
        deploy(Deployment("ours", "bucket", {**PARAMETERS, "TokenAudience": odd}), small_build, aws)
        assert f"TokenAudience={odd}" in aws.commands[2]

    def test_lets_the_roles_use_a_managed_tracking_server(self) -> None:
        given = Deployment("ours", "bucket", {**PARAMETERS, "MlflowTrackingUri": SERVER})
        assert complete(given, "s3://bucket/agent.zip")["MlflowTrackingServerArn"] == SERVER
        assert complete(Deployment("ours", "bucket", PARAMETERS), "s3://b/a")["MlflowTrackingServerArn"] == ""

    @pytest.mark.parametrize(
        ("parameters", "complaint"),
        [
            ({"TokenIssuer": "x"}, "missing: --parameter JwksUrl=... --parameter MlflowTrackingUri=..."),
            ({**PARAMETERS, "AgentUri": "s3://b/a"}, "--parameter AgentUri: there is none of this name to set"),
            ({**PARAMETERS, "Colour": "red"}, "--parameter Colour: there is none of this name to set"),
            ({**PARAMETERS, "BatchSubnets": "subnet-1"}, "missing: --parameter BatchSecurityGroups=..."),
        ],
    )
    def test_begins_nothing_with_wrong_parameters(
        self, small_build: Build, parameters: dict[str, str], complaint: str
    ) -> None:
        aws = Aws()
        with pytest.raises(DeployError) as raised:
            deploy(Deployment("ours", "bucket", parameters), small_build, aws)
        assert complaint in str(raised.value)
        assert aws.commands == []

    @pytest.mark.parametrize("stack", ["Ours", "1ours", "ours_two", "a" * 26, "", "-x"])
    def test_refuses_a_stack_that_no_bucket_can_be_named_after(self, small_build: Build, stack: str) -> None:
        with pytest.raises(DeployError, match="lower case letters"):
            deploy(Deployment(stack, "bucket", PARAMETERS), small_build, Aws())

    def test_stops_at_the_first_command_that_fails(self, small_build: Build) -> None:
        aws = Aws()

        def refuse(arguments: Sequence[str]) -> str:
            if "package" in arguments:
                raise DeployError("denied")
            return aws(arguments)

        with pytest.raises(DeployError, match="denied"):
            deploy(Deployment("ours", "bucket", PARAMETERS), small_build, refuse)
        assert len(aws.commands) == 1


class TestPackaged:
    def test_points_every_function_at_the_object(self, template: Json) -> None:
        result = packaged(template, "bucket", "code.zip")
        uris = [
            resource["Properties"]["CodeUri"]
            for resource in result["Resources"].values()
            if resource["Type"] == "AWS::Serverless::Function"
        ]
        assert uris
        assert all(uri == {"Bucket": "bucket", "Key": "code.zip"} for uri in uris)

    def test_leaves_the_template_itself_alone(self, template: Json) -> None:
        before = json.dumps(template)
        packaged(template, "bucket", "code.zip")
        assert json.dumps(template) == before

    def test_names_other_content_otherwise(self, tmp_path: Path) -> None:
        path = tmp_path / "code.zip"
        path.write_text("one")
        first = content_key(path, "p/")
        path.write_text("two")
        assert content_key(path, "p/") != first
        assert first.startswith("p/code-")
        assert first.endswith(".zip")


class TestGeneratedFiles:
    def test_are_committed_as_the_tables_say(self) -> None:
        assert chalice_config.drift() == []

    def test_drift_is_found_in_changed_missing_and_left_over_files(self, tmp_path: Path) -> None:
        chalice_config.write(tmp_path)
        assert chalice_config.drift(tmp_path) == []
        (tmp_path / "policy-api.json").write_text("{}")
        (tmp_path / "policy-authorize.json").unlink()
        (tmp_path / "policy-old.json").write_text("{}")
        assert chalice_config.drift(tmp_path) == ["policy-api.json", "policy-authorize.json", "policy-old.json"]
