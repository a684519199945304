"""Building: repeatable, refused when something is missing, and small."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from infra import archive, build, dependencies, pruning
from infra.build import Build, BuildError
from infra.dependencies import DependencyError, Target
from tests.infra.conftest import CACHE


def copy_of_project(folder: Path) -> Path:
    for name in ("chalicelib", "infra", "stepfunctions", "trainer"):
        shutil.copytree(build.PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "requirements.txt"):
        shutil.copy(build.PROJECT / name, folder)
    return folder


class TestBuild:
    def test_is_not_repeated_while_nothing_changed(self, built: Build) -> None:
        steps: list[str] = []
        again = build.build(built.folder, cache=CACHE, say=steps.append)
        assert not again.fresh
        assert again.digest == built.digest
        assert len(steps) == 1

    def test_makes_the_same_bytes_elsewhere(self, built: Build, tmp_path: Path) -> None:
        other = build.build(tmp_path, cache=CACHE)
        assert other.fresh
        assert other.zip.read_bytes() == built.zip.read_bytes()
        assert other.template.read_text() == built.template.read_text()

    def test_depends_on_every_source_file(self, tmp_path: Path) -> None:
        project = copy_of_project(tmp_path)
        target = Target((3, 11), "x86_64")
        before = build.inputs_digest(project, target)
        for name in (
            "app.py",
            "chalicelib/settings.py",
            "stepfunctions/train_job.asl.json",
            "infra/names.py",
            "requirements.txt",
        ):
            (project / name).write_text((project / name).read_text() + "\n")
            after = build.inputs_digest(project, target)
            assert after != before, name
            before = after

    def test_depends_on_the_target(self) -> None:
        digests = {build.inputs_digest(build.PROJECT, Target(python, "arm64")) for python in ((3, 11), (3, 12))}
        assert len(digests) == 2

    def test_says_what_is_wrong_with_the_application_and_keeps_the_last_build(
        self, built: Build, tmp_path: Path
    ) -> None:
        project = copy_of_project(tmp_path / "project")
        out = tmp_path / "out"
        shutil.copytree(built.folder, out)
        (project / "app.py").write_text("import a_module_that_is_nowhere\n")
        with pytest.raises(BuildError, match="a_module_that_is_nowhere"):
            build.build(out, project=project, cache=CACHE)
        assert (out / "template.json").read_bytes() == built.template.read_bytes()
        assert not list(out.glob(".making-*"))

    def test_is_refused_without_an_application(self, tmp_path: Path) -> None:
        project = copy_of_project(tmp_path / "project")
        (project / "app.py").unlink()
        with pytest.raises(BuildError, match=r"no app\.py"):
            build.build(tmp_path / "out", project=project, cache=CACHE)


class TestZip:
    def test_stays_under_its_limit(self, built: Build) -> None:
        assert built.zip.stat().st_size <= 10_000_000

    def test_holds_the_application_with_its_data_and_no_client_library(self, built: Build) -> None:
        names = set(zipfile.ZipFile(built.zip).namelist())
        data = {
            f"chalicelib/{p.relative_to(build.PROJECT / 'chalicelib')}"
            for p in build.PROJECT.glob("chalicelib/**/*.json")
        }
        assert {"app.pyc", "chalice/app.pyc", "chalicelib/settings.pyc", *data} <= names
        assert not [name for name in names if name.startswith(("boto3/", "botocore/", "mlflow/", "cffi/", "infra/"))]

    def test_carries_one_date_and_no_path_of_the_machine_that_built_it(self, built: Build) -> None:
        with zipfile.ZipFile(built.zip) as code:
            assert {entry.date_time for entry in code.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            for entry in code.infolist():
                if entry.filename.endswith(".pyc"):
                    assert str(build.PROJECT).encode() not in code.read(entry)

    def test_imports_and_checks_tokens_with_nothing_of_ours_installed_beside_it(
        self, built: Build, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(built.zip) as code:
            code.extractall(tmp_path)
        # What Lambda's runtime brings by itself, and no more: botocore and its own dependencies.
        runtime = tmp_path / "runtime"
        runtime.mkdir()
        for name in ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"):
            module = __import__(name)
            source = Path(module.__file__ or "")
            (runtime / (name if source.name == "__init__.py" else source.name)).symlink_to(
                source.parent if source.name == "__init__.py" else source
            )
        source_code = (
            f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({str(runtime)!r})\n"
            "import app, chalicelib, importlib, pkgutil\n"
            "for module in pkgutil.walk_packages(chalicelib.__path__, 'chalicelib.'): importlib.import_module(module.name)\n"
            "from cryptography.hazmat.primitives.asymmetric import rsa; from jwt import PyJWK, decode, encode\n"
            "from jwt.algorithms import RSAAlgorithm\n"
            "key = rsa.generate_private_key(public_exponent=65537, key_size=2048)\n"
            "public = PyJWK(RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), algorithm='RS256')\n"
            "print(decode(encode({'sub': app.app.app_name}, key, 'RS256'), public, ['RS256'])['sub'])"
        )
        # -I and -S: no site-packages, no environment.
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", source_code], capture_output=True, text=True, check=False
        )
        assert result.stdout.strip() == "aimatrix", result.stderr

    def test_is_refused_when_it_grows_too_large(self, tmp_path: Path) -> None:
        with pytest.raises(archive.ArchiveError, match="more than 10"):
            archive.write(tmp_path / "code.zip", {"a.txt": b"some text"}, largest=10)


class TestDependencies:
    def test_ask_for_wheels_that_run_on_lambda(self) -> None:
        options = Target((3, 11), "arm64").pip_options()
        assert "--only-binary=:all:" in options
        assert "--platform=manylinux_2_26_aarch64" in options
        assert "--platform=manylinux_2_28_aarch64" not in options
        assert "--platform=manylinux_2_34_x86_64" in Target((3, 12), "x86_64").pip_options()

    def test_a_missing_wheel_fails_the_build_and_leaves_nothing(self, tmp_path: Path) -> None:
        def no_wheel(arguments: list[str]) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess(arguments, 1, "", "ERROR: No matching distribution found for a==1")

        requirements = tmp_path / "requirements.txt"
        requirements.write_text("a==1\n")
        with pytest.raises(DependencyError, match="No matching distribution found"):
            dependencies.install(requirements, Target((3, 11), "x86_64"), tmp_path / "cache", run=no_wheel)
        assert list((tmp_path / "cache").iterdir()) == []

    def test_are_downloaded_once_for_each_set(self, tmp_path: Path) -> None:
        asked: list[list[str]] = []

        def pip(arguments: list[str]) -> subprocess.CompletedProcess[str]:
            asked.append(arguments)
            folder = next(a.removeprefix("--target=") for a in arguments if a.startswith("--target="))
            Path(folder, "library").mkdir(parents=True)
            Path(folder, "library", "__init__.py").write_text("x = 1\n")
            return subprocess.CompletedProcess(arguments, 0, "", "")

        requirements, target = tmp_path / "requirements.txt", Target.of_this_machine()
        requirements.write_text("a==1\n")
        first = dependencies.install(requirements, target, tmp_path / "cache", run=pip)
        assert dependencies.install(requirements, target, tmp_path / "cache", run=pip) == first
        assert len(asked) == 1
        assert [path.name for path in (first / "library").iterdir()] == ["__init__.pyc"]
        requirements.write_text("a==2\n")
        assert dependencies.install(requirements, target, tmp_path / "cache", run=pip) != first

    def test_are_pinned_as_in_pyproject(self) -> None:
        pinned = {
            line.strip()
            for line in (build.PROJECT / "requirements.txt").read_text().splitlines()
            if line.strip() and not line.startswith("#")
        }
        project = (build.PROJECT / "pyproject.toml").read_text()
        assert all(json.dumps(requirement) in project for requirement in pinned)


class TestPruning:
    @pytest.mark.parametrize(
        ("name", "is_needed"),
        [
            ("pydantic/main.py", True),
            ("pydantic/main.pyi", False),
            ("pydantic/py.typed", False),
            ("pydantic/v1/main.py", False),
            ("library/tests/test_it.py", False),
            ("tests.py", True),
            ("library-1.0.dist-info/METADATA", True),
            ("library-1.0.dist-info/RECORD", False),
            ("cffi/api.py", False),
            ("tzdata/zoneinfo/Europe/Berlin", True),
            ("tzdata/zones", True),
            ("tzdata/zoneinfo/zone.tab", False),
            ("_cffi_backend.cpython-311-x86_64-linux-gnu.so", True),
            ("aws_lambda_powertools/logging/logger.py", True),
            ("aws_lambda_powertools/event_handler/api_gateway.py", False),
        ],
    )
    def test_keeps_only_what_functions_need(self, name: str, is_needed: bool) -> None:
        assert pruning.needed(name) == is_needed

    def test_leaves_of_metadata_what_says_the_version(self, tmp_path: Path) -> None:
        metadata = tmp_path / "library-1.0.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text("Metadata-Version: 2.1\nName: library\nVersion: 1.0\n\n# Library\n\nWhat it is for.\n")
        pruning.prune(tmp_path)
        assert metadata.read_text() == "Metadata-Version: 2.1\nName: library\nVersion: 1.0\n"
        (found,) = distributions(path=[str(tmp_path)])
        assert (found.name, found.version) == ("library", "1.0")

    def test_leaves_of_a_shared_library_what_is_loaded(self, tmp_path: Path) -> None:
        symbols = b"what a debugger wants"
        segments, headers = b"what a process gets", struct.pack("<IIQQQQQQ", 1, 5, 120, 0, 0, 19, 19, 8)
        header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 160, 0, 64, 56, 1, 64, 7, 6)
        (tmp_path / "library.so").write_bytes(header + headers + segments + symbols)
        (tmp_path / "other.so").write_bytes(b"INPUT(library.so)")
        pruning.prune(tmp_path)
        left = (tmp_path / "library.so").read_bytes()
        assert left[len(header) :] == headers + segments
        assert struct.unpack("<16sHHIQQQIHHHHHH", left[: len(header)])[6:] == (0, 0, 64, 56, 1, 64, 0, 0)
        assert (tmp_path / "other.so").read_bytes() == b"INPUT(library.so)"

    def test_refuses_code_that_does_not_compile(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("def (")
        with pytest.raises(pruning.PruningError, match=r"broken\.py"):
            pruning.compile_all(tmp_path)

    def test_puts_compiled_code_in_the_place_of_its_source(self, tmp_path: Path) -> None:
        (tmp_path / "library").mkdir()
        (tmp_path / "library" / "__init__.py").write_text('"""What it is for."""\nANSWER = 42\n')
        pruning.compile_all(tmp_path)
        assert [path.name for path in (tmp_path / "library").iterdir()] == ["__init__.pyc"]
        told = subprocess.run(
            [sys.executable, "-c", "import library; print(library.ANSWER, library.__doc__)"],
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout == "42 None\n"
