"""Bounds what ministack keeps of the past, so that its process does not grow with every job.

ministack keeps a log stream for each invocation of a function, every execution with its history, every event ever put,
a second copy of each log event, and a copy of the code for each function.
On a laptop the latest of these say enough. The log streams of jobs are data and are not touched.
"""

from __future__ import annotations

import functools
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch_logs, eventbridge, lambda_svc, stepfunctions

from localcloud.seam import executions

# Of each function: one stream is one invocation.
LAMBDA_STREAMS = 100
FINISHED_EXECUTIONS = 100
# Nothing reads these; they are for whoever looks into the process.
EVENTS = 100
# ministack's index of log events, for Logs Insights, which makes what is missing again.
LOG_POINTERS = 1000

_LAMBDA_STREAM = re.compile(r"\d{4}/\d\d/\d\d/\[")

_lock = threading.Lock()


def install() -> None:
    lambda_svc._emit_lambda_logs = _then(
        lambda_svc._emit_lambda_logs, lambda function, *_rest, **_named: trim_lambda_streams(function)
    )
    lambda_svc._fetch_code_from_s3 = sharing_code(lambda_svc._fetch_code_from_s3)
    stepfunctions._run_execution = _then(stepfunctions._run_execution, lambda _arn: forget_executions())
    cloudwatch_logs._put_log_events = _then(cloudwatch_logs._put_log_events, lambda _data: forget_log_pointers())
    eventbridge._events_log_list = recent_events


def trim_lambda_streams(function: dict[str, Any], keep: int = LAMBDA_STREAMS) -> None:
    """Forget the oldest streams of a function's log group; other streams in it, such as a job's, stay."""
    config = function.get("config") or function
    name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"
    with _lock:
        group = cloudwatch_logs._log_groups.get(name)
        if group is None or len(group["streams"]) <= keep:
            return
        streams = [stream for stream in list(group["streams"]) if _LAMBDA_STREAM.match(stream)]
        for stream in streams[: max(0, len(streams) - keep)]:
            del group["streams"][stream]


def forget_executions(keep: int = FINISHED_EXECUTIONS) -> None:
    """Forget the executions that ended first. On AWS they are forgotten after 90 days."""
    with _lock:
        runs = stepfunctions._executions._data
        ended = [
            (run["stopDate"], key)
            for key, run in list(runs.items())
            # What an aborted execution has started is still being stopped, with what is known about it.
            if run["stopDate"] is not None and not executions.is_under_way(run["executionArn"])
        ]
        for _stopped, key in sorted(ended)[: max(0, len(ended) - keep)]:
            del runs[key]


def forget_log_pointers(keep: int = LOG_POINTERS) -> None:
    with _lock:
        pointers = cloudwatch_logs._log_records._data
        for pointer in list(pointers)[: max(0, len(pointers) - keep)]:
            del pointers[pointer]


def recent_events() -> deque[dict[str, Any]]:
    """Where EventBridge notes events, with room for the latest."""
    entries: deque[dict[str, Any]] | None = eventbridge._events_log.get("entries")
    if entries is None:
        entries = eventbridge._events_log["entries"] = deque(maxlen=EVENTS)
    return entries


def sharing_code(fetch: Callable[..., bytes | None]) -> Callable[..., bytes | None]:
    """Let functions with the same code hold the same bytes."""

    @functools.wraps(fetch)
    def wrapper(*arguments: Any, **named: Any) -> bytes | None:
        code = fetch(*arguments, **named)
        for function in list(lambda_svc._functions.all_values()) if code else ():
            held = function.get("code_zip")
            if isinstance(held, bytes) and held == code:
                return held
        return code

    return wrapper


def _then(action: Callable[..., Any], afterwards: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(action)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        try:
            return action(*arguments, **named)
        finally:
            afterwards(*arguments, **named)

    return wrapper
