"""Deletion of a state machine, as AWS has it.

DeleteStateMachine sets the machine to DELETING. What runs of it goes on until its next transition and fails there; the
machine is gone once nothing of it runs, and until then nothing new is started. ministack forgets machine and executions at
once, and their threads go on unseen.

Sources: https://docs.aws.amazon.com/step-functions/latest/apireference/API_DeleteStateMachine.html and, for the error of an
execution, https://repost.aws/knowledge-center/step-functions-stuck-deleting-status
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions

_DELETING = "DELETING"
Call = Callable[[dict[str, Any]], Any]


def install() -> None:
    forget = stepfunctions._delete_state_machine
    stepfunctions._delete_state_machine = _deleting(forget)
    stepfunctions._create_state_machine = _refusing_while_deleting(stepfunctions._create_state_machine)
    stepfunctions._update_state_machine = _refusing_while_deleting(stepfunctions._update_state_machine)
    stepfunctions._start_execution = _refusing_while_deleting(stepfunctions._start_execution)
    stepfunctions._add_event = _failing_at_a_transition(stepfunctions._add_event)
    stepfunctions._run_execution = _forgetting_afterwards(stepfunctions._run_execution, forget)


def _is_deleting(arn: str) -> bool:
    machine = stepfunctions._state_machines.get(arn)
    return machine is not None and machine.get("status") == _DELETING


def _runs(arn: str) -> bool:
    runs = list(stepfunctions._executions.values())
    return any(each["stateMachineArn"] == arn and each["status"] == "RUNNING" for each in runs)


def _deleting(forget: Call) -> Call:
    @functools.wraps(forget)
    def delete_state_machine(data: dict[str, Any]) -> Any:
        arn = data.get("stateMachineArn", "")
        machine = stepfunctions._state_machines.get(arn)
        if machine is None:
            # No error of the call is for it.
            return json_response({})
        # Put anew, not changed in place: only what is put is written to the journal.
        stepfunctions._state_machines[arn] = {**machine, "status": _DELETING}
        return json_response({}) if _runs(arn) else forget(data)

    return delete_state_machine


def _refusing_while_deleting(call: Call) -> Call:
    @functools.wraps(call)
    def wrapper(data: dict[str, Any]) -> Any:
        name = data.get("name", "")
        arn = data.get("stateMachineArn") or next(
            (arn for arn, machine in stepfunctions._state_machines.items() if machine["name"] == name), ""
        )
        if _is_deleting(arn):
            return error_response_json("StateMachineDeleting", f"State Machine is being deleted: '{arn}'", 400)
        return call(data)

    return wrapper


def _failing_at_a_transition(add_event: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(add_event)
    def wrapper(execution: dict[str, Any], event_type: str, details: Any = None) -> Any:
        arn = execution.get("stateMachineArn", "")
        if event_type.endswith("StateEntered") and execution["status"] == "RUNNING" and _is_deleting(arn):
            name = arn.rsplit(":", 1)[-1]
            raise stepfunctions._ExecutionError("States.Runtime", f"State machine {name} has been deleted.")
        return add_event(execution, event_type, details)

    return wrapper


def _forgetting_afterwards(run: Callable[[str], None], forget: Call) -> Callable[[str], None]:
    @functools.wraps(run)
    def wrapper(execution_arn: str) -> None:
        execution = stepfunctions._executions.get(execution_arn)
        run(execution_arn)
        arn = execution["stateMachineArn"] if execution else ""
        if _is_deleting(arn) and not _runs(arn):
            forget({"stateMachineArn": arn})

    return wrapper
