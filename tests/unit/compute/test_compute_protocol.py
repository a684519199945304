"""The wire: which operation a request names, where its members lie, and what goes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from localcloud.compute.errors import ApiError, ResourceInUse
from localcloud.compute.protocol import Router, UnknownOperation, members_of
from localcloud.compute.serialization import error_response, response_of
from localcloud.compute.service_models import load_service_model
from localcloud.compute.validation import SerializationFailed


@pytest.fixture(scope="module")
def router() -> Router:
    offered = {
        "sagemaker": ["DescribeTrainingJob", "ListTrainingJobs"],
        "batch": ["SubmitJob", "ListTagsForResource", "UntagResource", "DescribeJobs"],
        "sagemaker-runtime": ["InvokeEndpoint"],
    }
    return Router({service: load_service_model(service, names) for service, names in offered.items()})


class TestFindingTheOperation:
    def test_json_1_1_goes_by_its_target(self, router: Router) -> None:
        target = router.find("POST", "/", "SageMaker.DescribeTrainingJob")

        assert (target.service, target.model.name) == ("sagemaker", "DescribeTrainingJob")

    def test_rest_goes_by_method_and_path(self, router: Router) -> None:
        assert router.find("POST", "/v1/submitjob", None).model.name == "SubmitJob"
        assert router.find("POST", "/endpoints/e-1/invocations", None).labels == {"EndpointName": "e-1"}

    def test_an_encoded_slash_stays_in_its_label(self, router: Router) -> None:
        arn = "arn:aws:batch:us-east-1:000000000000:job-definition/a:1"

        target = router.find("GET", f"/v1/tags/{quote(arn, safe='')}", None)

        assert target.model.name == "ListTagsForResource"
        assert target.labels == {"resourceArn": arn}

    @pytest.mark.parametrize(
        ("method", "path", "target"),
        [
            ("POST", "/", "SageMaker.CreateHumanTaskUi"),
            ("GET", "/v1/submitjob", None),
            ("POST", "/v1/submitjob/x", None),
            ("POST", "/endpoints//invocations", None),
        ],
    )
    def test_says_what_it_does_not_have(self, router: Router, method: str, path: str, target: str | None) -> None:
        with pytest.raises(UnknownOperation):
            router.find(method, path, target)


class TestMembers:
    def test_come_from_path_headers_and_payload(self, router: Router) -> None:
        target = router.find("POST", "/endpoints/e%2D1/invocations", None)
        headers = {"content-type": "text/csv", "x-amzn-sagemaker-target-variant": "blue"}

        members = members_of(target, "", headers, b"1,2\n\xff")

        assert members["EndpointName"] == "e-1"
        assert members["Body"] == b"1,2\n\xff"
        assert members["ContentType"] == "text/csv"
        assert members["TargetVariant"] == "blue"

    def test_come_from_the_query(self, router: Router) -> None:
        target = router.find("DELETE", "/v1/tags/arn", None)

        assert members_of(target, "tagKeys=a", {}, b"")["tagKeys"] == ["a"]

    def test_timestamps_become_datetimes(self, router: Router) -> None:
        target = router.find("POST", "/", "SageMaker.ListTrainingJobs")

        members = members_of(target, "", {}, b'{"CreationTimeAfter": 0.5}')

        assert members["CreationTimeAfter"] == datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"MaxResults": NaN}', b"[" * 100_000]
    )
    def test_refuses_what_is_no_json_object(self, router: Router, body: bytes) -> None:
        target = router.find("POST", "/", "SageMaker.ListTrainingJobs")

        with pytest.raises(SerializationFailed):
            members_of(target, "", {}, body)


class TestAnswers:
    def test_hold_only_modelled_members(self, router: Router) -> None:
        model = router.find("POST", "/", "SageMaker.DescribeTrainingJob").model
        at = datetime(2026, 1, 1, tzinfo=UTC)

        answer = response_of(model, {"TrainingJobName": "a", "CreationTime": at, "secret": "x"})

        assert json.loads(answer.body) == {"TrainingJobName": "a", "CreationTime": at.timestamp()}

    def test_a_payload_goes_out_as_it_is_with_its_headers(self, router: Router) -> None:
        model = router.find("POST", "/endpoints/e/invocations", None).model

        answer = response_of(
            model, {"Body": b"\x00\x01", "ContentType": "application/x-npy", "InvokedProductionVariant": "v"}
        )

        assert answer.body == b"\x00\x01"
        assert answer.headers["Content-Type"] == "application/x-npy"
        assert answer.headers["x-Amzn-Invoked-Production-Variant"] == "v"

    def test_errors_have_the_shape_of_their_protocol(self) -> None:
        json_error = error_response("sagemaker", ResourceInUse("taken"), 400)
        assert json.loads(json_error.body) == {"__type": "ResourceInUse", "message": "taken"}

        refused = ResourceInUse("taken").for_service("batch")
        rest_error = error_response("batch", refused, 400)
        assert rest_error.headers["x-amzn-ErrorType"] == "ClientException"
        assert json.loads(rest_error.body) == {"message": "taken"}

    def test_a_server_fault_of_batch_is_a_server_exception(self) -> None:
        assert ApiError("InternalFailure", "oh", 500).for_service("batch").code == "ServerException"
