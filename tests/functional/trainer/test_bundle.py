"""The bundle and the bootstrap, as containers meet them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.functional.trainer.harness import BUCKET, PREFIX, Container
from trainer.bundle import build

PACKAGE = Path(__file__).parents[3] / "trainer"
BOOTSTRAP = (PACKAGE / "bootstrap.py").read_text("utf-8")
# Serving runs in an image of the job's framework, with what that image holds.
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "serving" not in path.parts and "model" not in path.parts]


class TestBundle:
    def test_the_same_sources_make_the_same_bytes(self, tmp_path: Path) -> None:
        assert build(tmp_path / "a.zip") == build(tmp_path / "b.zip")
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    def test_two_interpreters_runs_make_the_same_bytes(self, tmp_path: Path) -> None:
        command = (
            "import sys; from pathlib import Path; from trainer.bundle import build; print(build(Path(sys.argv[1])))"
        )
        digests = {
            subprocess.run(
                [sys.executable, "-c", command, os.fspath(tmp_path / "x.zip")],
                cwd=PACKAGE.parent,
                env={"PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(digests) == 1

    def test_it_works_without_the_bytecode_that_another_python_cannot_use(
        self, container: Container, agent: Path, tmp_path: Path
    ) -> None:
        container.agent = tmp_path / "sources.zip"
        with zipfile.ZipFile(agent) as bundle, zipfile.ZipFile(container.agent, "w") as sources:
            for name in bundle.namelist():
                content = bundle.read(name)
                sources.writestr(name, b"\0\0\r\n" + content[4:] if name.endswith(".pyc") else content)
        assert container.run().script_lines() == ["hello"]

    @pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
    def test_sources_are_python_39_and_import_the_standard_library_only(self, path: Path) -> None:
        tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names or top == "trainer", f"{path.name} imports {name}"

    def test_nothing_slow_is_imported_before_the_script_starts(self, agent: Path) -> None:
        command = "import sys; import trainer.agent, trainer.console; print(' '.join(sys.modules))"
        result = subprocess.run(
            [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {os.fspath(agent)!r}); {command}"],
            capture_output=True,
            text=True,
            check=True,
        )
        slow = {"asyncio", "concurrent.futures", "dataclasses", "http.server", "logging", "tarfile", "typing"}
        assert slow & set(result.stdout.split()) == set()

    def test_it_says_how_it_is_used(self, agent: Path) -> None:
        helped = subprocess.run([sys.executable, agent, "--help"], capture_output=True, text=True, check=False)
        wrong = subprocess.run([sys.executable, agent, "serve"], capture_output=True, text=True, check=False)
        assert (helped.returncode, wrong.returncode) == (0, 2)
        assert helped.stdout == wrong.stderr
        assert "train [--root DIR]" in helped.stdout


class TestBootstrap:
    def run(self, container: Container, **environ: str) -> subprocess.CompletedProcess[str]:
        command, env = container.prepare()
        container.s3.objects.setdefault(f"{BUCKET}/code/agent v1.zip", container.agent.read_bytes())
        env |= {"AIMATRIX_AGENT_URI": f"s3://{BUCKET}/code/agent v1.zip", **environ}
        command = [command[0], "-c", BOOTSTRAP, *command[2:]]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def test_is_small_enough_for_a_job_definition(self) -> None:
        assert len(BOOTSTRAP.encode()) < 3584

    def test_fetches_the_agent_and_becomes_it(self, container: Container) -> None:
        container.script = "import sys; print('hello'); sys.exit(7)"
        result = self.run(container)
        assert result.returncode == 7, result.stderr
        assert "hello" in result.stdout
        assert PREFIX + "manifest.json" in container.s3.objects

    def test_tries_again_when_s3_is_busy(self, container: Container) -> None:
        container.s3.faults = [503, 500]
        assert self.run(container).returncode == 0

    def test_says_what_is_wrong_when_the_agent_is_not_there(self, container: Container) -> None:
        result = self.run(container, AIMATRIX_AGENT_URI=f"s3://{BUCKET}/nowhere.zip")
        assert result.returncode == 1
        assert result.stderr == "aimatrix: the agent can't be fetched: HTTP Error 404: Not Found\n"
        assert len(container.s3.requests) == 1
