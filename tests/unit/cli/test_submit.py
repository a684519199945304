from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import (
    JOB_ID,
    MODEL_ID,
    Fault,
    job_document,
    log_lines,
    model_document,
    point,
    problem,
)


def submit(terminal: Terminal, project: Path, *more: str) -> object:
    """The request body that a submission sends."""
    result = terminal.run(
        *("submit", project / "train.py", "--data", project / "data.csv"), *("--framework", "sklearn"), *more
    )
    assert result.exit_code == 0, result.output
    return terminal.service.bodies("POST", "/training/jobs")[0]


class TestRequest:
    def test_uploads_script_and_data_and_submits_their_uris(self, terminal: Terminal, project: Path) -> None:
        assert submit(terminal, project) == {
            "name": "churn",
            "framework": "sklearn",
            "config": {
                "script_path": "s3://bucket/uploads/u1/train.py",
                "dataset_path": "s3://bucket/uploads/u1/data/data.csv",
                "resource_requirements": {"gpu_count": 0, "memory_gb": 8, "cpu_cores": 2, "disk_gb": 30},
            },
        }
        assert terminal.service.objects == {
            "uploads/u1/train.py": b"print('hello')\n",
            "uploads/u1/data/data.csv": b"a,b\n1,2\n",
        }

    def test_every_option_reaches_its_field(self, terminal: Terminal, project: Path) -> None:
        body = submit(
            terminal,
            project,
            *("--name", "n", "--description", "d", "--tag", "t1", "--tag", "t2", "--priority", "high"),
            *("--gpus", "2", "--gpu-type", "a100", "--cpus", "16", "--memory", "64", "--disk", "200"),
            *("--env", "A=1=2", "--image", "me/image:1", "--backend", "batch", "--arguments", "script_mode"),
            *("--max-runtime", "1h30m", "--metric", "loss=loss=([0-9.]+)", "--param", "depth=6", "--param", "x=adam"),
        )

        assert body == {
            "name": "n",
            "description": "d",
            "framework": "sklearn",
            "priority": "high",
            "tags": ["t1", "t2"],
            "config": {
                "script_path": "s3://bucket/uploads/u1/train.py",
                "dataset_path": "s3://bucket/uploads/u1/data/data.csv",
                "parameters": {"depth": 6, "x": "adam"},
                "resource_requirements": {
                    "gpu_count": 2,
                    "gpu_type": "a100",
                    "memory_gb": 64,
                    "cpu_cores": 16,
                    "disk_gb": 200,
                },
                "environment": {
                    "docker_image": "me/image:1",
                    "environment_variables": {"A": "1=2"},
                    "backend": "batch",
                    "arguments": "script_mode",
                },
                "max_runtime_seconds": 5400,
                "metric_definitions": [{"name": "loss", "regex": "loss=([0-9.]+)"}],
            },
        }

    def test_secrets_come_from_the_environment_or_from_whoever_is_asked(
        self, terminal: Terminal, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "canary-1")
        monkeypatch.delenv("DB_PASSWORD", raising=False)
        arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aimatrix/acme/db-AbCdEf"
        words = ("--secret", "HF_TOKEN", "--secret", "DB_PASSWORD")
        references = ("--secret-arn", f"ALL={arn}", "--secret-arn", f"KEY={arn}:password")
        result = terminal.run(
            *("submit", project / "train.py", "--data", project / "data.csv", "--framework", "custom"),
            *(*words, *references),
            stdin="canary-2\n",
        )
        assert result.exit_code == 0, result.output
        assert terminal.service.bodies("POST", "/training/jobs")[0]["config"]["environment"] == {
            "secret_variables": {
                "ALL": {"secret_arn": arn},
                "KEY": {"secret_arn": arn, "json_key": "password"},
                "HF_TOKEN": "canary-1",
                "DB_PASSWORD": "canary-2",
            }
        }
        assert "canary" not in result.output

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (("--secret", "NOBODY_SET_THIS"), "nobody is there to be asked"),
            (("--secret", "A", "--secret-arn", "A=arn:aws:secretsmanager:r:1:secret:x"), "A is given twice"),
            (("--secret-arn", "A=secret"), "is not the ARN of a secret"),
            (("--secret-arn", "A=arn:aws:ssm:r:1:parameter:x"), "is not the ARN of a secret"),
        ],
    )
    def test_a_secret_that_cannot_be_had_is_said_before_anything_is_sent(
        self, terminal: Terminal, project: Path, words: tuple[str, ...], why: str
    ) -> None:
        result = terminal.run(
            "submit", project / "train.py", "--data", project / "data.csv", "--framework", "custom", *words
        )
        assert result.exit_code == 2
        assert why in " ".join(result.stderr.replace("│", " ").split())
        assert terminal.service.bodies("POST", "/training/jobs") == []

    def test_what_lies_beside_the_script_goes_along_and_is_named(self, terminal: Terminal, project: Path) -> None:
        (project / "requirements.txt").write_text("numpy\n")
        (project / "inference.py").write_text("def model_fn(d): ...\n")

        result = terminal.run("submit", project / "train.py", "--data", project / "data.csv", "--framework", "custom")

        assert "requirements.txt, inference.py" in result.stderr
        assert terminal.service.objects["uploads/u1/requirements.txt"] == b"numpy\n"
        assert "uploads/u1/inference.py" in terminal.service.objects

    def test_a_folder_of_data_keeps_its_relative_names(self, terminal: Terminal, project: Path) -> None:
        images = project / "images"
        (images / "cats").mkdir(parents=True)
        (images / "cats" / "1.png").write_bytes(b"cat")
        (images / "index.csv").write_bytes(b"i")
        (images / ".hidden").write_bytes(b"h")

        terminal.run("submit", project / "train.py", "--data", images, "--framework", "custom")

        body = terminal.service.bodies("POST", "/training/jobs")[0]
        assert body["config"]["dataset_path"] == "s3://bucket/uploads/u1/data/"
        assert terminal.service.objects == {
            "uploads/u1/train.py": b"print('hello')\n",
            "uploads/u1/data/cats/1.png": b"cat",
            "uploads/u1/data/index.csv": b"i",
        }

    def test_what_lies_in_the_store_already_is_not_uploaded(self, terminal: Terminal) -> None:
        words = ("submit", "s3://b/churn/train.py", "--dataset", "s3://b/data/", "--framework", "xgboost")

        assert terminal.run(*words).exit_code == 0

        body = terminal.service.bodies("POST", "/training/jobs")[0]
        assert body["config"]["script_path"] == "s3://b/churn/train.py"
        assert body["config"]["dataset_path"] == "s3://b/data/"
        assert body["name"] == "churn"
        assert terminal.service.bodies("POST", "/uploads") == []

    def test_a_local_script_can_go_with_data_from_the_store(self, terminal: Terminal, project: Path) -> None:
        terminal.run("submit", project / "train.py", "--dataset", "s3://b/d.csv", "--framework", "sklearn")

        body = terminal.service.bodies("POST", "/training/jobs")[0]
        assert body["config"]["dataset_path"] == "s3://b/d.csv"
        assert list(terminal.service.objects) == ["uploads/u1/train.py"]

    def test_data_that_is_called_like_the_script_does_not_replace_it(self, terminal: Terminal, project: Path) -> None:
        other = project / "other"
        other.mkdir()
        (other / "train.py").write_text("data\n")

        terminal.run("submit", project / "train.py", "--data", other / "train.py", "--framework", "custom")

        assert terminal.service.objects["uploads/u1/train.py"] == b"print('hello')\n"
        assert terminal.service.objects["uploads/u1/data/train.py"] == b"data\n"

    def test_the_same_key_makes_one_job(self, terminal: Terminal, project: Path) -> None:
        for _ in range(2):
            submit(terminal, project, "--idempotency-key", "k1")

        assert list(terminal.service.submitted) == ["k1"]


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--framework", "sklearn"), "--data"),
            (("--data", "data.csv", "--dataset", "s3://b/d", "--framework", "sklearn"), "one of the two"),
            (("--dataset", "data.csv", "--framework", "sklearn"), "not an s3:// URI"),
            (("--data", "nowhere.csv", "--framework", "sklearn"), "doesn't exist"),
            (("--data", "data.csv", "--framework", "jax"), "jax"),
            (("--data", "data.csv"), "--framework"),
            (("--data", "data.csv", "--framework", "sklearn", "--param", "depth"), "NAME=VALUE"),
            (("--data", "data.csv", "--framework", "sklearn", "--param", "a=1", "--param", "a=2"), "given twice"),
            (("--data", "data.csv", "--framework", "sklearn", "--gpus", "9"), "--gpus"),
            (("--data", "data.csv", "--framework", "sklearn", "--max-runtime", "soon"), "--max-runtime"),
            (("--data", "empty", "--framework", "sklearn"), "holds no files"),
        ],
    )
    def test_is_told_before_anything_is_sent(
        self, terminal: Terminal, project: Path, words: tuple[str, ...], said: str
    ) -> None:
        (project / "empty").mkdir()
        placed = [str(project / word) if word in ("data.csv", "nowhere.csv", "empty") else word for word in words]

        result = terminal.run("submit", project / "train.py", *placed)

        assert result.exit_code == 2
        assert said in result.stderr
        assert terminal.service.requests == []

    def test_a_folder_is_no_script(self, terminal: Terminal, project: Path) -> None:
        result = terminal.run("submit", project, "--data", project / "data.csv", "--framework", "sklearn")

        assert result.exit_code == 2
        assert "regular file" in result.stderr

    def test_is_a_document_with_json(self, terminal: Terminal, project: Path) -> None:
        result = terminal.run("submit", project / "train.py", "--framework", "sklearn", "--json")

        assert result.exit_code == 2
        assert document(result)["error"]["code"] == "usage"


