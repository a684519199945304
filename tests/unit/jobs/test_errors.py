"""What a state machine caught, in words for the owner of a job."""

from __future__ import annotations

import json

import pytest

from chalicelib.jobs.tasks import error_text

TRACE = {
    "errorMessage": "no room",
    "errorType": "OutOfRoom",
    "requestId": "r",
    "stackTrace": ['  File "/var/task/x.py"'],
}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, None),
        ({}, None),
        ("plain", "plain"),
        ({"Error": "States.Timeout"}, "States.Timeout"),
        ({"Error": "SageMaker.ResourceLimitExceeded", "Cause": "limit 0"}, "SageMaker.ResourceLimitExceeded: limit 0"),
        ({"Error": "OutOfRoom", "Cause": json.dumps(TRACE)}, "OutOfRoom: no room"),
        ({"Error": "E", "Cause": "{not json"}, "E: {not json"),
        ({"Error": "E", "Cause": "[1]"}, "E: [1]"),
        ({"Cause": ""}, "unknown error"),
    ],
)
def test_is_a_name_and_a_sentence_without_a_stack_trace(error: object, text: str | None) -> None:
    assert error_text({"error": error}) == text
