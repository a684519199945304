from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import Fault

EXPERIMENT = {
    "id": "e1",
    "name": "green\x1b[31m",
    "status": "running",
    "decision": "continue",
    "variants": ["a", "b"],
    "primary_metric": {"name": "conversion"},
    "max_samples_per_variant": 5000,
    "sample_size": {"per_variant": 4016},
    "power": 0.8,
    "created_at": "2031-05-01T10:00:00.000Z",
}
COMPARISON = {
    "name": "conversion",
    "role": "primary",
    "variant": "b",
    "control": "a",
    "n": {"a": 500, "b": 500},
    "value": {"a": 0.09, "b": 0.11},
    "effect": 0.02,
    "interval": [-0.05, 0.09],
    "relative_effect": 0.2222,
    "relative_interval": [-0.4, 1.2],
}
RESULTS = {
    "id": "e1",
    "name": "green",
    "decision": "continue",
    "reason": "b is not decided.",
    "looks": 1,
    "variants": [{"name": "a", "weight": 0.114}, {"name": "b", "weight": 0.886}],
    "metrics": [COMPARISON],
    "plot": {
        "metric": "conversion",
        "control": "a",
        "points": [{"look": 1, "samples": 500, "effects": {"b": [0.02, -0.05, 0.09]}}],
    },
}


def answer(terminal: Terminal, method: str, path: str, body: dict[str, Any]) -> None:
    terminal.service.faults.append(Fault(method, path, httpx.Response(200, json=body)))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"name": "green", "variants": ["a", "b"]}), encoding="utf-8")
    return path


class TestExperiments:
    def test_are_listed(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "experiments", {"experiments": [EXPERIMENT], "next_cursor": None})

        shown = terminal.run("experiments").stdout

        assert "conversion" in shown
        assert "\x1b[31m" not in shown

    def test_are_made_of_a_file_and_say_what_they_take(self, terminal: Terminal, plan: Path) -> None:
        answer(terminal, "POST", "experiments", EXPERIMENT)

        shown = terminal.run("experiments", "create", str(plan)).stdout

        assert "4,016 at a power of 80%" in shown
        assert terminal.service.bodies("POST", "/experiments") == [{"name": "green", "variants": ["a", "b"]}]

    @pytest.mark.parametrize("content", ["[]", "{", "nothing"])
    def test_are_not_made_of_what_is_no_object(self, terminal: Terminal, plan: Path, content: str) -> None:
        plan.write_text(content, encoding="utf-8")

        assert terminal.run("experiments", "create", str(plan)).exit_code == 2

    def test_show_what_a_bandit_splits_and_why_it_does_not(self, terminal: Terminal) -> None:
        named = {"type": "thompson", "floor": 0.1, "deployment_id": "d1"}
        traffic = {"status": "given-up", "look": 3, "revision": 7, "reason": "The deployment is gone."}
        answer(terminal, "GET", "e1", {**EXPERIMENT, "allocation": named, "traffic": traffic})

        shown = terminal.run("experiments", "get", "e1").stdout

        assert "thompson, no variant below 0.1, of deployment d1" in shown
        assert "given-up, by look 3: The deployment is gone." in shown

    def test_show_what_each_variant_gets(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "results", RESULTS)

        assert "weights: a 11.4 %, b 88.6 %" in terminal.run("experiments", "results", "e1").stdout

    def test_show_effect_and_interval(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "results", RESULTS)

        shown = terminal.run("experiments", "results", "e1").stdout

        assert "+22.2 %" in shown
        assert "-40 % to +120 %" in shown

    @pytest.mark.parametrize(("name", "begins"), [("effect.png", b"\x89PNG"), ("effect.svg", b"<?xml")])
    def test_are_drawn(self, terminal: Terminal, tmp_path: Path, name: str, begins: bytes) -> None:
        answer(terminal, "GET", "results", RESULTS)

        ended = terminal.run("experiments", "results", "e1", "--plot", str(tmp_path / name), "--json")

        assert document(ended)["decision"] == "continue"
        assert (tmp_path / name).read_bytes().startswith(begins)

    def test_before_the_first_effect_are_not_drawn(self, terminal: Terminal, tmp_path: Path) -> None:
        answer(terminal, "GET", "results", {**RESULTS, "metrics": [], "plot": {"points": []}})

        ended = terminal.run("experiments", "results", "e1", "--plot", str(tmp_path / "effect.png"))

        assert (ended.exit_code, "nothing to draw" in ended.stderr) == (1, True)

    def test_count_a_batch(self, terminal: Terminal, tmp_path: Path) -> None:
        batch = [{"variant": "a", "metric": "conversion", "n": 10, "successes": 1}]
        (tmp_path / "batch.json").write_text(json.dumps(batch), encoding="utf-8")
        answer(terminal, "POST", "outcomes", RESULTS)

        terminal.run("experiments", "count", "e1", str(tmp_path / "batch.json"))

        assert terminal.service.bodies("POST", "/experiments/e1/outcomes") == [{"counts": batch}]

    def test_say_who_gets_what(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "assignments", {"variants": ["a", "b"]})

        ended = terminal.run("experiments", "assign", "e1", "user-1", "user-2", "--json")

        assert document(ended) == {"variants": ["a", "b"]}

    def test_are_stopped_with_a_reason(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "stop", {**EXPERIMENT, "status": "stopped"})

        assert "stopped" in terminal.run("experiments", "stop", "e1", "--reason", "gone").stdout
        assert terminal.service.bodies("POST", "/experiments/e1/stop") == [{"reason": "gone"}]