class TestFollow:
    def prepare(self, terminal: Terminal, *stages: dict[str, object]) -> None:
        terminal.service.stages[JOB_ID] = deque(stages)
        terminal.service.log = [log_lines("hello"), log_lines("bye \x1b[31mred")]
        terminal.service.points = [point("accuracy", 0.5, 1, 1), point("accuracy", 0.97, 2, 2)]
        terminal.service.models = [model_document()]

    def test_shows_lines_metrics_and_the_model(self, terminal: Terminal, project: Path) -> None:
        self.prepare(
            terminal,
            job_document(status="running", secondary_status="Training"),
            job_document(status="completed", model_id=MODEL_ID),
        )

        result = terminal.run(
            "submit", project / "train.py", "--data", project / "data.csv", "--framework", "sklearn", "--follow"
        )

        assert result.exit_code == 0
        assert result.stdout.splitlines()[:2] == ["hello", "bye [31mred"]
        assert "wine version 1" in result.stdout
        assert MODEL_ID in result.stdout
        assert "accuracy 0.97" in result.stderr
        assert "running    Training" in result.stderr
        assert "completed" in result.stderr
        assert "\x1b" not in result.output

    def test_ends_with_one_document_with_json(self, terminal: Terminal, project: Path) -> None:
        self.prepare(terminal, job_document(status="completed", model_id=MODEL_ID))

        result = terminal.run(
            *("submit", project / "train.py", "--data", project / "data.csv"),
            *("--framework", "sklearn", "--follow", "--json"),
        )

        said = document(result)
        assert (said["status"], said["model"]["version"]) == ("completed", "1")
        assert "hello" in result.stderr

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_a_job_that_does_not_complete_ends_with_1_and_its_reason(
        self, terminal: Terminal, project: Path, status: str
    ) -> None:
        self.prepare(terminal, job_document(status=status, failure_reason="Traceback\nValueError: no such column"))

        result = terminal.run(
            "submit", project / "train.py", "--data", project / "data.csv", "--framework", "sklearn", "--follow"
        )

        assert result.exit_code == 1
        assert "ValueError: no such column" in result.stdout

    def test_ctrl_c_detaches_without_cancelling_and_says_how_to_come_back(
        self, terminal: Terminal, project: Path
    ) -> None:
        self.prepare(terminal, job_document(status="running"))
        terminal.service.log_ends = False
        terminal.service.faults = [Fault("GET", "/metrics", KeyboardInterrupt())]

        result = terminal.run(
            "submit", project / "train.py", "--data", project / "data.csv", "--framework", "sklearn", "--follow"
        )

        assert result.exit_code == 130
        assert f"aimatrix logs {JOB_ID} --follow" in result.stderr
        assert not [request for request in terminal.service.requests if request.method == "DELETE"]


class TestErrors:
    def test_an_invalid_request_shows_field_and_cure_and_ends_with_6(self, terminal: Terminal, project: Path) -> None:
        field = {"field": "config.parameters.max_depth", "message": "is -1", "cure": "Use 1 or more."}
        answer = problem(400, "invalid-request", "max_depth is wrong", errors=[field], request_id="r-9")
        terminal.service.faults = [Fault("POST", "/training/jobs", answer)]

        result = terminal.run("submit", project / "train.py", "--data", project / "data.csv", "--framework", "sklearn")

        assert result.exit_code == 6
        for part in ("config.parameters.max_depth: is -1", "Use 1 or more.", "r-9"):
            assert part in result.stderr

    def test_an_error_is_a_document_with_json(self, terminal: Terminal, project: Path) -> None:
        terminal.service.faults = [Fault("POST", "/training/jobs", problem(429, "quota-exceeded", "5 of 5 jobs"))]

        result = terminal.run(
            *("submit", project / "train.py", "--data", project / "data.csv", "--framework", "sklearn", "--json")
        )

        assert result.exit_code == 7
        assert document(result)["error"]["code"] == "quota-exceeded"
