"""What of a library goes into the Lambda zip, and in which form code does.

Code is compiled beforehand: Lambda's disk is read-only, so every cold start would compile what it imports (measured on a
2-core machine: 240 ms without, 105 ms with). The compiled files are of the kind that is never checked against its source,
because a zip's dates say nothing. They go in without docstrings and assertions, and without their sources, which Python does
not open: a traceback then has file, line and function, without the line's text. Shared libraries go in without their symbol
tables, packages' metadata without the README in it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath

from infra import elf

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
    "jmespath",  # boto3 needs it too, so Lambda's runtime has it
    "cryptography/hazmat/asn1",
    "cryptography/hazmat/primitives/twofactor",
    "pycparser",
    "pydantic/v1",  # the old interface, for models of the old kind
)
# What serves tools, tests, or types that nothing of ours has; of the time zones what `zoneinfo` does not read.
_NEEDLESS_FILES = {
    "annotated_types/test_cases.py",
    "cryptography/fernet.py",
    "cryptography/hazmat/primitives/serialization/pkcs7.py",
    "cryptography/x509/ocsp.py",
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
    """Remove from a folder of installed libraries what no function needs, and from its files what nothing reads."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not needed(path.relative_to(folder).as_posix()):
            path.unlink()
        elif path.suffix == ".so":
            path.write_bytes(elf.loaded_part(path.read_bytes()))
        elif path.name == "METADATA":
            path.write_text(_without_description(path.read_text(encoding="utf-8")), encoding="utf-8")


def _without_description(metadata: str) -> str:
    """The fields, without the text behind them: https://packaging.python.org/en/latest/specifications/core-metadata/"""
    fields, _, _ = metadata.partition("\n\n")
    return f"{fields}\n"


def compile_all(folder: Path) -> None:
    """Compile all Python code below `folder`, to the same bytes every time; each compiled file takes its source's place.

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
        "-o",
        "2",
        "-b",
        str(folder),
    ]
    result = subprocess.run(
        [sys.executable, *arguments], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise PruningError(f"cannot compile:\n{result.stdout}{result.stderr}")
    for source in folder.rglob("*.py"):
        source.unlink()
