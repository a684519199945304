"""requirements.txt in a cached environment, with a wheel made on the spot: no index is asked."""

from __future__ import annotations

import base64
import hashlib
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from tests.functional.trainer.harness import BUCKET, Container
from trainer.console import Console
from trainer.errors import RequirementsError
from trainer.requirements import environment_key, install


def wheel(directory: Path, version: str) -> None:
    """A package `greeting` of one module."""
    info = f"greeting-{version}.dist-info"
    files = {
        "greeting.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for name, text in files.items()
    )
    directory.mkdir(exist_ok=True)
    with zipfile.ZipFile(directory / f"greeting-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    wheel(tmp_path / "wheels", "1.0")
    return tmp_path / "wheels"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "environments"


def requirements(tmp_path: Path, wheels: Path, text: str = "greeting==1.0") -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text(f"--no-index\n--find-links {wheels}\n{text}\n")
    return path


def test_a_job_runs_in_an_environment_of_its_own_that_sees_the_laptops_packages(
    container: Container, tmp_path: Path, wheels: Path, cache: Path
) -> None:
    container.s3.objects[f"{BUCKET}/uploads/requirements.txt"] = requirements(tmp_path, wheels).read_bytes()
    container.spec["requirements"] = {"uri": f"s3://{BUCKET}/uploads/requirements.txt"}
    container.environ["AIMATRIX_ENV_CACHE"] = str(cache)
    container.script = f"""
import greeting, numpy, os, shutil, sys
print(greeting.VERSION, sys.prefix.startswith({str(cache)!r}), shutil.which("python") == sys.executable)
"""
    assert container.run().script_lines() == ["1.0 True True"]


def test_the_same_requirements_are_installed_once(tmp_path: Path, wheels: Path, cache: Path) -> None:
    path = requirements(tmp_path, wheels)
    environ = {"AIMATRIX_ENV_CACHE": str(cache)}
    results: list[Path] = []
    builds: list[str] = []

    class Listener(Console):
        def say(self, text: str) -> None:
            builds.append(text)

    threads = [
        threading.Thread(target=lambda: results.append(install(path, environ=environ, console=Listener())))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1
    assert len(results) == 2
    assert len(builds) == 1


def test_a_failed_installation_leaves_nothing_and_says_why(tmp_path: Path, wheels: Path, cache: Path) -> None:
    path = requirements(tmp_path, wheels, "greeting==9.9")
    with pytest.raises(RequirementsError, match=r"No matching distribution found for greeting==9\.9"):
        install(path, environ={"AIMATRIX_ENV_CACHE": str(cache)}, console=Console())
    assert [entry for entry in cache.iterdir() if entry.is_dir()] == []


def test_a_job_whose_requirements_cannot_be_installed_fails_with_pips_words(
    container: Container, tmp_path: Path, wheels: Path, cache: Path
) -> None:
    container.s3.objects[f"{BUCKET}/r.txt"] = requirements(tmp_path, wheels, "greeting==9.9").read_bytes()
    container.spec["requirements"] = {"uri": f"s3://{BUCKET}/r.txt"}
    container.environ["AIMATRIX_ENV_CACHE"] = str(cache)
    finished = container.run()
    assert finished.code == 1
    assert "No matching distribution found for greeting==9.9" in finished.failure


def test_another_content_or_interpreter_is_another_environment() -> None:
    python = Path(sys.executable)
    keys = {environment_key(b"a", python), environment_key(b"b", python), environment_key(b"a", Path("/other/python"))}
    assert len(keys) == 3
