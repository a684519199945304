"""All examples, from the command line as README shows it: real data in; the endpoint answers what the model file says."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import Client
from tests.e2e.conftest import ROOT, Cloud, aimatrix, last_json
from tests.e2e.model_file import Rows, predictions

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks]


@dataclass(frozen=True)
class Example:
    """One folder of examples/.

    Attributes:
        target: the column that the model learns, not part of the question; empty: the first one, in a file without a header.
        model_file: the kind of its model file: see `model_file.KINDS`.
    """

    folder: str
    framework: str
    target: str
    model_file: str
    options: tuple[str, ...] = field(default=())


METRICS = tuple(f"--metric={name}={name}=([0-9.]+)" for name in ("accuracy", "precision", "recall", "f1_score"))

EXAMPLES = [
    Example("sklearn", "sklearn", "cultivar", "sklearn", ("--param", "n_estimators=20")),
    Example("xgboost", "xgboost", "benign", "xgboost", ("--param", "max_depth=3", "--param", "num_round=20", *METRICS)),
    Example("pytorch", "pytorch", "digit", "pytorch", ("--param", "epochs=2")),
    Example("tensorflow", "tensorflow", "digit", "tensorflow", ("--param", "epochs=2")),
    Example(
        "custom", "custom", "progression", "custom", ("--metric=rmse=^rmse=([0-9.]+)", "--metric=r2=^r2=([0-9.]+)")
    ),
    Example("script_mode", "sklearn", "", "sklearn-arrays", METRICS),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.folder)
def test_an_example_trains_and_its_endpoint_answers_what_its_model_file_says(
    cloud: Cloud, alice: Client, tmp_path: Path, example: Example
) -> None:
    source, data = ROOT / "examples" / example.folder, tmp_path / "data.csv"
    subprocess.run([sys.executable, str(source / "make_data.py"), str(data)], check=True, capture_output=True)
    connection = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("alice", "USER", "MODEL_DEPLOYER")}
    done = aimatrix(
        "submit", str(source / "train.py"), "--data", str(data), "--framework", example.framework,
        "--name", f"example-{example.folder}", *example.options, "--follow", "--json", environment=connection,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    job = alice.jobs.get(last_json(done.stdout)["job_id"])
    assert job.status == "completed", job.failure_reason
    assert job.metrics, "the script's metrics did not arrive"
    assert job.model_id is not None
    model = alice.models.get(job.model_id)
    assert model.servable, model.servable_reason
    assert model.metrics

    deployed = aimatrix(
        "deploy", model.id, "--environment", "development", "--replicas", "1", "--json", environment=connection
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    deployment = next(each for each in alice.deployments.list() if each.model_id == model.id)
    rows, columns = _questions(data, example.target)
    answer = alice.deployments.predict(deployment.id, {"inputs": rows})["predictions"]
    unpacked = _model_files(cloud, model.document, tmp_path)
    expected = predictions(example.model_file, unpacked, rows, columns)
    assert _flat(answer) == pytest.approx(_flat(expected), rel=1e-4, abs=1e-5)
    alice.deployments.delete(deployment.id)
    alice.deployments.wait_down(deployment.id, timeout=60)


def _questions(data: Path, target: str) -> tuple[Rows, list[str]]:
    """The first rows of a dataset without the target: its column by name, or the first one of a file without a header."""
    with data.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    header = lines[0] if target else [str(number) for number in range(len(lines[0]))]
    body = lines[1:4] if target else lines[:3]
    kept = [index for index, name in enumerate(header) if index != (header.index(target) if target else 0)]
    return [[float(row[index]) for index in kept] for row in body], [header[index] for index in kept]


def _model_files(cloud: Cloud, model: Any, folder: Path) -> Path:
    path = next(each["path"] for each in model["artifacts"] if each["type"] == "model")
    bucket, _, key = path.removeprefix("s3://").partition("/")
    archive = folder / "model.tar.gz"
    archive.write_bytes(cloud.boto("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    unpacked = folder / "model"
    with tarfile.open(archive) as packed:
        packed.extractall(unpacked, filter="data")
    return unpacked


def _flat(values: Any) -> list[float]:
    if isinstance(values, list):
        return [each for value in values for each in _flat(value)]
    return [float(json.loads(json.dumps(values)))]
