"""ministack keeps the latest of what it notes, and all of what is data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import cloudwatch_logs, eventbridge, lambda_svc, stepfunctions

from localcloud.seam import executions, retention

GROUP = "/aws/lambda/f"
FUNCTION = {"config": {"FunctionName": "f"}}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    stores = (
        cloudwatch_logs._log_groups,
        cloudwatch_logs._log_records,
        eventbridge._events_log,
        lambda_svc._functions,
        stepfunctions._executions,
    )
    yield
    for store in stores:
        store.clear()


def invocation(number: int) -> str:
    return f"2030/01/01/[$LATEST]{number:032x}"


def streams(*names: str) -> dict[str, Any]:
    return {"streams": {name: {"events": []} for name in names}}


class TestLambdaStreams:
    def test_of_the_latest_invocations_stay(self) -> None:
        cloudwatch_logs._log_groups[GROUP] = streams(*map(invocation, range(5)))
        retention.trim_lambda_streams(FUNCTION, keep=2)
        assert list(cloudwatch_logs._log_groups[GROUP]["streams"]) == [invocation(3), invocation(4)]

    def test_that_are_jobs_stay_whatever_group_they_are_in(self) -> None:
        cloudwatch_logs._log_groups["shared"] = streams("job/algo-1-1", *map(invocation, range(3)), "job/algo-1-2")
        function = {"config": {"FunctionName": "f", "LoggingConfig": {"LogGroup": "shared"}}}
        retention.trim_lambda_streams(function, keep=1)
        assert list(cloudwatch_logs._log_groups["shared"]["streams"]) == ["job/algo-1-1", invocation(2), "job/algo-1-2"]

    def test_of_another_function_are_not_touched(self) -> None:
        cloudwatch_logs._log_groups["/aws/lambda/g"] = streams(*map(invocation, range(3)))
        retention.trim_lambda_streams(FUNCTION, keep=1)
        assert len(cloudwatch_logs._log_groups["/aws/lambda/g"]["streams"]) == 3


class TestExecutions:
    def test_that_run_and_the_last_that_ended_stay(self) -> None:
        stopped = {"a": "2030-01-03", "b": None, "c": "2030-01-01", "d": "2030-01-02", "e": None}
        for arn, date in stopped.items():
            stepfunctions._executions[arn] = {"executionArn": arn, "stopDate": date}
        retention.forget_executions(keep=1)
        assert [arn for arn in stopped if arn in stepfunctions._executions] == ["a", "b", "e"]

    def test_that_were_aborted_stay_until_what_they_started_is_stopped(self) -> None:
        def aborted_meanwhile(arn: str) -> None:
            stepfunctions._executions[arn] = {"executionArn": arn, "stopDate": "2030-01-01"}
            retention.forget_executions(keep=0)
            assert arn in stepfunctions._executions

        executions.following(aborted_meanwhile)("aborted")
        retention.forget_executions(keep=0)
        assert "aborted" not in stepfunctions._executions


class TestLogPointers:
    def test_the_latest_stay(self) -> None:
        for name in "abc":
            cloudwatch_logs._log_records[name] = {}
        retention.forget_log_pointers(keep=2)
        assert sorted(key[-1] for key in cloudwatch_logs._log_records._data) == ["b", "c"]


class TestEvents:
    def test_the_latest_stay(self) -> None:
        for number in range(retention.EVENTS + 5):
            retention.recent_events().append({"EventId": number})
        kept = [event["EventId"] for event in retention.recent_events()]
        assert kept == list(range(5, retention.EVENTS + 5))


class TestCode:
    def test_is_held_once_by_functions_that_share_it(self) -> None:
        def fetch(bucket: str, key: str) -> bytes | None:
            return bytes(bytearray(key.encode() * 100)) if key else None

        shared = retention.sharing_code(fetch)
        for name, key in (("a", "one"), ("b", "one"), ("c", "other")):
            lambda_svc._functions[name] = {"code_zip": shared("bucket", key)}
        codes = [lambda_svc._functions[name]["code_zip"] for name in "abc"]
        assert codes[0] is codes[1]
        assert codes[2] == b"other" * 100
        assert shared("bucket", "") is None
