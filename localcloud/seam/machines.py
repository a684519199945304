"""Step Functions' integrations with SageMaker and Batch, which ministack lacks or takes for instant.

The call is made with credentials of the state machine's role, so that IAM decides about it as on AWS. Under `.sync` the task
waits for the job's end by a long poll, not by asking again and again; if the execution is aborted or the state times out
meanwhile, the job is stopped, as Step Functions does it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.services import stepfunctions

from localcloud.seam import authorization, executions
from localcloud.seam.batch_shapes import from_job, from_machine, from_response
from localcloud.seam.compute_client import ComputeClient, ComputeError, ComputeUnavailableError, Keys

logger = logging.getLogger(__name__)

WAIT_SECONDS = 300.0
_UNAVAILABLE_SECONDS = 60.0
_RETRY_SECONDS = 0.25

# The errors that SageMaker's and Batch's API models define; Step Functions names others after the service as a whole.
_MODELED = {
    "sagemaker": frozenset({"ConflictException", "ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound"}),
    "batch": frozenset({"ClientException", "ServerException"}),
}
# What `.sync` waits for: by the call that begins it, the emulator's kind of job and the word in SageMaker's members.
_JOBS = {
    "CreateTrainingJob": ("training-jobs", "TrainingJob"),
    "CreateTransformJob": ("transform-jobs", "TransformJob"),
}
_PREFIX = {"sagemaker": "SageMaker", "batch": "Batch"}
_UNMODELED = {"sagemaker": "AmazonSageMakerException", "batch": "AWSBatchException"}


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
        if action not in _JOBS:
            raise stepfunctions._ExecutionError("States.Runtime", f"{resource} is not supported")
        kind, word = _JOBS[action]
        name = arguments[f"{word}Name"]
        job = Waitable(
            kind,
            name,
            done=lambda d: d[f"{word}Status"] in ("Completed", "Failed", "Stopped"),
            succeeded=lambda d: d[f"{word}Status"] == "Completed",
            stop=lambda keys: _ignore(self._compute.sagemaker(f"Stop{word}", {f"{word}Name": name}, keys)),
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
        current = executions.current()
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
        current = executions.current()
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


def install(compute: ComputeClient, flush: Callable[[], None]) -> None:
    """Register the integrations.

    Args:
        flush: makes what has been written so far durable.
    """
    handlers = Integrations(compute, flush)
    dispatch = stepfunctions._SERVICE_DISPATCH
    dispatch["arn:aws:states:::sagemaker:"] = handlers.sagemaker
    dispatch["arn:aws:states:::aws-sdk:sagemaker:"] = handlers.sagemaker
    dispatch["arn:aws:states:::batch:submitJob"] = handlers.batch
