"""The shipped machines, run through the scenarios that lie beside them in stepfunctions/scenarios/."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from infra import machines, names
from tests.stepfunctions import interpreter


def scenarios(machine: str) -> dict[str, interpreter.Scenario]:
    path = machines.DEFINITIONS / "scenarios" / f"{machine.replace('-', '_')}.json"
    loaded: dict[str, interpreter.Scenario] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@cache
def outcomes(machine: str) -> dict[str, interpreter.Outcome]:
    return interpreter.run(machines.definition(machine), scenarios(machine))


ALL = [(machine, name) for machine in names.MACHINES for name in scenarios(machine)]


@pytest.mark.parametrize(("machine", "name"), ALL, ids=[f"{machine}: {name}" for machine, name in ALL])
class TestScenario:
    def test_takes_the_expected_path(self, machine: str, name: str) -> None:
        expected, outcome = scenarios(machine)[name]["expect"], outcomes(machine)[name]
        visited = [state for state in outcome["states"] if state in machines.definition(machine)["States"]]
        assert (visited, outcome["status"]) == (expected["states"], expected["status"]), outcome

    def test_calls_with_the_expected_arguments(self, machine: str, name: str) -> None:
        expected, outcome = scenarios(machine)[name]["expect"], outcomes(machine)[name]
        last = {call["callee"]: call["arguments"] for call in outcome["calls"]}
        for callee, arguments in expected.get("last_call_to", {}).items():
            assert last[callee] == arguments
        counts = Counter(call["callee"] for call in outcome["calls"])
        for callee, count in expected.get("count", {}).items():
            assert counts[callee] == count, callee

    def test_waits_and_fails_as_expected(self, machine: str, name: str) -> None:
        expected, outcome = scenarios(machine)[name]["expect"], outcomes(machine)[name]
        assert outcome["error"] == expected.get("error")
        if "waits" in expected:
            assert outcome["waits"] == expected["waits"]
        if "last_error" in expected:
            assert _error_of_the_finish(outcome)["Error"] == expected["last_error"]


class TestScenarios:
    @pytest.mark.parametrize("machine", names.MACHINES)
    def test_visit_every_state_of_the_machine(self, machine: str) -> None:
        visited = {state for outcome in outcomes(machine).values() for state in outcome["states"]}
        assert machines.definition(machine)["States"].keys() <= visited

    @pytest.mark.parametrize("machine", names.MACHINES)
    def test_have_an_answer_for_every_call(self, machine: str) -> None:
        for name, outcome in outcomes(machine).items():
            answered = scenarios(machine)[name]["answers"].keys()
            assert {call["callee"] for call in outcome["calls"]} <= answered, name


def _error_of_the_finish(outcome: interpreter.Outcome) -> dict[str, Any]:
    error: dict[str, Any] = outcome["calls"][-1]["arguments"]["error"]
    return error
