"""How much data a state machine may carry: 262,144 bytes of UTF-8 for each input and output.

What is larger ends the execution with `States.DataLimitExceeded`, which `States.ALL` does not catch.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html and
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import stepfunctions

MAX_BYTES = 262_144
_EXCEEDED = "States.DataLimitExceeded"
_CARRIES = frozenset({"StateEntered", "StateExited", "TaskSucceeded"})


def install() -> None:
    stepfunctions._start_execution = _refusing_large_input(stepfunctions._start_execution)
    stepfunctions._add_event = _limiting(stepfunctions._add_event)
    stepfunctions._error_matches = _uncaught(stepfunctions._error_matches)


def _is_too_large(text: str) -> bool:
    # A character has at most 4 bytes: almost nothing has to be encoded.
    return len(text) * 4 > MAX_BYTES and len(text.encode()) > MAX_BYTES


def _refusing_large_input(start: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    @functools.wraps(start)
    def wrapper(data: dict[str, Any]) -> Any:
        if _is_too_large(str(data.get("input", ""))):
            rule = f"Member must have length less than or equal to {MAX_BYTES}"
            message = f"1 validation error detected: Value at 'input' failed to satisfy constraint: {rule}"
            return error_response_json("ValidationException", message, 400)
        return start(data)

    return wrapper


def _limiting(add_event: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(add_event)
    def wrapper(execution: dict[str, Any], event_type: str, details: Any = None) -> Any:
        if event_type.endswith(tuple(_CARRIES)):
            for carried in (details or {}).values():
                if any(_is_too_large(str(carried.get(part, ""))) for part in ("input", "output")):
                    what = carried.get("name") or carried.get("resource", "")
                    raise stepfunctions._ExecutionError(
                        _EXCEEDED,
                        f"The state/task '{what}' returned a result with a size exceeding the maximum number of bytes "
                        "service limit.",
                    )
        return add_event(execution, event_type, details)

    return wrapper


def _uncaught(matches: Callable[[Sequence[str], str], bool]) -> Callable[[Sequence[str], str], bool]:
    @functools.wraps(matches)
    def wrapper(names: Sequence[str], error: str) -> bool:
        return error in names if error == _EXCEEDED else matches(names, error)

    return wrapper
