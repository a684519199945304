from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from aimatrix.cli.exits import CommandError, ExitCode
from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import API


class TestUp:
    def test_ends_with_its_addresses(self, terminal: Terminal, tmp_path: Path) -> None:
        result = terminal.run("up", "--port", "8123", "--state", tmp_path, "--detach", "--json")

        assert document(result) == {
            "api": API,
            "aws": "http://127.0.0.1:1",
            "mlflow": "http://127.0.0.1:2",
            "state": str(tmp_path),
        }
        assert "mlflow is ready" in result.stderr
        assert terminal.launcher.calls == [("up", (tmp_path, 8123, True))]

    def test_says_that_it_was_running(self, terminal: Terminal) -> None:
        terminal.launcher.running = True

        assert "running already" in terminal.run("up", "--detach").stderr

    def test_a_cloud_that_does_not_come_up_ends_with_1(self, terminal: Terminal) -> None:
        terminal.launcher.error = CommandError(ExitCode.FAILED, "cloud_failed", "port 8000 is taken")

        result = terminal.run("up", "--detach", "--json")

        assert result.exit_code == 1
        assert document(result)["error"] == {"code": "cloud_failed", "message": "port 8000 is taken"}


class TestDown:
    @pytest.mark.parametrize("running", [True, False])
    def test_says_whether_there_was_something_to_stop(self, terminal: Terminal, running: bool) -> None:
        terminal.launcher.running = running

        result = terminal.run("down", "--json")

        assert result.exit_code == 0
        assert document(result) == {"stopped": running}


class TestStatus:
    def test_lists_every_part(self, terminal: Terminal) -> None:
        terminal.launcher.running = True

        parts = document(terminal.run("status", "--json"))["parts"]

        assert [(part["name"], part["pid"], part["health"]) for part in parts] == [("aws", 17, "healthy")]

    def test_ends_with_8_when_nothing_runs(self, terminal: Terminal) -> None:
        result = terminal.run("status", "--json")

        assert result.exit_code == 8
        assert document(result) == {"running": False, "parts": []}


class TestToken:
    def test_prints_nothing_but_the_token(self, terminal: Terminal) -> None:
        result = terminal.run(
            *("token", "--user", "ada", "--role", "USER", "--role", "ADMIN", "--tenant", "acme", "--ttl", "30m")
        )

        assert result.stdout == "signed\n"
        assert terminal.launcher.calls == [("token", ("ada", ["USER", "ADMIN"], "acme", [], timedelta(minutes=30)))]

    def test_is_for_a_plain_user_unless_told_otherwise(self, terminal: Terminal) -> None:
        terminal.run("token", "--user", "ada")

        assert terminal.launcher.calls == [("token", ("ada", ["USER"], "default", [], timedelta(hours=12)))]

    def test_needs_a_cloud_that_was_started_once(self, terminal: Terminal) -> None:
        terminal.launcher.error = CommandError(ExitCode.UNREACHABLE, "not_running", "start it first")

        assert terminal.run("token", "--user", "ada").exit_code == 8


class TestParameters:
    def test_of_the_template_are_given_to_the_cloud(self, terminal: Terminal) -> None:
        assert terminal.run("up", "--detach", "--parameter", "BatchMaxCpus=64", "--parameter", "A=b=c").exit_code == 0
        assert terminal.launcher.parameters == {"BatchMaxCpus": "64", "A": "b=c"}

    def test_that_are_not_given_stay_as_they_were(self, terminal: Terminal) -> None:
        terminal.run("up", "--detach")
        assert terminal.launcher.parameters is None

    def test_without_a_value_are_refused(self, terminal: Terminal) -> None:
        assert "is not NAME=VALUE" in terminal.run("up", "--parameter", "BatchMaxCpus").stderr
