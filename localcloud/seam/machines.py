"""Step Functions' integrations with SageMaker and Batch, which ministack lacks or takes for instant.

The call is made with credentials of the state machine's role, so that IAM decides about it as on AWS. Under `.sync` the task
waits for the job's end by a long poll, not by asking again and again; if the execution is aborted or the state times out
meanwhile, the job is stopped, as Step Functions does it.
"""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ministack.services import stepfunctions

from localcloud.seam import authorization
from localcloud.seam.batch_shapes import from_job, from_machine, from_response
from localcloud.seam.compute_client import ComputeClient, ComputeError, ComputeUnavailableError, Keys

logger = logging.getLogger(__name__)

WAIT_SECONDS = 300.0
_UNAVAILABLE_SECONDS = 60.0
_RETRY_SECONDS = 0.25
_START_DELAY = 0.15

# The errors that SageMaker's and Batch's API models define; Step Functions names others after the service as a whole.
_MODELED = {
    "sagemaker": frozenset({"ConflictException", "ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound"}),
    "batch": frozenset({"ClientException", "ServerException"}),
}
_PREFIX = {"sagemaker": "SageMaker", "batch": "Batch"}
_UNMODELED = {"sagemaker": "AmazonSageMakerException", "batch": "AWSBatchException"}


@dataclass
class _Execution:
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


_current: contextvars.ContextVar[_Execution | None] = contextvars.ContextVar("aimatrix_execution", default=None)
_executions: dict[str, _Execution] = {}


@dataclass(frozen=True)
class Waitable:
    """A job that `.sync` waits for."""

    kind: str
    name: str
    done: Callable[[dict[str, Any]], bool]
    succeeded: Callable[[dict[str, Any]], bool]
    stop: Callable[[Keys], None]
    shown: Callable[[dict[str, Any]], dict[str, Any]] = lambda description: description


