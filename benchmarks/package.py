"""The Lambda zip: its size, and how long the API function takes to import."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import files
from pathlib import Path

from benchmarks.figures import Figure

BUILD = Path(__file__).parents[1] / "build"
RUNS = 9
TARGET_MEGABYTES, TARGET_IMPORT_MS = 10, 450
# What AWS Lambda's Python runtime brings along.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")
_IMPORT = (
    "import sys, time; began = time.perf_counter(); import app; sys.stdout.write(repr(time.perf_counter() - began))"
)


def measure() -> list[Figure]:
    subprocess.run([sys.executable, "-m", "infra.build", "--out", str(BUILD)], check=True, stdout=subprocess.DEVNULL)
    archive = BUILD / "deployment.zip"
    with tempfile.TemporaryDirectory() as folder:
        code, runtime = Path(folder) / "code", Path(folder) / "runtime"
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(code)
        _link_runtime(runtime)
        taken = [_import_seconds(code, runtime) for _ in range(RUNS)]
    return [
        Figure("Lambda zip without boto3", archive.stat().st_size / 1e6, "MB", TARGET_MEGABYTES),
        Figure("API function, import, median of 9", statistics.median(taken) * 1000, "ms", TARGET_IMPORT_MS),
    ]


def _link_runtime(runtime: Path) -> None:
    """A folder with what the runtime brings and nothing else, as the embedded cloud gives its functions."""
    runtime.mkdir()
    for name in RUNTIME:
        tops = {path.parts[0] for path in files(name) or () if path.parts[0] not in {"..", "."}}
        for top in tops:
            located = next(path for path in files(name) or () if path.parts[0] == top)
            source = Path(str(located.locate())).parents[len(located.parts) - 1] / top
            if source.exists() and not (runtime / top).exists():
                (runtime / top).symlink_to(source)


def _import_seconds(code: Path, runtime: Path) -> float:
    environment = {"PYTHONPATH": f"{code}:{runtime}", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", _IMPORT], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)
