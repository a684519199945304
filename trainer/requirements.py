"""`requirements.txt`: into the container's own environment on AWS, into a cached one of its own on a laptop.

A cached environment is a directory named by the hash of what it was made from. It counts only once the file that is written
last is there, so nobody uses half of one; a failed build leaves nothing; of two jobs that want the same one at once, the
second waits for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import RequirementsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trainer.console import Console

_TIMEOUT_SECONDS = 3600.0
_TAIL = 600
_COMPLETE = "aimatrix-environment.json"


def install(requirements: Path, *, environ: Mapping[str, str], console: Console, python: Path | None = None) -> Path:
    """Installs and returns the interpreter to run the script with.

    Args:
        requirements: The file.
        environ: Read for `AIMATRIX_ENV_CACHE`, the directory of cached environments, and passed on to pip.
        python: The interpreter to build on; the one that runs the agent by default.

    Raises:
        RequirementsError: pip failed; the message ends with its own last words.
    """
    base = python or Path(sys.executable)
    cache = environ.get("AIMATRIX_ENV_CACHE")
    begun = time.monotonic()
    if not cache:
        _pip([str(base)], requirements, environ)
        console.say(f"installed requirements.txt in {time.monotonic() - begun:.1f} s")
        return base
    directory = Path(cache)
    directory.mkdir(parents=True, exist_ok=True)
    key = environment_key(requirements.read_bytes(), base)
    home = directory / key
    interpreter = home / "bin" / "python"
    if not (home / _COMPLETE).exists():
        with _lock(directory / f"{key}.lock"):
            if not (home / _COMPLETE).exists():
                _build(home, base, requirements, environ)
                console.say(f"built the environment for requirements.txt in {time.monotonic() - begun:.1f} s")
    return interpreter


def environment_key(content: bytes, python: Path) -> str:
    """Names the environment that these requirements make with this interpreter."""
    digest = hashlib.sha256()
    for part in (content, os.fsencode(python), sys.version.encode(), os.fsencode(sys.prefix)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]


def _build(home: Path, base: Path, requirements: Path, environ: Mapping[str, str]) -> None:
    """Builds in place, because an environment can't be moved; what makes it exist is the file written last."""
    shutil.rmtree(home, ignore_errors=True)
    try:
        _run([str(base), "-m", "venv", "--system-site-packages", "--without-pip", str(home)], environ)
        interpreter = home / "bin" / "python"
        _see_packages_of(base, interpreter, environ)
        _pip([str(interpreter)], requirements, environ)
        (home / _COMPLETE).write_text("{}\n", "utf-8")
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _see_packages_of(base: Path, interpreter: Path, environ: Mapping[str, str]) -> None:
    """Makes the base interpreter's packages visible when it lives in a virtual environment itself.

    `--system-site-packages` means those of the Python installation underneath, and would skip the ones beside the agent.
    """
    ask = "import site, sys; print('\\n'.join(p for p in sys.path if p.endswith('-packages')))"
    beside = _run([str(base), "-c", ask], environ).splitlines()
    own = _run([str(interpreter), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], environ).strip()
    Path(own, "aimatrix-base.pth").write_text("".join(f"{path}\n" for path in beside), "utf-8")


def _pip(python: list[str], requirements: Path, environ: Mapping[str, str]) -> None:
    options = ["--disable-pip-version-check", "--no-input", "--quiet"]
    _run([*python, "-m", "pip", "install", *options, "--requirement", str(requirements)], environ)


def _run(command: list[str], environ: Mapping[str, str]) -> str:
    env: dict[str, str] = {name: value for name, value in environ.items() if not name.startswith("AIMATRIX_")}
    try:
        result = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RequirementsError(f"requirements.txt was not installed within {_TIMEOUT_SECONDS:g} s") from error
    text = result.stdout.decode("utf-8", "replace")
    if result.returncode != 0:
        raise RequirementsError(f"requirements.txt could not be installed: {text.strip()[-_TAIL:]}")
    return text


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
