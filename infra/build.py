"""Build what is deployed: `python -m infra.build --out build`.

1. `agent.zip`, the bundle that runs around a user's script.
2. The libraries for Lambda, once for each content of requirements.txt.
3. `chalice package` over a copy of app.py and chalicelib/, merged with the fragments: `template.json`.
4. `deployment.zip`, the code of every function.

A build whose inputs have not changed is not repeated. Two builds into one folder wait for each other, and a reader never
sees a half-written file.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from infra import archive, chalice_config, dependencies, pruning, template
from infra.dependencies import Target
from infra.names import Json

PROJECT = Path(__file__).parent.parent
TEMPLATE, ZIP, AGENT, INPUTS = "template.json", "deployment.zip", "agent.zip", "inputs.sha256"

# Everything that a build depends on. A file that is not under one of these cannot change the outcome.
_SOURCES = ("app.py", "chalicelib", "requirements.txt", "infra", "stepfunctions", "trainer")
_TOOLS = ("chalice",)
# Its entry point returns the exit code, where a console script would pass it on.
_CHALICE = "import sys; from chalice.cli import main; sys.exit(main())"

Progress = Callable[[str], None]


class BuildError(Exception):
    """The build failed; the message says which step and why."""


@dataclass(frozen=True)
class Build:
    """Where the parts of a finished build are.

    Attributes:
        folder: holds `template.json`, `deployment.zip` and `agent.zip`.
        digest: SHA-256 over all inputs; two builds with the same one are the same.
        fresh: whether anything had to be done.
    """

    folder: Path
    digest: str
    fresh: bool

    @property
    def template(self) -> Path:
        return self.folder / TEMPLATE

    @property
    def zip(self) -> Path:
        return self.folder / ZIP

    @property
    def agent(self) -> Path:
        return self.folder / AGENT


def build(
    out: Path,
    *,
    project: Path = PROJECT,
    target: Target | None = None,
    cache: Path | None = None,
    say: Progress = lambda _: None,
) -> Build:
    """Build into `out`, unless what lies there was made from the same inputs.

    Args:
        project: the folder with app.py and the rest.
        target: what the functions run on; by default the like of this machine.
        cache: where downloaded libraries are kept; by default inside `out`.
        say: told one line per step.

    Raises:
        BuildError: a step failed. `out` keeps what it had.
    """
    target = target or Target.of_this_machine()
    out.mkdir(parents=True, exist_ok=True)
    with _only_one(out):
        digest = inputs_digest(project, target)
        if _current(out, digest):
            say(f"up to date in {out}")
            return Build(out, digest, fresh=False)
        with tempfile.TemporaryDirectory(dir=out, prefix=".making-") as making:
            made = Path(making)
            try:
                _make(made, project, target, cache or out / "cache", say)
            except (
                template.TemplateError,
                archive.ArchiveError,
                dependencies.DependencyError,
                pruning.PruningError,
            ) as error:
                raise BuildError(str(error)) from error
            (made / INPUTS).write_text(digest + "\n", encoding="utf-8")
            # The digest last: it vouches for the others.
            (out / INPUTS).unlink(missing_ok=True)
            for name in (AGENT, ZIP, TEMPLATE, INPUTS):
                os.replace(made / name, out / name)  # noqa: PTH105 - atomic, and replaces
    return Build(out, digest, fresh=True)


def inputs_digest(project: Path, target: Target) -> str:
    """SHA-256 over every source file and the versions of the tools."""
    digest = hashlib.sha256(repr(target).encode())
    for tool in _TOOLS:
        digest.update(f"{tool} {version(tool)}\n".encode())
    for source in _SOURCES:
        for path in _files(project / source):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(project).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _current(out: Path, digest: str) -> bool:
    stamp = out / INPUTS
    complete = all((out / name).is_file() for name in (TEMPLATE, ZIP, AGENT, INPUTS))
    return complete and stamp.read_text(encoding="utf-8").strip() == digest


@contextmanager
def _only_one(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(made: Path, project: Path, target: Target, cache: Path, say: Progress) -> None:
    with _timed(say, "agent"):
        _bundle_agent(project, made / AGENT)
    with _timed(say, f"libraries for Lambda ({target.architecture}, Python {'.'.join(map(str, target.python))})"):
        libraries = dependencies.install(project / "requirements.txt", target, cache)
    with _timed(say, "template"):
        packaged, code = _package(project, target, libraries)
        finished = template.completed(packaged)
        text = json.dumps(finished, indent=1)
        if len(text) > template.LARGEST_TEMPLATE:
            raise BuildError(f"template.json has {len(text):,} bytes, more than {template.LARGEST_TEMPLATE:,}")
        (made / TEMPLATE).write_text(text + "\n", encoding="utf-8")
    with _timed(say, "code") as note:
        files = {**dict(archive.folder_files(libraries)), **code}
        size = archive.write(made / ZIP, files)
        note(f"{size / 1_000_000:.2f} MB, {len(files)} files")


@contextmanager
def _timed(say: Progress, step: str) -> Iterator[Callable[[str], None]]:
    notes: list[str] = []
    begun = time.monotonic()
    yield notes.append
    say(f"{step}: {time.monotonic() - begun:.1f} s{', ' if notes else ''}{', '.join(notes)}")


def _bundle_agent(project: Path, destination: Path) -> None:
    """By a Python of its own: the bundle is made from `project`, whatever this process has imported."""
    source = "import sys; from pathlib import Path; from trainer.bundle import build; print(build(Path(sys.argv[1])))"
    _run([sys.executable, "-c", source, str(destination)], cwd=project, step="agent")


def _package(project: Path, target: Target, libraries: Path) -> tuple[Json, dict[str, bytes]]:
    """Let Chalice make the template, and the code without the libraries (those are added, stripped, afterwards)."""
    if not (project / "app.py").is_file():
        raise BuildError(f"there is no app.py in {project}")
    with tempfile.TemporaryDirectory(prefix="aimatrix-package-") as scratch:
        stage, out = Path(scratch, "project"), Path(scratch, "out")
        stage.mkdir()
        shutil.copy(project / "app.py", stage)
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "py.typed")
        shutil.copytree(project / "chalicelib", stage / "chalicelib", ignore=ignored)
        (stage / "requirements.txt").touch()
        chalice_config.write(stage / ".chalice", target.architecture)
        additions = Path(scratch, "additions.json")
        additions.write_text(json.dumps(template.additions()), encoding="utf-8")
        arguments = ["package", "--stage", chalice_config.CHALICE_STAGE, "--merge-template", str(additions), str(out)]
        # Chalice imports app.py: with the libraries of the zip first, so that a missing one shows here.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(libraries),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_DEFAULT_REGION": "us-east-1",  # only for the names of service principals, the same in every region
        }
        said = _run(
            [sys.executable, "-c", _CHALICE, *arguments], cwd=stage, step="chalice package", environment=environment
        )
        if "Could not install dependencies" in said:
            raise BuildError(f"chalice package left libraries out:\n{said}")
        packaged: Json = json.loads((out / "sam.json").read_text(encoding="utf-8"))
        code = Path(scratch, "code")
        with zipfile.ZipFile(out / ZIP) as own:
            own.extractall(code)
        pruning.compile_all(code)
        return packaged, dict(archive.folder_files(code))


def _run(arguments: list[str], *, cwd: Path, step: str, environment: dict[str, str] | None = None) -> str:
    result = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    said = (result.stdout + result.stderr).strip()
    if result.returncode != 0:
        raise BuildError(f"{step} failed with exit code {result.returncode}:\n{said}")
    return said


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the template, the Lambda zip and the agent's bundle.")
    parser.add_argument("--out", type=Path, default=PROJECT / "build", help="folder to build into (default: build)")
    parser.add_argument(
        "--architecture", choices=("x86_64", "arm64"), help="of the functions (default: this machine's)"
    )
    options = parser.parse_args(argv)
    here = Target.of_this_machine()
    target = Target(here.python, options.architecture or here.architecture)
    try:
        build(options.out.resolve(), target=target, say=lambda line: print(f"build: {line}", flush=True))
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
