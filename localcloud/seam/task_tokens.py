"""Tasks that wait with a token, as AWS has them.

SendTaskSuccess and its relatives are authorized on the state machine that the token belongs to: ministack sees no resource
in such a call and asks for `*`, which no role here has. A function that fails under `.waitForTaskToken` fails its task:
ministack would let it wait for an answer that nobody can give.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.seam import executions

# Token → ARN of the machine, while its task waits.
_machines: dict[str, str] = {}
# Whether this thread calls a function for a task with a token.
_calling = threading.local()


class _FunctionFailed(Exception):
    """Carries the error of a function past the place where ministack would swallow it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def install() -> None:
    from ministack.core import iam_actions
    from ministack.services import stepfunctions

    fail_with_the_function(stepfunctions)
    stepfunctions._invoke_with_callback = _remembering(stepfunctions._invoke_with_callback, stepfunctions._executions)
    iam_actions.extract_resource_arn = _by_token(iam_actions.extract_resource_arn)


def fail_with_the_function(stepfunctions: Any) -> None:
    """Let a task with a token fail when its function does; its retries and catches see the function's error."""
    call, invoke = stepfunctions._call_lambda, stepfunctions._invoke_with_callback

    def call_lambda(function: str, event: Any) -> Any:
        try:
            return call(function, event)
        except stepfunctions._ExecutionError as error:
            if getattr(_calling, "with_token", False):
                raise _FunctionFailed(error) from error
            raise

    def invoke_with_callback(resource: str, input_data: Any, token: str, state_def: Any) -> Any:
        _calling.with_token = True
        try:
            return invoke(resource, input_data, token, state_def)
        except _FunctionFailed as failed:
            stepfunctions._task_tokens.pop(token, None)
            raise failed.error from None
        finally:
            _calling.with_token = False

    stepfunctions._call_lambda, stepfunctions._invoke_with_callback = call_lambda, invoke_with_callback


def _remembering(invoke: Callable[..., Any], runs: Mapping[str, Any]) -> Callable[..., Any]:
    def invoke_with_callback(resource: str, input_data: Any, token: str, state_def: Any) -> Any:
        current = executions.current()
        if current is not None:
            _machines[token] = runs[current.arn]["stateMachineArn"]
        try:
            return invoke(resource, input_data, token, state_def)
        finally:
            _machines.pop(token, None)

    return invoke_with_callback


def _by_token(extract: Callable[..., str]) -> Callable[..., str]:
    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any) -> str:
        if service == "states" and b"taskToken" in body:
            try:
                token = json.loads(body).get("taskToken")
            except (ValueError, AttributeError):
                token = None
            if token in _machines:
                return _machines[token]
        return extract(service, method, path, headers, body, *more)

    return extract_resource_arn
