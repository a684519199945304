"""Runs a state machine through ministack's Step Functions interpreter, without a socket, with prepared answers.

A process of its own (`run` starts it): the interpreter keeps global state and reads how long to wait when it is imported.
What a machine calls is answered from the scenario, in order, per callee:

    {"return": value}                     the call succeeds
    {"throw": {"Error": .., "Cause": ..}} the call fails
    {"token": {"return": ..}|{"throw": ..}} a task with a token: answered by SendTaskSuccess or SendTaskFailure
    {"silent": true}                      a task with a token that nobody answers

A callee is `PlanJob` for a function, or `sagemaker:createTrainingJob.sync` for a service.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

Scenario = dict[str, Any]
Outcome = dict[str, Any]
_SERVICE = "arn:aws:states:::"
_SUBSTITUTION = re.compile(r"\$\{(\w+)\}")


def run(definition: dict[str, Any], scenarios: dict[str, Scenario]) -> dict[str, Outcome]:
    """The outcome of every scenario: status, output, visited states, calls with their arguments, and waits in seconds."""
    request = json.dumps({"definition": definition, "scenarios": scenarios})
    result = subprocess.run(
        [sys.executable, "-m", "tests.stepfunctions.interpreter"],
        input=request,
        env={**os.environ, "SFN_WAIT_SCALE": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if result.returncode != 0:
        raise RuntimeError(f"the interpreter failed:\n{result.stderr}")
    outcomes: dict[str, Outcome] = json.loads(result.stdout.splitlines()[-1])
    return outcomes


class Answers:
    """The scenario's side of the conversation: hands out answers, and notes what was asked."""

    def __init__(self, prepared: dict[str, list[dict[str, Any]]]) -> None:
        self._prepared = {callee: list(answers) for callee, answers in prepared.items()}
        self.calls: list[dict[str, Any]] = []

    def next(self, callee: str, arguments: Any) -> dict[str, Any]:
        self.calls.append({"callee": callee, "arguments": arguments})
        answers = self._prepared.get(callee)
        if not answers:
            return {"throw": {"Error": "Unprepared", "Cause": f"the scenario has no answer for {callee}"}}
        # The last answer stands for all further calls.
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _run_all(definition: dict[str, Any], scenarios: dict[str, Scenario]) -> dict[str, Outcome]:
    from ministack.services import stepfunctions

    from localcloud.seam import task_tokens

    waits: list[float] = []
    current = Answers({})

    def answer(callee: str, arguments: Any) -> Any:
        prepared = current.next(callee, arguments)
        if "throw" in prepared:
            raise stepfunctions._ExecutionError(prepared["throw"]["Error"], prepared["throw"].get("Cause", ""))
        if token_answer := prepared.get("token"):
            _answer_token(stepfunctions, arguments["token"], token_answer)
            return None
        return None if prepared.get("silent") else prepared["return"]

    def call_service(resource: str, arguments: Any) -> Any:
        return answer(resource.removeprefix(_SERVICE), arguments)

    stepfunctions._call_lambda = lambda function, event: answer(function, event)
    task_tokens.fail_with_the_function(stepfunctions)
    stepfunctions._resolve_lambda_function_ref = lambda value, optimized: value
    stepfunctions._scaled_sleep = waits.append
    for prefix in ("sagemaker:", "batch:", "aws-sdk:"):
        stepfunctions._SERVICE_DISPATCH[_SERVICE + prefix] = call_service

    outcomes = {}
    for index, (name, scenario) in enumerate(scenarios.items()):
        current = Answers(scenario["answers"])
        waits.clear()
        shortened = json.loads(json.dumps(definition))
        for state, seconds in scenario.get("shortened", {}).items():
            shortened["States"][state]["TimeoutSeconds"] = seconds
        arn = f"arn:aws:states:us-east-1:000000000000:execution:machine:{index}"
        outcomes[name] = {**_execute(stepfunctions, shortened, arn, scenario["input"]), "calls": current.calls}
        outcomes[name]["waits"] = list(waits)
    return outcomes


def _execute(stepfunctions: Any, definition: dict[str, Any], arn: str, document: Any) -> Outcome:
    machine = "arn:aws:states:us-east-1:000000000000:stateMachine:machine"
    # ${PlanJob} becomes PlanJob, where CloudFormation would put an ARN.
    text = _SUBSTITUTION.sub(r"\1", json.dumps(definition))
    stepfunctions._state_machines[machine] = {"definition": text, "name": "machine", "stateMachineArn": machine}
    stepfunctions._executions[arn] = {
        "executionArn": arn,
        "stateMachineArn": machine,
        "name": arn.rpartition(":")[2],
        "status": "RUNNING",
        "startDate": "2026-01-01T00:00:00Z",
        "input": json.dumps(document),
        "events": [],
    }
    stepfunctions._run_execution(arn)
    execution = stepfunctions._executions[arn]
    entered = [event.get("stateEnteredEventDetails") for event in execution["events"]]
    return {
        "status": execution["status"],
        "error": execution.get("error"),
        "cause": execution.get("cause"),
        "states": [details["name"] for details in entered if details],
    }


def _answer_token(stepfunctions: Any, token: str, prepared: dict[str, Any]) -> None:
    if "throw" in prepared:
        error = prepared["throw"]
        stepfunctions._send_task_failure({"taskToken": token, "error": error["Error"], "cause": error.get("Cause", "")})
    else:
        stepfunctions._send_task_success({"taskToken": token, "output": json.dumps(prepared["return"])})


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(_run_all(asked["definition"], asked["scenarios"])))
