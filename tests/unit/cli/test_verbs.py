"""jobs, logs, models, deployments, predict: one command, one answer."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import (
    DEPLOYMENT_ID,
    JOB_ID,
    KEY,
    MODEL_ID,
    Fault,
    api_key_document,
    deployment_document,
    job_document,
    log_lines,
    model_document,
    point,
    problem,
)


class TestJobs:
    def test_are_listed_without_a_command(self, terminal: Terminal) -> None:
        terminal.service.stages = {f"job-{n}": deque([job_document(f"job-{n}")]) for n in range(3)}

        result = terminal.run("jobs")

        assert result.exit_code == 0
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["JOB", "job-0", "job-1", "job-2"]

    def test_are_listed_as_a_document(self, terminal: Terminal) -> None:
        terminal.service.stages = {f"job-{n}": deque([job_document(f"job-{n}")]) for n in range(5)}

        listed = document(terminal.run("jobs", "list", "--limit", "4", "--json"))

        assert [job["job_id"] for job in listed["jobs"]] == ["job-0", "job-1", "job-2", "job-3"]

    def test_can_be_filtered_by_status(self, terminal: Terminal) -> None:
        terminal.service.stages = {
            "a": deque([job_document("a", status="failed")]),
            "b": deque([job_document("b", status="running")]),
        }

        listed = document(terminal.run("jobs", "list", "--status", "failed", "--json"))

        assert [job["job_id"] for job in listed["jobs"]] == ["a"]

    def test_no_jobs_are_an_empty_list_and_no_error(self, terminal: Terminal) -> None:
        assert document(terminal.run("jobs", "--json")) == {"jobs": []}
        assert terminal.run("jobs").stdout == "no jobs\n"

    def test_one_is_shown_with_what_is_known_of_it(self, terminal: Terminal) -> None:
        artifact = {"name": "model", "type": "model", "path": "s3://b/m", "size_bytes": 1234, "checksum": "abc"}
        terminal.service.stages[JOB_ID] = deque(
            [
                job_document(
                    status="running",
                    progress={"current_epoch": 3, "total_epochs": 10, "percentage_complete": 30.0},
                    metrics=[point("loss", 0.25, 3)],
                    artifacts=[artifact],
                )
            ]
        )

        shown = terminal.run("jobs", "get", JOB_ID).stdout

        for part in ("wine", "running", "epoch 3/10", "30 %", "loss 0.25", "ml.m5.large", "$0.115/h", "1.2 KB"):
            assert part in shown

    def test_metrics_are_shown_point_by_point(self, terminal: Terminal) -> None:
        terminal.service.points = [point("loss", 0.5, 1), point("loss", 0.25, 2), point("accuracy", 0.9, 1)]

        measured = document(terminal.run("jobs", "metrics", JOB_ID, "--name", "loss", "--json"))

        assert [each["value"] for each in measured["metrics"]] == [0.5, 0.25]

    def test_one_is_cancelled(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document(status="running")])

        result = terminal.run("jobs", "cancel", JOB_ID, "--wait")

        assert result.exit_code == 0
        assert "cancelled" in result.stdout

    def test_one_that_has_finished_cannot_be_cancelled(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document(status="completed")])

        assert terminal.run("jobs", "cancel", JOB_ID).exit_code == 5

    def test_one_that_is_not_there_is_not_found(self, terminal: Terminal) -> None:
        result = terminal.run("jobs", "get", "nothing", "--json")

        assert result.exit_code == 3
        assert document(result)["error"]["code"] == "not-found"


class TestLogs:
    def test_are_printed_line_by_line_without_control_characters(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document()])
        terminal.service.log = [log_lines("a\tb", "\x1b]0;evil\x07title"), log_lines("c")]

        assert terminal.run("logs", JOB_ID).stdout == "a\tb\n]0;eviltitle\nc\n"

    def test_are_one_document_with_json(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document()])
        terminal.service.log = [log_lines("a"), log_lines("b")]

        said = document(terminal.run("logs", JOB_ID, "--follow", "--json"))

        assert [entry["message"] for entry in said["entries"]] == ["a", "b"]
        assert (said["next_cursor"], said["ended"]) == ("2", True)

    def test_go_on_from_a_cursor(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document()])
        terminal.service.log = [log_lines("a"), log_lines("b")]

        assert terminal.run("logs", JOB_ID, "--follow", "--cursor", "1").stdout == "b\n"

    def test_ctrl_c_says_how_to_come_back(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document()])
        terminal.service.log = [log_lines("a"), log_lines("b")]
        terminal.service.faults = [Fault("GET", "cursor=1", KeyboardInterrupt())]

        result = terminal.run("logs", JOB_ID, "--follow")

        assert result.exit_code == 130
        assert result.stdout == "a\n"
        assert f"aimatrix logs {JOB_ID} --follow --cursor 1" in result.stderr


class TestModels:
    def test_are_listed(self, terminal: Terminal) -> None:
        terminal.service.models = [model_document()]

        assert MODEL_ID in terminal.run("models").stdout

    @pytest.mark.parametrize("reference", [MODEL_ID, "wine", "wine:1"])
    def test_one_is_found_by_id_and_by_name(self, terminal: Terminal, reference: str) -> None:
        terminal.service.models = [model_document()]

        assert document(terminal.run("models", "get", reference, "--json"))["id"] == MODEL_ID

    def test_one_from_elsewhere_is_registered(self, terminal: Terminal) -> None:
        result = terminal.run(
            *("models", "register", "churn", "--framework", "xgboost", "--artifact", "s3://b/m.tar.gz"),
            *("--metric", "auc=0.91", "--version", "7", "--tag", "old"),
        )

        assert result.exit_code == 0
        assert terminal.service.bodies("POST", "/models") == [
            {
                "name": "churn",
                "framework": "xgboost",
                "artifact_path": "s3://b/m.tar.gz",
                "version": "7",
                "tags": ["old"],
                "metrics": {"auc": 0.91},
            }
        ]

    def test_a_metric_that_is_no_number_is_wrong_usage(self, terminal: Terminal) -> None:
        result = terminal.run(
            *("models", "register", "churn", "--framework", "xgboost", "--artifact", "s3://b/m", "--metric", "auc=good")
        )

        assert result.exit_code == 2

    def test_one_is_deprecated(self, terminal: Terminal) -> None:
        terminal.service.models = [model_document()]

        assert document(terminal.run("models", "deprecate", "wine:1", "--json"))["status"] == "deprecated"


class TestKeys:
    def test_a_new_one_is_the_only_thing_on_stdout(self, terminal: Terminal) -> None:
        result = terminal.run("keys", "create", "ci", "--scope", "jobs:read", "--scope", "models:read", "--days", "7")

        assert result.stdout == f"{KEY}\n"
        assert terminal.service.bodies("POST", "/api-keys") == [
            {"name": "ci", "scopes": ["jobs:read", "models:read"], "expires_in_days": 7}
        ]

    def test_one_without_scopes_is_wrong_usage(self, terminal: Terminal) -> None:
        assert terminal.run("keys", "create", "ci").exit_code == 2

    def test_are_listed(self, terminal: Terminal) -> None:
        terminal.service.api_keys = [api_key_document("k1"), api_key_document("k2", status="revoked")]

        assert "never" in terminal.run("keys").stdout
        assert [key["key_id"] for key in document(terminal.run("keys", "list", "--json"))["api_keys"]] == ["k1", "k2"]

    def test_one_is_shown(self, terminal: Terminal) -> None:
        terminal.service.api_keys = [api_key_document("k1")]

        assert "jobs:read" in terminal.run("keys", "get", "k1").stdout

    def test_one_is_revoked(self, terminal: Terminal) -> None:
        terminal.service.api_keys = [api_key_document("k1")]

        assert document(terminal.run("keys", "revoke", "k1", "--json")) == {"key_id": "k1", "status": "revoked"}
        assert terminal.service.api_keys[0]["status"] == "revoked"
        assert terminal.run("keys", "revoke", "k9").exit_code == 3


class TestDeploy:
    def test_waits_until_it_is_active(self, terminal: Terminal) -> None:
        terminal.service.models = [model_document()]
        terminal.service.deployments[DEPLOYMENT_ID] = deque(
            [deployment_document(), deployment_document(status="active")]
        )

        result = terminal.run("deploy", "wine", "--environment", "staging", "--replicas", "3", "--json")

        assert result.exit_code == 0
        assert document(result)["status"] == "active"
        assert terminal.service.bodies("POST", "/deploy") == [{"environment": "staging", "replicas": 3}]

    def test_one_that_fails_ends_with_1_and_its_reason(self, terminal: Terminal) -> None:
        terminal.service.models = [model_document()]
        terminal.service.deployments[DEPLOYMENT_ID] = deque(
            [deployment_document(status="failed", failure_reason="the model could not be loaded")]
        )

        result = terminal.run("deploy", "wine")

        assert result.exit_code == 1
        assert "the model could not be loaded" in result.stdout

    def test_does_not_wait_when_told_so(self, terminal: Terminal) -> None:
        terminal.service.models = [model_document()]

        assert document(terminal.run("deploy", "wine", "--no-wait", "--json"))["status"] == "deploying"

    @pytest.mark.parametrize(
        ("words", "body"),
        [
            ((), {"environment": "development"}),
            (("-e", "staging"), {"environment": "staging", "replicas": 1}),
            (("-e", "staging", "--serverless"), {"environment": "staging", "serverless": True}),
            (("--instances",), {"environment": "development", "serverless": False, "replicas": 1}),
            (
                ("--max-replicas", "3"),
                {
                    "environment": "development",
                    "replicas": 1,
                    "scaling_policy": {"min_replicas": 1, "max_replicas": 3},
                },
            ),
        ],
    )
    def test_asks_for_instances_only_where_something_needs_them(
        self, terminal: Terminal, words: tuple[str, ...], body: dict[str, Any]
    ) -> None:
        terminal.service.models = [model_document()]
        terminal.run("deploy", "wine", "--no-wait", *words)
        assert terminal.service.bodies("POST", "/deploy") == [body]

    @pytest.mark.parametrize(("is_scaled", "asked"), [(True, {}), (False, {"replicas": 1})])
    @pytest.mark.parametrize("environment", ["development", "staging"])
    def test_leaves_it_to_the_environment_where_nothing_does(
        self, terminal: Terminal, environment: str, is_scaled: bool, asked: dict[str, int]
    ) -> None:
        terminal.service.models = [model_document()]
        terminal.service.scaled_to_zero = {environment} if is_scaled else set()
        terminal.run("deploy", "wine", "--no-wait", "-e", environment)
        assert terminal.service.bodies("POST", "/deploy") == [{"environment": environment, **asked}]

    @pytest.mark.parametrize(("environment", "asked"), [("development", {}), ("staging", {"replicas": 1})])
    def test_of_one_who_may_not_read_the_environment_asks_for_what_it_has_at_first(
        self, terminal: Terminal, environment: str, asked: dict[str, int]
    ) -> None:
        terminal.service.models = [model_document()]
        terminal.service.faults = [Fault("GET", f"/environments/{environment}", problem(403, "forbidden"))]
        assert terminal.run("deploy", "wine", "--no-wait", "-e", environment).exit_code == 0
        assert terminal.service.bodies("POST", "/deploy") == [{"environment": environment, **asked}]

    @pytest.mark.parametrize(("word", "percentage"), [("1", 100), ("1=12.5", 12.5)])
    def test_gives_another_version_copies(self, terminal: Terminal, word: str, percentage: float) -> None:
        shadow = {"name": "v1", "model_id": MODEL_ID, "model_version": "1", "percentage": percentage}
        terminal.service.models = [model_document()]
        terminal.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(status="active", shadow=shadow)])
        result = terminal.run("deploy", "wine", "--shadow", word)
        (body,) = terminal.service.bodies("POST", "/deploy")
        assert body["shadow"] == {"model_id": MODEL_ID, "percentage": percentage}
        assert body["replicas"] == 1
        assert f"1 ({percentage:g} %)" in result.stdout

    def test_gives_up_waiting_without_failing_the_deployment(self, terminal: Terminal) -> None:
        terminal.service.models = [model_document()]

        result = terminal.run("deploy", "wine", "--timeout", "5")

        assert result.exit_code == 1
        assert "it goes on" in result.stderr


class TestDeployments:
    def test_are_listed_and_shown_and_deleted(self, terminal: Terminal) -> None:
        terminal.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(status="active")])

        assert DEPLOYMENT_ID in terminal.run("deployments").stdout
        assert "wine@development" in terminal.run("deployments", "get", DEPLOYMENT_ID).stdout
        assert document(terminal.run("deployments", "delete", "wine@development", "--json"))["status"] == "terminated"


class TestPredict:
    @pytest.fixture(autouse=True)
    def deployed(self, terminal: Terminal) -> None:
        terminal.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(status="active")])
        terminal.service.predictions = {"predictions": [0, "é"]}

    def sent(self, terminal: Terminal) -> httpx.Request:
        return terminal.service.requests[-1]

    def test_a_bare_list_becomes_inputs(self, terminal: Terminal) -> None:
        result = terminal.run("predict", "wine@development", "[[1, 2], [3, 4]]")

        assert json.loads(self.sent(terminal).content) == {"inputs": [[1, 2], [3, 4]]}
        assert result.stdout == '0\n"é"\n'

    def test_an_object_is_sent_as_it_is(self, terminal: Terminal) -> None:
        terminal.run("predict", DEPLOYMENT_ID, '{"dataframe_records": [{"a": 1}]}')

        assert self.sent(terminal).content == b'{"dataframe_records": [{"a": 1}]}'

    def test_a_csv_file_is_sent_as_csv(self, terminal: Terminal, tmp_path: Path) -> None:
        rows = tmp_path / "rows.csv"
        rows.write_text("a,b\n1,2\n")

        assert document(terminal.run("predict", DEPLOYMENT_ID, f"@{rows}", "--json")) == {"predictions": [0, "é"]}
        assert self.sent(terminal).headers["content-type"] == "text/csv"
        assert self.sent(terminal).content == b"a,b\n1,2\n"

    def test_standard_input_is_read(self, terminal: Terminal) -> None:
        terminal.run("predict", DEPLOYMENT_ID, "-", stdin="[[5]]")

        assert json.loads(self.sent(terminal).content) == {"inputs": [[5]]}

    @pytest.mark.parametrize("body", ["[[1,", "@/nonexistent", "hello"])
    def test_what_cannot_be_asked_is_wrong_usage(self, terminal: Terminal, body: str) -> None:
        assert terminal.run("predict", DEPLOYMENT_ID, body).exit_code == 2
        assert terminal.service.requests == []

    def test_a_body_over_the_limit_is_not_sent(self, terminal: Terminal, tmp_path: Path) -> None:
        rows = tmp_path / "rows.csv"
        rows.write_bytes(b"1" * (6 * 1024 * 1024 + 1))

        result = terminal.run("predict", DEPLOYMENT_ID, f"@{rows}")

        assert result.exit_code == 2
        assert terminal.service.requests == []


class TestExitCodes:
    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (problem(400), 6),
            (problem(401), 4),
            (problem(403), 4),
            (problem(404), 3),
            (problem(409), 5),
            (problem(422), 6),
            (problem(429, "quota-exceeded"), 7),
            (problem(500), 8),
            (problem(502, "model-failed"), 1),
        ],
    )
    def test_each_refusal_has_its_code(self, terminal: Terminal, answer: httpx.Response, code: int) -> None:
        terminal.service.faults = [Fault("POST", "/invocations$", answer)]
        terminal.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(status="active")])

        assert terminal.run("predict", DEPLOYMENT_ID, "[[1]]").exit_code == code

    def test_an_unreachable_service_has_its_code(self, terminal: Terminal) -> None:
        terminal.service.faults = [Fault("GET", "/training/jobs/", httpx.ConnectError("refused"))] * 99

        result = terminal.run("jobs", "get", JOB_ID, "--json")

        assert result.exit_code == 8
        assert document(result)["error"]["code"] == "UnreachableError"

    def test_an_error_of_our_own_is_not_dressed_up(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([{"unexpected": True}])

        result = terminal.run("jobs", "get", JOB_ID)

        assert isinstance(result.exception, KeyError)


class TestTarget:
    def test_is_what_the_command_line_says(self, terminal: Terminal, tmp_path: Path) -> None:
        terminal.run("jobs", "list", "--api", "https://x.test/api/v1", "--profile", "work", "--state", tmp_path)

        target = terminal.targets[0]
        assert (target.api, target.profile, target.state) == ("https://x.test/api/v1", "work", tmp_path)
