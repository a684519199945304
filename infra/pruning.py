"""What of a library goes into the Lambda zip, and in which form.

Code is compiled beforehand: Lambda's disk is read-only, so every cold start would compile what it imports (measured on a
2-core machine: 240 ms without, 105 ms with). The compiled files are of the kind that is never checked against its source,
because a zip's dates say nothing. Libraries go in without their sources: a twentieth of the zip, which Python does not open.
A traceback then has a library's file and line without the line's text; our own code keeps its.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath

_NEEDLESS_FOLDERS = {"__pycache__", "tests", "test", "bin", "sboms"}
_NEEDLESS_SUFFIXES = {".pyi", ".pyc", ".pyx", ".c", ".h"}
_NEEDLESS_NAMES = {"py.typed", "RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json"}
# A metadata folder is kept for its METADATA and licence: libraries look up their own version there.
_NEEDLESS_IN_METADATA = {"top_level.txt", "entry_points.txt"}

# Parts of Powertools that nothing of ours imports; cffi, of which cryptography uses only the compiled _cffi_backend.
# `build` imports app.py with what is left, and a test does so without anything installed beside it.
_NEEDLESS_PACKAGES = (
    *(
        f"aws_lambda_powertools/{part}"
        for part in (
            "event_handler",
            "utilities/auth_alpha",
            "utilities/batch",
            "utilities/circuit_breaker",
            "utilities/data_classes",
            "utilities/data_masking",
            "utilities/feature_flags",
            "utilities/idempotency",
            "utilities/kafka",
            "utilities/metadata",
            "utilities/parameters",
            "utilities/parser",
            "utilities/streaming",
            "utilities/validation",
        )
    ),
    "aws_lambda_powertools/metrics/provider/datadog",
    "cffi",
    "pycparser",
    "pydantic/v1",  # the old interface, for models of the old kind
)
# What serves tools, tests, or types that nothing of ours has; of the time zones what `zoneinfo` does not read.
_NEEDLESS_FILES = {
    "annotated_types/test_cases.py",
    "pydantic/color.py",
    "pydantic/experimental/pipeline.py",
    "pydantic/mypy.py",
    *(
        f"tzdata/zoneinfo/{name}"
        for name in ("tzdata.zi", "zone.tab", "zone1970.tab", "zonenow.tab", "iso3166.tab", "leapseconds")
    ),
}


class PruningError(Exception):
    """Some code cannot be compiled."""


def needed(name: str) -> bool:
    """Whether a file of a library belongs into the zip; `name` is its path inside, with slashes."""
    path = PurePosixPath(name)
    if name in _NEEDLESS_FILES or path.name in _NEEDLESS_NAMES or path.suffix in _NEEDLESS_SUFFIXES:
        return False
    if path.parts[0].endswith(".dist-info") and path.name in _NEEDLESS_IN_METADATA:
        return False
    return not _NEEDLESS_FOLDERS.intersection(path.parts[:-1]) and not name.startswith(
        tuple(f"{package}/" for package in _NEEDLESS_PACKAGES)
    )


def prune(folder: Path) -> None:
    """Remove from a folder of installed libraries what no function needs."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not needed(path.relative_to(folder).as_posix()):
            path.unlink()


def compile_all(folder: Path, *, keep_sources: bool = True) -> None:
    """Compile all Python code below `folder`, to the same bytes every time.

    Args:
        keep_sources: without them a compiled file takes the place of its source.

    Raises:
        PruningError: some of it is not valid Python.
    """
    # A fresh interpreter with a fixed hash seed, and paths relative to the folder: nothing of this machine gets in.
    arguments = [
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(folder),
        "-j",
        "1",
        *(() if keep_sources else ("-b",)),
        str(folder),
    ]
    result = subprocess.run(
        [sys.executable, *arguments], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise PruningError(f"cannot compile:\n{result.stdout}{result.stderr}")
    if not keep_sources:
        for source in folder.rglob("*.py"):
            source.unlink()
