"""Asking a child process of the training environment what the staged model is: versions, signature, a request it takes.

The child imports the very `code/inference.py` that will serve, so a model that loads here loads there. It runs in a
session of its own, gets no credentials, and is killed with everything it started when its time is over.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPORT_BYTES = 256 * 1024
# A credential or a tracking server has no place in a process that only loads a file.
WITHHELD = ("AWS_", "AIMATRIX_", "MLFLOW_", "SM_", "SAGEMAKER_")


@dataclass(frozen=True)
class Report:
    """What the child said.

    Attributes:
        versions: Python and installed framework versions.
        loaded: Whether the model loaded; `None` when the child did not get that far for another reason.
        error: Why it did not load, in one line.
        problem: Why the child's report is incomplete although the model may be fine.
    """

    versions: dict[str, str] = field(default_factory=dict)
    loaded: bool | None = None
    error: str | None = None
    problem: str | None = None
    signature: dict[str, Any] | None = None
    input_example: dict[str, Any] | None = None


def probe(directory: Path, python: str, distributions: tuple[str, ...], timeout_seconds: float) -> Report:
    """Loads the model in `directory` (staged, with its `code/inference.py`) in a child. Never raises for the model."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(WITHHELD)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory(prefix="probe-") as scratch:
        child = Path(scratch, "probe_child.py")
        child.write_bytes(_child_source())
        report = Path(scratch, "report.jsonl")
        log = Path(scratch, "log")
        arguments = [python, str(child), str(directory), str(report), *distributions]
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    arguments, env=environment, cwd=scratch, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, preexec_fn=os.setpgrp,
                )  # fmt: skip
            except OSError as error:
                return Report(problem=f"the model could not be inspected: {python}: {error.strerror}")
            problem = _wait(process, timeout_seconds)
        return _collect(report, problem)


def _child_source() -> bytes:
    import pkgutil

    # Not by path: the agent imports this package from a zip file.
    content = pkgutil.get_data("trainer.model", "probe_child.py")
    if content is None:
        raise FileNotFoundError("trainer/model/probe_child.py is not in the bundle")
    return content


def _wait(process: subprocess.Popen[bytes], timeout_seconds: float) -> str | None:
    try:
        code = process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return f"the model could not be inspected within {timeout_seconds:g} s"
    finally:
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None if code == 0 else f"the process that inspected the model ended with code {code}"


def _collect(path: Path, problem: str | None) -> Report:
    """Each line of the report adds members; a child that died half-way has still said what came before."""
    said: dict[str, Any] = {}
    if path.is_file():
        with path.open("rb") as stream:
            lines = stream.read(REPORT_BYTES).split(b"\n")
        if lines.pop():
            problem = problem or "the inspection of the model gave an incomplete report"
        for line in lines:
            said.update(json.loads(line))
    return Report(
        versions=said.get("versions") or {},
        loaded=said.get("loaded"),
        error=said.get("error"),
        problem=said.get("problem") or problem,
        signature=said.get("signature"),
        input_example=said.get("input_example"),
    )
