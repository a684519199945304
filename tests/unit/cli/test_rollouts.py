"""``aimatrix rollouts``: one command, one answer."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import DEPLOYMENT_ID, Fault, deployment_document, model_document

ROLLOUT: dict[str, Any] = {
    "id": "3",
    "deployment_id": DEPLOYMENT_ID,
    "status": "running",
    "to": {"name": "v5", "model_id": "m5", "model_version": "5"},
    "step": 1,
    "steps": [
        {"weight": 10.0, "duration": "PT10M", "minimum_samples": 100, "status": "running", "samples": 42},
        {"weight": 100.0, "duration": "PT10M", "minimum_samples": 0, "status": "ahead"},
    ],
    "gates": [{"type": "error_rate", "gate": "error rate <= 0.05", "finding": "passed", "reason": "0 of 42."}],
    "created_at": "2031-05-01T10:00:00.000Z",
}
DONE = {**ROLLOUT, "status": "succeeded", "reason": "Every step passed.", "step": 2}
BACK = {**ROLLOUT, "status": "rolled-back", "reason": "At 10 %: error rate <= 0.05 was breached."}


def answer(terminal: Terminal, method: str, path: str, body: dict[str, Any], status: int = 200) -> None:
    terminal.service.faults.append(Fault(method, path, httpx.Response(status, json=body)))


@pytest.fixture
def ready(terminal: Terminal) -> Terminal:
    terminal.service.models = [model_document()]
    terminal.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(status="active")])
    return terminal


def start(terminal: Terminal, *words: str, ends: dict[str, Any] = DONE) -> Any:
    answer(terminal, "POST", "rollouts", ROLLOUT, 201)
    answer(terminal, "GET", "rollouts/3", ROLLOUT)
    answer(terminal, "GET", "rollouts/3", ends)
    return terminal.run("rollouts", "start", DEPLOYMENT_ID, "wine:1", *words)


def asked(terminal: Terminal) -> dict[str, Any]:
    (body,) = terminal.service.bodies("POST", f"/deployments/{DEPLOYMENT_ID}/rollouts")
    return {name: value for name, value in body.items() if name != "to"}


class TestStarting:
    def test_says_that_a_step_is_a_shadows(self, ready: Terminal) -> None:
        shadow = {**ROLLOUT["steps"][0], "shadow": True, "weight": 100.0}
        ended = start(ready, "--strategy", "shadow-first", ends={**DONE, "steps": [shadow, ROLLOUT["steps"][1]]})
        assert "100 % as shadow" in ended.stdout
        assert asked(ready) == {"strategy": {"type": "shadow-first"}}

    def test_shows_each_step_and_how_it_ended(self, ready: Terminal) -> None:
        ended = start(ready)
        assert ended.exit_code == 0
        assert "step 1 of 2, 10 %: running" in ended.stderr
        assert "Every step passed." in ended.stdout
        assert asked(ready) == {}

    def test_of_what_is_rolled_back_fails_and_says_why(self, ready: Terminal) -> None:
        ended = start(ready, ends=BACK)
        assert (ended.exit_code, "was breached" in ended.stdout) == (1, True)

    def test_takes_a_strategy_and_bounds(self, ready: Terminal) -> None:
        start(ready, "--strategy", "linear", "--max-error-rate", "0.02", "--max-p99-ms", "300", "--no-wait")
        assert asked(ready) == {
            "strategy": {"type": "linear"},
            "gates": [
                {"type": "error_rate", "maximum": 0.02},
                {"type": "latency", "percentile": 99.0, "maximum_ms": 300.0},
            ],
        }

    def test_takes_a_plan_from_a_file(self, ready: Terminal, tmp_path: Path) -> None:
        plan = {"steps": [{"weight": 5.0, "duration": "PT1H"}], "gates": [{"type": "alarm", "alarm": "acme-x"}]}
        (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        start(ready, "--plan", str(tmp_path / "plan.json"), "--no-wait")
        assert asked(ready) == plan

    @pytest.mark.parametrize("content", ["[]", "{"])
    def test_does_not_take_what_is_no_plan(self, ready: Terminal, tmp_path: Path, content: str) -> None:
        (tmp_path / "plan.json").write_text(content, encoding="utf-8")
        assert start(ready, "--plan", str(tmp_path / "plan.json")).exit_code == 2


class TestByHand:
    @pytest.mark.parametrize("action", ["pause", "resume", "promote", "abort"])
    def test_the_latest_one_is_meant_without_a_number(self, ready: Terminal, action: str) -> None:
        answer(ready, "GET", "rollouts", {"rollouts": [ROLLOUT], "next_cursor": None})
        answer(ready, "POST", f"rollouts/3/{action}", {**ROLLOUT, "status": "paused"})
        assert document(ready.run("rollouts", action, DEPLOYMENT_ID, "--json"))["status"] == "paused"

    def test_a_number_names_another(self, ready: Terminal) -> None:
        answer(ready, "GET", "rollouts/2", {**ROLLOUT, "id": "2"})
        shown = ready.run("rollouts", "get", DEPLOYMENT_ID, "2").stdout
        assert "42/100" in shown
        assert "error rate <= 0.05: passed" in shown

    def test_a_deployment_without_any_says_so(self, ready: Terminal) -> None:
        answer(ready, "GET", "rollouts", {"rollouts": [], "next_cursor": None})
        ended = ready.run("rollouts", "abort", DEPLOYMENT_ID)
        assert (ended.exit_code, "has had no rollout" in ended.stderr) == (2, True)

    def test_they_are_listed(self, ready: Terminal) -> None:
        answer(ready, "GET", "rollouts", {"rollouts": [DONE, ROLLOUT], "next_cursor": None})
        assert "succeeded" in ready.run("rollouts", "list", DEPLOYMENT_ID).stdout
