from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.cli.harness import Terminal

VERBS = (
    *("up", "down", "status", "token", "demo", "submit", "logs", "deploy", "predict"),
    *("jobs list", "jobs get", "jobs metrics", "jobs cancel", "jobs delete"),
    *("models list", "models get", "models register", "models deprecate"),
    *(
        "deployments list",
        "deployments get",
        "deployments delete",
        "deployments revisions",
        "deployments rollback",
        "deployments scaling",
        "deployments capture",
        "deployments captures",
    ),
    *("environments list", "environments get", "environments set", "environments clear"),
    *("models approve", "models approvals"),
    *("rollouts start", "rollouts list", "rollouts get"),
    *("rollouts pause", "rollouts resume", "rollouts promote", "rollouts abort"),
    *("transforms start", "transforms list", "transforms get", "transforms outputs", "transforms cancel"),
    *("retraining create", "retraining list", "retraining show", "retraining set", "retraining delete"),
    *("retraining start", "retraining runs", "lineage"),
    *("audit search", "audit verify"),
    *("quota", "quota users", "quota get", "quota set", "quota check"),
    *("stats active-jobs", "stats users", "stats models", "stats frameworks"),
    *("keys create", "keys list", "keys get", "keys revoke"),
    *("webhooks create", "webhooks list", "webhooks show", "webhooks change", "webhooks rotate", "webhooks delete"),
    *("webhooks ping", "webhooks deliveries", "webhooks redeliver"),
    *("export", "import"),
    *("events dead-letters", "events redrive", "events replay"),
)


class TestHelp:
    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_explains_itself_and_offers_json(self, terminal: Terminal, verb: str) -> None:
        result = terminal.run(*verb.split(), "--help")

        assert result.exit_code == 0
        assert "--json" in result.stdout

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_gives_an_example(self, terminal: Terminal, verb: str) -> None:
        assert f"aimatrix {verb}" in terminal.run(*verb.split(), "--help").stdout

    def test_lists_every_verb_and_the_exit_codes(self, terminal: Terminal) -> None:
        shown = terminal.run("--help").stdout

        for verb in VERBS:
            assert verb.split()[0] in shown
        assert "130 interrupted" in " ".join(shown.split())

    def test_an_unknown_verb_is_wrong_usage(self, terminal: Terminal) -> None:
        assert terminal.run("train").exit_code == 2

    def test_loads_neither_the_client_nor_the_cloud(self) -> None:
        code = (
            "import sys, aimatrix.cli.app\n"
            "print(sorted({name.split('.')[0] for name in sys.modules}"
            " & {'httpx', 'rich', 'localcloud', 'boto3', 'backup', 'chalicelib', 'mlflow'}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
        )

        assert done.stdout == "[]\n"
