"""``aimatrix retraining``: one command, one answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import Fault, problem
from tests.unit.client.test_retraining import DONE, POLICY, RUN

PREFIX = POLICY["source"]["uri_prefix"]
SCRIPT = "s3://artifacts/tenants/acme/users/alice/churn/train.py"


def answer(terminal: Terminal, method: str, path: str, body: dict[str, Any], status: int = 200) -> None:
    terminal.service.faults.append(Fault(method, path, httpx.Response(status, json=body)))


def simple(terminal: Terminal, *words: str, script: str = SCRIPT) -> Any:
    answer(terminal, "POST", "retraining-policies", POLICY, 201)
    wanted = ("--script", script, "--framework", "sklearn", "--prefix", PREFIX)
    return terminal.run("retraining", "create", *wanted, *words)


class TestCreating:
    def test_says_what_it_watches(self, terminal: Terminal) -> None:
        made = simple(terminal)

        assert made.exit_code == 0
        assert PREFIX in made.stdout
        assert "watching" in made.stdout
        (body,) = terminal.service.bodies("POST", "/retraining-policies")
        assert (body["name"], body["source"]) == ("churn", {"type": "s3", "uri_prefix": PREFIX})
        assert body["job"]["config"]["script_path"] == SCRIPT
        assert "dataset_path" not in body["job"]["config"]
        assert body.keys() == {"name", "job", "source"}

    def test_takes_what_is_said_besides(self, terminal: Terminal) -> None:
        said = ("--name", "wine", "--pattern", "*.csv", "--marker", "_SUCCESS", "--debounce", "10m", "--max-wait", "2h")
        simple(terminal, *said, "--deploy-to", "staging", "--budget", "20")

        (body,) = terminal.service.bodies("POST", "/retraining-policies")
        assert (body["name"], body["job"]["name"]) == ("wine", "wine")
        assert (body["source"]["pattern"], body["source"]["marker"]) == ("*.csv", "_SUCCESS")
        assert (body["debounce"], body["max_wait"], body["budget_usd"]) == (600, 7200, 20)
        assert body["on_success"] == {"deploy_to": "staging"}

    def test_uploads_a_script_that_lies_here(self, terminal: Terminal, project: Path) -> None:
        (project / "inference.py").write_text("")
        made = simple(terminal, script=str(project / "train.py"))

        assert "2 files" in made.stderr
        assert terminal.service.bodies("POST", "/uploads")[0]["files"][0]["name"] == "train.py"
        (body,) = terminal.service.bodies("POST", "/retraining-policies")
        assert body["job"]["config"]["script_path"].startswith("s3://")
        assert body["name"] == "churn"

    def test_takes_all_of_it_from_a_file(self, terminal: Terminal, tmp_path: Path) -> None:
        file = tmp_path / "policy.json"
        file.write_text(json.dumps(POLICY))
        answer(terminal, "POST", "retraining-policies", POLICY, 201)

        assert document(terminal.run("retraining", "create", "--policy", file, "--json"))["id"] == "p1"
        (body,) = terminal.service.bodies("POST", "/retraining-policies")
        assert body.keys() == POLICY.keys() - {"id", "user_id", "created_at", "updated_at"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "--script, --framework and --prefix"),
            (("--script", SCRIPT), "--script, --framework and --prefix"),
            (("--script", SCRIPT, "--framework", "sklearn", "--prefix", "rows/"), "not an s3:// URI"),
            (("--script", "absent.py", "--framework", "sklearn", "--prefix", PREFIX), "doesn't exist"),
            (("--debounce", "soon"), "not a duration"),
            (("--budget", "-1"), "not an amount"),
            (("--policy", "absent.json"), "not a file"),
            (("--policy", "absent.json", "--name", "x"), "give it alone"),
        ],
    )
    def test_of_too_little_is_wrong_usage(self, terminal: Terminal, words: tuple[str, ...], said: str) -> None:
        ended = terminal.run("retraining", "create", *words)

        assert ended.exit_code == 2
        assert said in " ".join(ended.stderr.replace("│", " ").split())
        assert terminal.service.requests == []

    @pytest.mark.parametrize("content", ["[]", "{", "nothing"])
    def test_of_a_file_that_is_no_policy_is_wrong_usage(self, terminal: Terminal, tmp_path: Path, content: str) -> None:
        (tmp_path / "p.json").write_text(content)

        assert terminal.run("retraining", "create", "--policy", tmp_path / "p.json").exit_code == 2

    def test_names_the_field_that_is_wrong(self, terminal: Terminal) -> None:
        wrong = {"field": "source.uri_prefix", "message": "is no folder", "cure": "Use s3://a/b/."}
        refusal = problem(400, "invalid-request", "no", errors=[wrong])
        terminal.service.faults.append(Fault("POST", "retraining-policies", refusal))
        ended = simple(terminal)

        assert ended.exit_code == 6
        assert "source.uri_prefix" in ended.stderr
        assert "Use s3://a/b/." in ended.stderr


class TestPolicies:
    def test_are_listed(self, terminal: Terminal) -> None:
        off = {**POLICY, "id": "p2", "enabled": False, "name": "off\x1b[31m"}
        manual = {**POLICY, "id": "p3", "source": {"type": "manual", "uri_prefix": PREFIX}, "on_success": {}}
        answer(terminal, "GET", "retraining-policies", {"retraining_policies": [POLICY, off, manual]})

        shown = terminal.run("retraining", "list").stdout

        assert all(word in shown for word in ("watching", "disabled", "by hand", "staging"))
        assert "\x1b[31m" not in shown

    def test_that_are_not_there_are_said_to_be_none(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "retraining-policies", {"retraining_policies": []})

        assert "no retraining policies" in terminal.run("retraining", "list").stdout

    def test_are_shown(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "p1", {**POLICY, "budget_usd": 20})

        shown = terminal.run("retraining", "show", "p1").stdout

        assert "PT1M without another object, PT1H at most" in shown
        assert "20.00 USD a month" in shown

    def test_of_somebody_else_are_not_found(self, terminal: Terminal) -> None:
        assert terminal.run("retraining", "show", "p1").exit_code == 3

    @pytest.mark.parametrize(("word", "enabled"), [("--enable", True), ("--disable", False)])
    def test_are_switched_on_and_off(self, terminal: Terminal, word: str, enabled: bool) -> None:
        answer(terminal, "GET", "p1", {**POLICY, "enabled": not enabled})
        answer(terminal, "PUT", "p1", {**POLICY, "enabled": enabled})

        shown = terminal.run("retraining", "set", "p1", word).stdout

        assert ("watching" if enabled else "disabled") in shown
        (body,) = terminal.service.bodies("PUT", "/retraining-policies/p1")
        assert (body["enabled"], body["job"]) == (enabled, POLICY["job"])

    def test_are_set_to_what_a_file_says(self, terminal: Terminal, tmp_path: Path) -> None:
        (tmp_path / "p.json").write_text(json.dumps({**POLICY, "debounce": "PT5M"}))
        answer(terminal, "PUT", "p1", {**POLICY, "debounce": "PT5M"})

        assert "PT5M" in terminal.run("retraining", "set", "p1", "--policy", tmp_path / "p.json").stdout
        (body,) = terminal.service.bodies("PUT", "/retraining-policies/p1")
        assert (body["debounce"], "id" in body) == ("PT5M", False)

    def test_are_not_set_to_nothing(self, terminal: Terminal) -> None:
        assert terminal.run("retraining", "set", "p1").exit_code == 2

    def test_are_removed(self, terminal: Terminal) -> None:
        terminal.service.faults.append(Fault("DELETE", "p1", httpx.Response(204)))

        assert "p1 is removed" in terminal.run("retraining", "delete", "p1").stdout


class TestRuns:
    def test_are_waited_for_to_their_end(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "p1/runs", RUN, 202)
        answer(terminal, "GET", "runs/3", RUN)
        answer(terminal, "GET", "runs/3", DONE)

        ended = terminal.run("retraining", "start", "p1")

        assert ended.exit_code == 0
        assert all(word in ended.stdout for word in ("succeeded", "m1", "0.0042 USD", "age was 30 to 41"))

    def test_that_come_to_nothing_end_with_1_and_say_why(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "p1/runs", RUN, 202)
        answer(terminal, "GET", "runs/3", {**RUN, "status": "refused", "reason": "Nothing lies below the prefix."})

        ended = terminal.run("retraining", "start", "p1")

        assert (ended.exit_code, "Nothing lies below the prefix." in ended.stdout) == (1, True)

    def test_are_not_waited_for_if_nobody_wants_to(self, terminal: Terminal) -> None:
        answer(terminal, "POST", "p1/runs", RUN, 202)

        ended = terminal.run("retraining", "start", "p1", "--no-wait", "--json")

        assert (ended.exit_code, document(ended)["status"]) == (0, "gathering")

    def test_of_a_policy_that_is_switched_off_are_a_conflict(self, terminal: Terminal) -> None:
        terminal.service.faults.append(Fault("POST", "p1/runs", problem(409, "conflict", "The policy is switched off")))

        ended = terminal.run("retraining", "start", "p1")

        assert (ended.exit_code, "switched off" in ended.stderr) == (5, True)

    def test_are_listed_with_what_came_and_why_they_ended(self, terminal: Terminal) -> None:
        refused = {**RUN, "id": "2", "status": "refused", "reason": "The budget is spent."}
        answer(terminal, "GET", "p1/runs", {"runs": [DONE, refused]})

        shown = terminal.run("retraining", "runs", "p1").stdout

        assert all(word in shown for word in ("succeeded", "1.2 KB", "j1", "The budget is spent."))

    def test_are_shown_one_by_one(self, terminal: Terminal) -> None:
        answer(terminal, "GET", "runs/3", DONE)

        assert "7 object(s), 4.2 KB, sha256:ab" in terminal.run("retraining", "show", "p1", "--run", "3").stdout
