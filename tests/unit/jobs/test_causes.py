"""Why an attempt ended, told from AWS's own words, and what follows."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from chalicelib.jobs.causes import ASKABLE, MAX_WAIT_SECONDS, POLICIES, Cause, cause_of, policy_of, wait_before_retry
from chalicelib.jobs.gateways import ABSENT, BackendJob, BackendState
from chalicelib.jobs.request import Retry, RetryCause

TEXTS = [
    ("CapacityError: Unable to provision requested ML compute capacity. Please retry", Cause.CAPACITY),
    ("Insufficient capacity.", Cause.CAPACITY),
    ("Host EC2 (instance i-0123456789abcdef0) terminated.", Cause.SPOT_INTERRUPTION),
    ("InternalServerError: We encountered an internal error. Please try again.", Cause.INTERNAL),
    ("CannotPullContainerError: Error response from daemon: manifest unknown", Cause.IMAGE),
    ("ClientError: Cannot pull image 1.dkr.ecr.us-east-1.amazonaws.com/x:1", Cause.IMAGE),
    ("ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions", Cause.IMAGE),
    ("CannotStartContainerError: OCI runtime create failed: exec: python3: executable file not found", Cause.IMAGE),
    ("CannotStartContainerError: failed to get container status", Cause.INTERNAL),
    ("DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s", Cause.INTERNAL),
    ("ResourceInitializationError: failed to initialize logging driver", Cause.INTERNAL),
    ("Task failed to start", Cause.INTERNAL),
    ("Cancelled: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", Cause.CAPACITY),
    ("ClientError: Data download failed: NoSuchKey", Cause.DATA),
    ("ClientError: Please use an instance type with more memory, or reduce the size of the data", Cause.OUT_OF_MEMORY),
    ("OutOfMemoryError: Container killed due to memory usage", Cause.OUT_OF_MEMORY),
    ("AlgorithmError: , exit code: 137", Cause.OUT_OF_MEMORY),
    ("AlgorithmError: torch.OutOfMemoryError: CUDA out of memory. Tried, exit code: 1", Cause.OUT_OF_MEMORY),
    ("AlgorithmError: ValueError: no rows left, exit code: 1", Cause.SCRIPT),
    ("Essential container in task exited", Cause.SCRIPT),
    # What a script says is not what the cloud says.
    ("AlgorithmError: ThrottlingException in my own code, exit code: 1", Cause.SCRIPT),
    ("AlgorithmError: Spot is not a good dog, exit code: 1", Cause.SCRIPT),
]


def _failed(reason: str, **more: Any) -> BackendJob:
    return BackendJob(BackendState.FAILED, reason=reason, **more)


class TestCause:
    @pytest.mark.parametrize(("reason", "cause"), TEXTS)
    def test_is_told_from_what_the_backend_says(self, reason: str, cause: Cause) -> None:
        assert cause_of(_failed(reason), None) is cause

    def test_is_full_memory_where_batch_gives_the_exit_code_alone(self) -> None:
        assert cause_of(_failed("Essential container in task exited", exit_code=137), None) is Cause.OUT_OF_MEMORY

    @pytest.mark.parametrize(
        "said", ["RuntimeError: CUDA out of memory.", "MemoryError", "terminate called: std::bad_alloc"]
    )
    def test_is_full_memory_by_the_scripts_last_words(self, said: str) -> None:
        assert cause_of(_failed("Essential container in task exited", exit_code=1), None, said) is Cause.OUT_OF_MEMORY

    def test_is_what_step_functions_caught_where_the_backend_knows_nothing(self) -> None:
        assert cause_of(ABSENT, "SageMaker.ThrottlingException: Rate exceeded") is Cause.THROTTLING
        assert cause_of(ABSENT, "SageMaker.AmazonSageMakerException: 1 validation error") is Cause.REFUSED

    def test_is_no_interruption_where_sagemaker_refuses_a_parameter_that_is_called_spot(self) -> None:
        refused = "SageMaker.AmazonSageMakerException: EnableManagedSpotTraining needs MaxWaitTimeInSeconds"
        assert cause_of(ABSENT, refused) is Cause.REFUSED

    def test_is_lacking_data_where_the_agent_had_to_fetch_it(self) -> None:
        failed = _failed("Essential container in task exited", exit_code=1)
        assert cause_of(failed, None, "Data download failed: no such key", "data") is Cause.DATA
        assert cause_of(failed, None, "Data download failed: no such key", "capacity") is Cause.SCRIPT

    def test_is_the_time_limit_or_a_stop_whatever_was_said(self) -> None:
        assert cause_of(_failed("CapacityError", timed_out=True), None) is Cause.TIME_LIMIT
        assert cause_of(BackendJob(BackendState.STOPPED), None) is Cause.STOPPED


class TestPolicy:
    def test_of_every_cause_is_in_the_table(self) -> None:
        assert set(POLICIES) == set(Cause)

    def test_may_be_asked_for_what_the_request_names(self) -> None:
        assert {cause.value for cause in ASKABLE} == set(get_args(RetryCause))

    def test_is_tightened(self) -> None:
        assert policy_of(Cause.CAPACITY, {"max_attempts": 2}).attempts == 2
        assert policy_of(Cause.INTERNAL, {"on": ["capacity"]}).attempts == 1

    def test_is_widened_only_by_name(self) -> None:
        assert policy_of(Cause.SCRIPT, {"max_attempts": 9}).attempts == 1
        assert policy_of(Cause.SCRIPT, {"on": ["script"]}).attempts == 3
        assert policy_of(Cause.SCRIPT, {"on": ["script"], "max_attempts": 9}).attempts == 9

    @pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in ASKABLE])
    def test_of_what_is_nobodys_to_change_stays(self, cause: Cause) -> None:
        assert policy_of(cause, {"max_attempts": 9, "on": []}) == POLICIES[cause]


class TestWait:
    def test_doubles_with_half_of_it_by_chance_up_to_a_bound(self) -> None:
        for ended in range(1, 8):
            longest = min(MAX_WAIT_SECONDS, 30 << (ended - 1))
            waits = {wait_before_retry(Cause.CAPACITY, ended, {}, f"job-{n}") for n in range(200)}
            assert {wait is not None and longest // 2 <= wait <= longest for wait in waits} == {True}
            assert len(waits) > 10

    def test_is_the_same_for_whoever_asks_twice(self) -> None:
        first, second = (wait_before_retry(Cause.CAPACITY, 3, {}, "job-1") for _ in range(2))
        assert first == second

    def test_has_an_end(self) -> None:
        assert wait_before_retry(Cause.CAPACITY, 8, {}, "job") is None
        assert wait_before_retry(Cause.SCRIPT, 1, {}, "job") is None


class TestRequest:
    @pytest.mark.parametrize(
        "retry",
        [
            {"max_attempts": 0},
            {"max_attempts": 21},
            {"on": ["time-limit"]},
            {"on": ["script", "script"]},
            {"times": 3},
        ],
    )
    def test_is_refused_out_of_bounds(self, retry: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Retry.model_validate(retry)
