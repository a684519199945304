"""The directory of a job, laid out like a SageMaker container's ``/opt/ml``, and the words that point into it.

DIR/jobs/<name>/
  ml/input/config/*.json, input/data/<channel>/, model/, output/data/, output/failure, checkpoints/
  tmp/    TMPDIR
  home/   HOME
  output.log  a copy of what was printed, only while metrics are to be found in it
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from localcloud.compute.settings import Settings

CONTAINER_ROOT = "/opt/ml"
FAILURE_BYTES = 8192


class UnsafePath(Exception):
    """A path that would lead out of the job's directory."""


@dataclass(frozen=True)
class JobDirectory:
    root: Path

    @property
    def ml(self) -> Path:
        return self.root / "ml"

    @property
    def model(self) -> Path:
        return self.ml / "model"

    @property
    def output_data(self) -> Path:
        return self.ml / "output" / "data"

    @property
    def output_copy(self) -> Path:
        return self.root / "output.log"

    def channel(self, name: str) -> Path:
        return self.ml / "input" / "data" / name

    def create(self) -> None:
        """Makes the empty directories; what an earlier start of the same job left is removed."""
        self.remove()
        for part in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (self.ml / part).mkdir(parents=True)
        for part in ("tmp", "home"):
            (self.root / part).mkdir()
        self.root.chmod(0o700)

    def remove(self) -> None:
        # A job may have left directories without write permission: its own doing, removed as far as possible.
        shutil.rmtree(self.root, ignore_errors=True)

    def write_config(self, name: str, document: Mapping[str, Any]) -> None:
        (self.ml / "input" / "config" / f"{name}.json").write_text(json.dumps(document))

    def failure_text(self) -> str:
        """What the job wrote to ``output/failure``; a link there is not followed."""
        path = self.ml / "output" / "failure"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with open(descriptor, "rb") as handle:  # noqa: PTH123 a descriptor, not a path
            return handle.read(FAILURE_BYTES).decode(errors="replace").strip() if _is_regular(descriptor) else ""

    def inside(self, text: str) -> str:
        """``/opt/ml`` and paths below it become this job's; any other text stays."""
        if text == CONTAINER_ROOT or text.startswith(CONTAINER_ROOT + "/"):
            return str(self.ml) + text.removeprefix(CONTAINER_ROOT)
        return text

    def local(self, container_path: str) -> Path:
        """The place of a container path in this directory.

        Raises:
            UnsafePath: it is not below ``/opt/ml``.
        """
        path = PurePosixPath(container_path)
        if not path.is_relative_to(CONTAINER_ROOT) or ".." in path.parts:
            raise UnsafePath(f"'{container_path}' is not below {CONTAINER_ROOT}")
        return self.ml / path.relative_to(CONTAINER_ROOT)


def job_directory(settings: Settings, name: str) -> JobDirectory:
    return JobDirectory(settings.jobs_directory / name)


def argument_list(directory: JobDirectory, words: Sequence[str], python: str) -> list[str]:
    """A container's command for this machine: paths rewritten, ``python3`` and ``python`` are the configured one."""
    first, *rest = [directory.inside(word) for word in words]
    return [python if first in ("python3", "python") else first, *rest]


def environment_of(
    directory: JobDirectory, settings: Settings, given: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a job. Nothing is inherited but PATH; `own` wins over what the request gave."""
    python_directory = str(Path(settings.python).parent)
    return {
        "PATH": f"{python_directory}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **{name: directory.inside(value) for name, value in given.items()},
        "HOME": str(directory.root / "home"),
        "TMPDIR": str(directory.root / "tmp"),
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ENDPOINT_URL": settings.aws_url,
        "AIMATRIX_ENV_CACHE": str(settings.environments_directory),
        # The script's share of the time between SIGTERM and SIGKILL; the rest is for the agent's uploads.
        "AIMATRIX_GRACE_SECONDS": f"{settings.stop_grace * 0.6:g}",
        **own,
    }


def _is_regular(descriptor: int) -> bool:
    import stat

    return stat.S_ISREG(os.fstat(descriptor).st_mode)
