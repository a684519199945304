"""The libraries in the Lambda zip: wheels for Lambda's Python, architecture and C library, whatever machine builds.

Done by pip itself, because `chalice package` ends with success when a wheel is missing. pip refuses, and so do we.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra import pruning

# Lambda's runtimes stand on Amazon Linux 2 (glibc 2.26) up to Python 3.11 and on Amazon Linux 2023 (2.34) from 3.12:
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_OLD_GLIBC, _NEW_GLIBC = 26, 34
_FIRST_WITH_NEW_GLIBC = (3, 12)
_OLDEST_MANYLINUX = 5

_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class DependencyError(Exception):
    """A library cannot be had for Lambda."""


@dataclass(frozen=True)
class Target:
    """What the functions run on.

    Attributes:
        python: version, such as (3, 11).
        architecture: Lambda's word: x86_64 or arm64.
    """

    python: tuple[int, int]
    architecture: str

    @classmethod
    def of_this_machine(cls) -> Target:
        """The same Python and processor as here, so that the zip that goes to AWS is the one that runs on a laptop."""
        machine = platform.machine().lower()
        try:
            return cls(sys.version_info[:2], _ARCHITECTURES[machine])
        except KeyError:
            raise DependencyError(f"Lambda has no architecture like this machine's, {machine}: name one") from None

    @property
    def platforms(self) -> list[str]:
        """Wheel platforms, newest first. pip takes each literally, so every older glibc is named as well."""
        newest = _NEW_GLIBC if self.python >= _FIRST_WITH_NEW_GLIBC else _OLD_GLIBC
        machine = _MACHINES[self.architecture]
        return [
            *(f"manylinux_2_{minor}_{machine}" for minor in range(newest, _OLDEST_MANYLINUX - 1, -1)),
            f"manylinux2014_{machine}",
        ]

    def pip_options(self) -> list[str]:
        version = f"{self.python[0]}.{self.python[1]}"
        abi = f"cp{self.python[0]}{self.python[1]}"
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
        options += [f"--abi={name}" for name in (abi, "abi3", "none")]
        return options + [f"--platform={name}" for name in self.platforms]


Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def install(requirements: Path, target: Target, cache: Path, *, run: Run = _run) -> Path:
    """A folder with what functions need of all that `requirements` names; made once for each content of the file.

    Raises:
        DependencyError: pip could not install it, for example because a wheel is missing.
    """
    how = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("pruning.py", "elf.py")]
    recipe = [str(target), requirements.read_text(encoding="utf-8"), *how]
    digest = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    folder = cache / f"dependencies-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    # Complete or not at all: the folder gets its name when pip is done.
    with tempfile.TemporaryDirectory(dir=cache) as unfinished:
        made = Path(unfinished, "made")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        result = run([*pip, f"--target={made}", *target.pip_options(), f"--requirement={requirements}"])
        if result.returncode != 0:
            raise DependencyError(f"pip cannot install {requirements.name} for {target}:\n{result.stderr.strip()}")
        pruning.prune(made)
        pruning.compile_all(made)
        made.rename(folder)
    for old in cache.glob("dependencies-*"):
        if old != folder and old.stat().st_mtime < folder.stat().st_mtime - _KEEP_SECONDS:
            shutil.rmtree(old)
    return folder


_KEEP_SECONDS = 7 * 24 * 3600
"""Older sets are removed: they are only a download away."""
