"""SageMaker's words about transform jobs, as boto3 brings them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from chalicelib.transforms.gateways import TransformJobs

UNKNOWN = ("ValidationException", "Requested resource not found.")
OVER = ("ValidationException", "The request was rejected because the transform job is in status Completed.")
NO_MODEL = ("ValidationException", 'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/t".')


@pytest.fixture(scope="module")
def sagemaker() -> Any:
    return boto3.client("sagemaker", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def said(sagemaker: Any) -> Iterator[Stubber]:
    with Stubber(sagemaker) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_a_job_that_sagemaker_does_not_know_is_none(sagemaker: Any, said: Stubber) -> None:
    said.add_client_error("describe_transform_job", *UNKNOWN)
    assert TransformJobs(sagemaker).describe("t") is None


@pytest.mark.parametrize("refusal", [UNKNOWN, OVER], ids=["unknown", "over"])
def test_there_is_nothing_to_stop_in_a_job_that_does_not_run(
    sagemaker: Any, said: Stubber, refusal: tuple[str, str]
) -> None:
    said.add_client_error("stop_transform_job", *refusal)
    TransformJobs(sagemaker).stop("t")


def test_a_model_that_is_not_there_needs_no_deleting(sagemaker: Any, said: Stubber) -> None:
    said.add_client_error("delete_model", *NO_MODEL)
    TransformJobs(sagemaker).delete_model("t")


@pytest.mark.parametrize(
    ("operation", "ask", "refusal"),
    [
        ("describe_transform_job", TransformJobs.describe, ("ValidationException", "1 validation error detected")),
        ("describe_transform_job", TransformJobs.describe, ("ThrottlingException", "Rate exceeded")),
        ("stop_transform_job", TransformJobs.stop, ("ThrottlingException", "Rate exceeded")),
        ("delete_model", TransformJobs.delete_model, ("ValidationException", "Cannot delete model in use")),
    ],
)
def test_any_other_refusal_is_an_error(
    sagemaker: Any,
    said: Stubber,
    operation: str,
    ask: Callable[[TransformJobs, str], object],
    refusal: tuple[str, str],
) -> None:
    said.add_client_error(operation, *refusal)
    with pytest.raises(sagemaker.exceptions.ClientError, match=refusal[1]):
        ask(TransformJobs(sagemaker), "t")
