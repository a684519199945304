from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import (
    DEPLOYMENT_ID,
    JOB_ID,
    MODEL_ID,
    deployment_document,
    job_document,
    log_lines,
    model_document,
    point,
)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """An example whose data is two lines long."""
    folder = tmp_path / "examples" / "sklearn"
    folder.mkdir(parents=True)
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "make_data.py").write_text(
        "import sys\nopen(sys.argv[1], 'w').write('alcohol,cultivar\\n13.2,0\\n12.1,1\\n12.9,1\\n')\n"
        "print(sys.argv[1] + ': 3 rows')\n"
    )
    return folder.parent


@pytest.fixture
def ready(terminal: Terminal) -> Terminal:
    """A service on which all goes well."""
    terminal.service.stages[JOB_ID] = deque(
        [job_document(status="running"), job_document(status="completed", model_id=MODEL_ID)]
    )
    terminal.service.log = [log_lines("hello")]
    terminal.service.points = [point("accuracy", 0.97)]
    terminal.service.models = [model_document()]
    terminal.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(), deployment_document(status="active")])
    terminal.service.predictions = {"predictions": [0, 1]}
    return terminal


class TestDemo:
    def test_tells_the_whole_story_and_ends_well(self, ready: Terminal, examples: Path, tmp_path: Path) -> None:
        result = ready.run("demo", "--examples", examples, "--state", tmp_path / "state")

        assert result.exit_code == 0, result.output
        for part in ("wine.csv: 3 rows", "hello", "accuracy 0.97", "completed", "version 1", "active", "cultivar 0"):
            assert part in result.stdout
        assert "\x1b" not in result.stdout

    def test_asks_the_endpoint_about_one_row_of_each_kind(self, ready: Terminal, examples: Path) -> None:
        ready.run("demo", "--examples", examples)

        assert ready.service.bodies("POST", "/invocations") == [
            {"dataframe_split": {"columns": ["alcohol"], "data": [[13.2], [12.1]]}}
        ]

    def test_ends_with_one_document_with_json(self, ready: Terminal, examples: Path) -> None:
        result = ready.run("demo", "--examples", examples, "--json")

        said = document(result)
        assert said["job"]["status"] == "completed"
        assert said["model"]["version"] == "1"
        assert said["deployment"]["status"] == "active"
        assert said["predictions"] == [0, 1]
        assert "hello" in result.stderr

    def test_stops_the_cloud_that_it_started(self, ready: Terminal, examples: Path) -> None:
        ready.run("demo", "--examples", examples)

        assert not ready.launcher.running

    def test_leaves_a_cloud_running_that_was_running(self, ready: Terminal, examples: Path) -> None:
        ready.launcher.running = True

        ready.run("demo", "--examples", examples)

        assert ready.launcher.running

    def test_keeps_the_cloud_when_told_so(self, ready: Terminal, examples: Path) -> None:
        result = ready.run("demo", "--examples", examples, "--keep")

        assert ready.launcher.running
        assert "aimatrix down --state" in result.stdout

    def test_a_job_that_fails_ends_with_1_and_the_cloud_is_stopped(self, ready: Terminal, examples: Path) -> None:
        ready.service.stages[JOB_ID] = deque([job_document(status="failed", failure_reason="exit code 3")])

        result = ready.run("demo", "--examples", examples)

        assert result.exit_code == 1
        assert "exit code 3" in result.stderr
        assert not ready.launcher.running

    def test_a_deployment_that_fails_ends_with_1(self, ready: Terminal, examples: Path) -> None:
        ready.service.deployments[DEPLOYMENT_ID] = deque([deployment_document(status="failed")])

        assert ready.run("demo", "--examples", examples).exit_code == 1

    def test_data_that_cannot_be_made_is_told(self, ready: Terminal, examples: Path) -> None:
        (examples / "sklearn" / "make_data.py").write_text("import no_such_module\n")

        result = ready.run("demo", "--examples", examples)

        assert result.exit_code == 1
        assert "no_such_module" in result.stderr

    def test_without_examples_it_says_where_they_come_from(self, terminal: Terminal, tmp_path: Path) -> None:
        result = terminal.run("demo", "--examples", tmp_path)

        assert result.exit_code == 2
        assert terminal.launcher.calls == []
