"""SageMaker's and Step Functions' words, as boto3 brings them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from chalicelib.deployments.gateways import ABSENT, Endpoints, EndpointState, Waiters
from chalicelib.deployments.invocations import MAX_ANSWER_BYTES, Invocation, ModelEndpoint
from chalicelib.errors import InvalidRequest, ModelFailed, ServiceError, TooLarge, Unavailable
from chalicelib.machine import StateMachine

ROWS = Invocation(b"[[1]]", "application/json", "text/csv")


class SlowRuntime:
    """boto3's client, of an endpoint that does not answer in time."""

    exceptions = SimpleNamespace(ModelError=KeyError, ClientError=ClientError)

    def invoke_endpoint(self, **_asked: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="https://runtime")


def client(service: Any) -> Any:
    return boto3.client(service, "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture(scope="module")
def sagemaker() -> Any:
    return client("sagemaker")


@pytest.fixture(scope="module")
def stepfunctions() -> Any:
    return client("stepfunctions")


@pytest.fixture(scope="module")
def runtime() -> Any:
    return client("sagemaker-runtime")


@pytest.fixture
def said(sagemaker: Any) -> Iterator[Stubber]:
    with Stubber(sagemaker) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def description(status: str, **more: Any) -> dict[str, Any]:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"
    moment = "2026-03-01T00:00:00Z"
    return {
        "EndpointName": "e",
        "EndpointArn": arn,
        "EndpointStatus": status,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        **more,
    }


class TestDescribe:
    def test_knows_every_status_that_sagemaker_has(self, sagemaker: Any, said: Stubber) -> None:
        for status in sagemaker.meta.service_model.shape_for("EndpointStatus").enum:
            said.add_response("describe_endpoint", description(status, EndpointConfigName="c"))
            assert Endpoints(sagemaker).describe("e").config == "c"

    def test_tells_what_is_coming_and_why_it_failed(self, sagemaker: Any, said: Stubber) -> None:
        pending = {"EndpointConfigName": "e-2"}
        said.add_response(
            "describe_endpoint", description("Updating", EndpointConfigName="e-1", PendingDeploymentSummary=pending)
        )
        said.add_response("describe_endpoint", description("Failed", EndpointConfigName="e-1", FailureReason="no ping"))
        updating, failed = (Endpoints(sagemaker).describe("e") for _ in range(2))
        assert (updating.state, updating.coming) == (EndpointState.CHANGING, "e-2")
        assert (failed.state, failed.reason) == (EndpointState.FAILED, "no ping")

    def test_finds_nothing_where_sagemaker_could_not(self, sagemaker: Any, said: Stubber) -> None:
        said.add_client_error("describe_endpoint", "ValidationException", 'Could not find endpoint "arn:..."')
        assert Endpoints(sagemaker).describe("e") == ABSENT

    def test_passes_other_errors_on(self, sagemaker: Any, said: Stubber) -> None:
        said.add_client_error("describe_endpoint", "ThrottlingException", "Rate exceeded")
        with pytest.raises(sagemaker.exceptions.ClientError, match="Rate"):
            Endpoints(sagemaker).describe("e")


class TestDelete:
    def test_is_content_when_it_is_gone_or_going(self, sagemaker: Any, said: Stubber) -> None:
        said.add_client_error("delete_endpoint", "ValidationException", "Could not find endpoint")
        Endpoints(sagemaker).delete("e")
        said.add_client_error("delete_endpoint", "ValidationException", "Cannot update in-progress endpoint")
        said.add_response("describe_endpoint", description("Deleting"))
        Endpoints(sagemaker).delete("e")

    def test_is_not_when_it_stays(self, sagemaker: Any, said: Stubber) -> None:
        said.add_client_error("delete_endpoint", "ValidationException", "Cannot update in-progress endpoint")
        said.add_response("describe_endpoint", description("Creating"))
        with pytest.raises(sagemaker.exceptions.ClientError):
            Endpoints(sagemaker).delete("e")

    def test_of_a_revision_goes_on_behind_a_missing_configuration(self, sagemaker: Any, said: Stubber) -> None:
        said.add_client_error("delete_endpoint_config", "ValidationException", "Could not find endpoint configuration")
        said.add_response("delete_model", {})
        Endpoints(sagemaker).delete_revision("e-1", 1)


class TestStepFunctions:
    ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:aimatrix-deploy-model"

    def test_a_name_that_ran_before_is_left_alone(self, stepfunctions: Any) -> None:
        with Stubber(stepfunctions) as stubber:
            expected = {"stateMachineArn": self.ARN, "name": "d-1", "input": '{"tenant":"acme"}'}
            stubber.add_client_error("start_execution", "ExecutionAlreadyExists", expected_params=expected)
            StateMachine(stepfunctions, self.ARN).start("d-1", {"tenant": "acme"})
            stubber.assert_no_pending_responses()

    @pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
    def test_an_answer_to_nobody_is_no_error(self, stepfunctions: Any, code: str) -> None:
        with Stubber(stepfunctions) as stubber:
            stubber.add_client_error("send_task_success", code)
            stubber.add_client_error("send_task_failure", code)
            Waiters(stepfunctions).succeed("token", {})
            Waiters(stepfunctions).fail("token", "EndpointFailed", "why")
            stubber.assert_no_pending_responses()

    def test_an_answer_that_is_not_delivered_is_one(self, stepfunctions: Any) -> None:
        with Stubber(stepfunctions) as stubber:
            stubber.add_client_error("send_task_success", "AccessDeniedException")
            with pytest.raises(stepfunctions.exceptions.ClientError):
                Waiters(stepfunctions).succeed("token", {})


class TestInvoke:
    def answer(self, body: bytes) -> dict[str, Any]:
        stream = StreamingBody(io.BytesIO(body), len(body))
        return {"Body": stream, "ContentType": "text/csv", "InvokedProductionVariant": "v3"}

    def test_passes_body_and_media_types(self, runtime: Any) -> None:
        with Stubber(runtime) as stubber:
            expected = {"EndpointName": "e", "Body": b"[[1]]", "ContentType": "application/json", "Accept": "text/csv"}
            stubber.add_response("invoke_endpoint", self.answer(b"0.5\n"), expected)
            answer = ModelEndpoint(runtime).invoke("e", ROWS)
        assert (answer.body, answer.media_type, answer.variant) == (b"0.5\n", "text/csv", "v3")

    @pytest.mark.parametrize(
        ("status", "error", "words"),
        [
            (400, InvalidRequest, "row 0 has 3 cells"),
            (415, InvalidRequest, "row"),
            (500, ModelFailed, "row"),
            (424, InvalidRequest, "row"),
        ],
    )
    def test_passes_the_containers_own_words_on(
        self, runtime: Any, status: int, error: type[ServiceError], words: str
    ) -> None:
        with Stubber(runtime) as stubber:
            fields = {"OriginalStatusCode": status, "OriginalMessage": "row 0 has 3 cells"}
            stubber.add_client_error("invoke_endpoint", "ModelError", "see CloudWatch", 424, modeled_fields=fields)
            with pytest.raises(error, match=words):
                ModelEndpoint(runtime).invoke("e", ROWS)

    @pytest.mark.parametrize(
        ("said", "shown"),
        [
            ('{"error": "row 0 has 3 cells"}', "row 0 has 3 cells"),
            ('{"code": 500, "type": "x", "message": "row 0"}', "row 0"),
            ("[1]", r"\[1\]"),
            ('{"error": {"deep": 1}}', "deep"),
        ],
    )
    def test_unwraps_words_in_a_json_object(self, runtime: Any, said: str, shown: str) -> None:
        with Stubber(runtime) as stubber:
            fields = {"OriginalStatusCode": 400, "OriginalMessage": said}
            stubber.add_client_error("invoke_endpoint", "ModelError", "see CloudWatch", 424, modeled_fields=fields)
            with pytest.raises(InvalidRequest, match=f"^The model refused the request: .*{shown}"):
                ModelEndpoint(runtime).invoke("e", ROWS)

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("ValidationError", "Endpoint e of account 1 not found."),
            ("ServiceUnavailable", ""),
            ("ModelNotReadyException", ""),
        ],
    )
    def test_says_that_it_helps_to_try_again(self, runtime: Any, code: str, message: str) -> None:
        with Stubber(runtime) as stubber:
            stubber.add_client_error("invoke_endpoint", code, message)
            with pytest.raises(Unavailable):
                ModelEndpoint(runtime).invoke("e", ROWS)

    def test_says_so_of_one_that_takes_longer_than_anybody_waits(self) -> None:
        slow: Any = SlowRuntime()
        with pytest.raises(Unavailable, match="may be starting"):
            ModelEndpoint(slow).invoke("e", ROWS)

    def test_refuses_an_answer_that_would_not_fit_through_lambda(self, runtime: Any) -> None:
        with Stubber(runtime) as stubber:
            stubber.add_response("invoke_endpoint", self.answer(b"1" * (MAX_ANSWER_BYTES + 1)))
            with pytest.raises(TooLarge):
                ModelEndpoint(runtime).invoke("e", ROWS)
