"""Follows the executions of state machines: which one a thread works for, when it begins, and what its end stops.

ministack starts a thread for each execution and forgets what the execution has started elsewhere.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ministack.services import stepfunctions

_START_DELAY = 0.15


@dataclass
class Execution:
    """What an execution has running behind it."""

    arn: str
    stops: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def stopping_with(self, stop: Callable[[], None]) -> Iterator[None]:
        """Within it, an abort of the execution calls `stop`."""
        with self.lock:
            self.stops.append(stop)
        try:
            yield
        finally:
            with self.lock:
                self.stops.remove(stop)

    def stop_all(self) -> None:
        with self.lock:
            stops = list(self.stops)
        for stop in stops:
            stop()

    @property
    def running(self) -> bool:
        execution = stepfunctions._executions.get(self.arn)
        return execution is not None and execution["status"] == "RUNNING"


_current: contextvars.ContextVar[Execution | None] = contextvars.ContextVar("aimatrix_execution", default=None)
_executions: dict[str, Execution] = {}


def current() -> Execution | None:
    """The execution on whose behalf this thread works, if any."""
    return _current.get()


def is_under_way(arn: str) -> bool:
    """Whether a thread still works for the execution, which may have been aborted meanwhile."""
    return arn in _executions


def install(begin: Callable[[], None]) -> None:
    """Let an execution's end reach what it started.

    Args:
        begin: called before an execution's first state, in the execution's own thread; may wait.
    """
    stepfunctions._run_execution = following(stepfunctions._run_execution)
    stepfunctions._stop_execution = _stopping_jobs(stepfunctions._stop_execution)
    stepfunctions._fail_execution = _keeping_abort(stepfunctions._fail_execution)
    stepfunctions._invoke_resource_with_timeout = _stopping_on_timeout(stepfunctions._invoke_resource_with_timeout)
    stepfunctions.time = StartClock(begin)


class StartClock:
    """The `time` module for Step Functions, with a rule of ours for when an execution begins.

    ministack pauses for 0.15 s before each execution's first state.
    """

    def __init__(self, begin: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
        self._begin = begin
        self._sleep = sleep

    def sleep(self, seconds: float) -> None:
        if seconds == _START_DELAY:
            self._begin()
        else:
            self._sleep(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def following(run: Callable[[str], None]) -> Callable[[str], None]:
    """Let `run`, which runs an execution to its end, be known as its thread meanwhile."""

    @functools.wraps(run)
    def wrapper(arn: str) -> None:
        current = _executions[arn] = Execution(arn)
        token = _current.set(current)
        try:
            run(arn)
        finally:
            _current.reset(token)
            del _executions[arn]

    return wrapper


def _stopping_jobs(stop_execution: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(stop_execution)
    def wrapper(data: Any) -> Any:
        answer = stop_execution(data)
        current = _executions.get(data.get("executionArn"))
        if current is not None and not current.running:
            # In a thread, because this runs on the event loop that the emulator asks about the caller's permissions.
            threading.Thread(target=contextvars.copy_context().run, args=(_stop_all, current), daemon=True).start()
        return answer

    return wrapper


def _stop_all(current: Execution) -> None:
    _current.set(current)
    current.stop_all()


def _keeping_abort(fail: Callable[..., None]) -> Callable[..., None]:
    """An aborted execution stays aborted, whatever the task that it left behind says later."""

    @functools.wraps(fail)
    def wrapper(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    return wrapper


def _stopping_on_timeout(invoke: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(invoke)
    def wrapper(resource: str, input_data: Any, timeout: float) -> Any:
        current = _current.get()
        # Jobs of this state alone: a parallel branch has others in the same execution.
        own = Execution(current.arn) if current is not None else None
        token = _current.set(own)
        try:
            if current is None or own is None:
                return invoke(resource, input_data, timeout)
            with current.stopping_with(own.stop_all):
                return invoke(resource, input_data, timeout)
        except stepfunctions._ExecutionError as error:
            if error.error == "States.Timeout" and own is not None:
                own.stop_all()
            raise
        finally:
            _current.reset(token)

    return wrapper
