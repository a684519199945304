"""Authorizes SendTaskSuccess and its relatives on the state machine that a task token belongs to, as AWS does.

ministack sees no resource in such a call and asks for `*`, which no role here has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.seam import executions

# Token → ARN of the machine, while its task waits.
_machines: dict[str, str] = {}


def install() -> None:
    from ministack.core import iam_actions
    from ministack.services import stepfunctions

    stepfunctions._invoke_with_callback = _remembering(stepfunctions._invoke_with_callback, stepfunctions._executions)
    iam_actions.extract_resource_arn = _by_token(iam_actions.extract_resource_arn)


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