class Integrations:
    """The handlers that ministack dispatches to."""

    def __init__(self, compute: ComputeClient, flush: Callable[[], None]) -> None:
        """Create them.

        Args:
            flush: makes what has been written so far durable; called before anything is started outside.
        """
        self._compute = compute
        self._flush = flush

    def sagemaker(self, resource: str, arguments: Any) -> Any:
        """`arn:aws:states:::sagemaker:*` and `arn:aws:states:::aws-sdk:sagemaker:*`."""
        action = _action(resource)
        keys = self._keys()
        answer = self._call("sagemaker", resource, lambda: self._compute.sagemaker(action, arguments, keys))
        if ".sync" not in resource:
            return answer
        if action != "CreateTrainingJob":
            raise stepfunctions._ExecutionError("States.Runtime", f"{resource} is not supported")
        name = arguments["TrainingJobName"]
        job = Waitable(
            "training-jobs",
            name,
            done=lambda d: d["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
            succeeded=lambda d: d["TrainingJobStatus"] == "Completed",
            stop=lambda keys: _ignore(self._compute.sagemaker("StopTrainingJob", {"TrainingJobName": name}, keys)),
        )
        return self._wait(job)

    def batch(self, resource: str, arguments: Any) -> Any:
        """`arn:aws:states:::batch:submitJob`, with or without `.sync`."""
        keys = self._keys()
        request = from_machine("SubmitJob", arguments)
        answer = self._call("batch", resource, lambda: self._compute.batch("SubmitJob", request, keys))
        if ".sync" not in resource:
            return from_response("SubmitJob", answer)
        identifier = answer["jobId"]
        reason = {"jobId": identifier, "reason": "The execution was aborted."}
        job = Waitable(
            "batch-jobs",
            identifier,
            done=lambda d: d["status"] in ("SUCCEEDED", "FAILED"),
            succeeded=lambda d: d["status"] == "SUCCEEDED",
            stop=lambda keys: _ignore(self._compute.batch("TerminateJob", reason, keys)),
            shown=from_job,
        )
        return self._wait(job)

    def _keys(self) -> Keys:
        """Credentials of the role of the state machine whose execution this thread runs."""
        current = _current.get()
        if current is None:
            raise stepfunctions._ExecutionError("States.Runtime", "the task does not belong to an execution")
        execution = stepfunctions._executions[current.arn]
        role = stepfunctions._state_machines[execution["stateMachineArn"]]["roleArn"]
        try:
            session = authorization.assume(role, "states.amazonaws.com", execution["name"])
        except authorization.RefusedError as error:
            raise stepfunctions._ExecutionError("States.Permissions", str(error)) from error
        return Keys(session["AccessKeyId"], session["SecretAccessKey"], session["Token"])

    def _call(self, service: str, resource: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        # The emulator acts on what was decided so far, so that must not be lost if this process is killed now.
        self._flush()
        try:
            return call()
        except ComputeError as error:
            raise stepfunctions._ExecutionError(
                error_name(service, resource, error.code), _cause(service, error)
            ) from error
        except ComputeUnavailableError as error:
            name = f"{_PREFIX[service]}.SdkClientException"
            raise stepfunctions._ExecutionError(name, str(error)) from error

    def _wait(self, job: Waitable) -> dict[str, Any]:
        current = _current.get()
        assert current is not None  # noqa: S101  (`_keys` has found it)
        with current.stopping_with(lambda: self._stop(job)):
            if not current.running:
                # It was aborted after the job had been asked for and before the line above.
                self._stop(job)
            description = self._await_end(job)
        if current.running and not job.succeeded(description):
            raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(job.shown(description)))
        return job.shown(description)

    def _await_end(self, job: Waitable) -> dict[str, Any]:
        unavailable_since: float | None = None
        while True:
            try:
                description = self._compute.wait(job.kind, job.name, WAIT_SECONDS)
            except ComputeError as error:
                raise stepfunctions._ExecutionError("States.TaskFailed", str(error)) from error
            except ComputeUnavailableError as error:
                # The emulator is being started again; it knows its jobs when it is back.
                now = time.monotonic()
                unavailable_since = unavailable_since or now
                if now - unavailable_since > _UNAVAILABLE_SECONDS:
                    raise stepfunctions._ExecutionError("States.TaskFailed", str(error)) from error
                time.sleep(_RETRY_SECONDS)
            else:
                if job.done(description):
                    return description
                unavailable_since = None

    def _stop(self, job: Waitable) -> None:
        try:
            job.stop(self._keys())
        except (ComputeError, ComputeUnavailableError, stepfunctions._ExecutionError):
            # A job that has just ended cannot be stopped; any other reason is seen by whoever looks at the job.
            logger.warning("could not stop %s", job.name, exc_info=True)


def error_name(service: str, resource: str, code: str) -> str:
    """The name Step Functions gives an error of an integrated service.

    An error of the API's model has the name of its class in the AWS SDK for Java; any other, such as a refusal or a
    throttle, has the name of the service's own exception class.
    """
    prefix = _PREFIX[service]
    if code in _MODELED[service]:
        return f"{prefix}.{code}" if code.endswith("Exception") else f"{prefix}.{code}Exception"
    if ":aws-sdk:" in resource:
        return f"{prefix}.{prefix}Exception"
    return f"{prefix}.{_UNMODELED[service]}"


def _cause(service: str, error: ComputeError) -> str:
    return f"{error} (Service: {_PREFIX[service]}, Status Code: {error.status}, Error Code: {error.code})"


def _action(resource: str) -> str:
    name = resource.replace(".sync", "").rsplit(":", 1)[-1]
    return name[:1].upper() + name[1:]


def _ignore(answer: dict[str, Any]) -> None:
    """For calls whose answer says nothing more than that they were made."""


def install(compute: ComputeClient, flush: Callable[[], None], begin: Callable[[], None]) -> None:
    """Register the integrations, and let an execution's end reach what it started.

    Args:
        flush: makes what has been written so far durable.
        begin: called before an execution's first state, in the execution's own thread; may wait.
    """
    handlers = Integrations(compute, flush)
    dispatch = stepfunctions._SERVICE_DISPATCH
    dispatch["arn:aws:states:::sagemaker:"] = handlers.sagemaker
    dispatch["arn:aws:states:::aws-sdk:sagemaker:"] = handlers.sagemaker
    dispatch["arn:aws:states:::batch:submitJob"] = handlers.batch
    stepfunctions._run_execution = _with_current_execution(stepfunctions._run_execution)
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


def current_execution_arn() -> str | None:
    """The execution on whose behalf this thread works, if any."""
    current = _current.get()
    return current.arn if current else None


def _with_current_execution(run: Callable[[str], None]) -> Callable[[str], None]:
    @functools.wraps(run)
    def wrapper(arn: str) -> None:
        current = _executions[arn] = _Execution(arn)
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


def _stop_all(current: _Execution) -> None:
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
        own = _Execution(current.arn) if current is not None else None
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
