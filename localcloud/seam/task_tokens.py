"""Tasks that wait with a token, as AWS has them.

SendTaskSuccess and its relatives are authorized on the state machine that the token belongs to: ministack sees no resource
in such a call and asks for `*`, which no role here has. A function that fails under `.waitForTaskToken` fails its task:
ministack would let it wait for an answer that nobody can give.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.seam import executions

_ENDED_KEPT = 10_000
# Whether this thread calls a function for a task with a token.
_calling = threading.local()


class Machines:
    """Which state machine a token belongs to: ARN by token.

    A token of AWS says whose it is also when its task has ended, and a late answer is authorized and told so. The last
    `kept` of those that have ended stay known.
    """

    def __init__(self, kept: int) -> None:
        self._by_token: dict[str, str] = {}
        self._ended: deque[str] = deque()
        self._kept = kept

    def begin(self, token: str, machine: str) -> None:
        self._by_token[token] = machine

    def end(self, token: str) -> None:
        self._ended.append(token)
        if len(self._ended) > self._kept:
            self._by_token.pop(self._ended.popleft(), None)

    def of_request(self, body: bytes) -> str | None:
        """The machine of the token in the body of a SendTask call; None where the token is nobody's."""
        try:
            return self._by_token.get(json.loads(body)["taskToken"])
        except (ValueError, TypeError, KeyError):
            return None


class _FunctionFailed(Exception):
    """Carries the error of a function past the place where ministack would swallow it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def install() -> None:
    from ministack.core import iam_actions
    from ministack.services import stepfunctions

    fail_with_the_function(stepfunctions)
    machines = Machines(kept=_ENDED_KEPT)
    stepfunctions._invoke_with_callback = _remembering(
        machines, stepfunctions._invoke_with_callback, stepfunctions._executions
    )
    iam_actions.extract_resource_arn = _by_token(machines, iam_actions.extract_resource_arn)


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


def _remembering(machines: Machines, invoke: Callable[..., Any], runs: Mapping[str, Any]) -> Callable[..., Any]:
    def invoke_with_callback(resource: str, input_data: Any, token: str, state_def: Any) -> Any:
        current = executions.current()
        if current is not None:
            machines.begin(token, runs[current.arn]["stateMachineArn"])
        try:
            return invoke(resource, input_data, token, state_def)
        finally:
            machines.end(token)

    return invoke_with_callback


def _by_token(machines: Machines, extract: Callable[..., str]) -> Callable[..., str]:
    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any) -> str:
        machine = machines.of_request(body) if service == "states" and b"taskToken" in body else None
        return machine or extract(service, method, path, headers, body, *more)

    return extract_resource_arn
