"""The agent between an unmodified script with the real MLflow client and a real MLflow server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.trainer.harness import Container

SCRIPT = """
import os
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment("flowers")
mlflow.sklearn.autolog(log_datasets=False, log_models=False, log_post_training_metrics=False)
x, y = load_iris(return_X_y=True, as_frame=True)
with mlflow.start_run(run_name="my own name"):
    mlflow.log_param("C", 1.0)
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    model = LogisticRegression(max_iter=500).fit(x, y)
    # Named requirements spare MLflow the processes by which it would find them out.
    signature = mlflow.models.infer_signature(x, y)
    mlflow.sklearn.log_model(model, name="model", signature=signature, pip_requirements=["scikit-learn"])
    with mlflow.start_run(nested=True):
        mlflow.log_metric("inner", 1)
    with open("note.txt", "w") as file:
        file.write("remember")
    mlflow.log_artifact("note.txt")
print("experiment", mlflow.get_experiment(mlflow.last_active_run().info.experiment_id).name)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts"),
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(process, url)
        yield url
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def await_health(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url + "/health", timeout=5):  # noqa: S310 - loopback
                return
        except OSError:  # refused, reset, or too busy to answer in time
            time.sleep(0.1)
    raise AssertionError("the MLflow server did not start")


def call(url: str, name: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
    body = json.dumps(document).encode() if document is not None else None
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/{name}", body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def test_an_unmodified_script_lands_in_the_jobs_run(container: Container, server: str) -> None:
    container.environ["AIMATRIX_MLFLOW_TRACKING_URI"] = server
    container.spec |= {"parameters": {"C": 1, "max_iter": 500}, "arguments": "script_mode"}
    container.script = SCRIPT
    finished = container.run()
    assert finished.code == 0, finished.stderr.decode()
    assert finished.script_lines() == ["experiment iris"]

    run_id = finished.manifest["run"]["run_id"]
    run = call(server, f"runs/get?run_id={run_id}")["run"]
    assert (run["info"]["run_name"], run["info"]["status"]) == ("job-1", "FINISHED")
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert metrics["loss"] == pytest.approx(1 / 3)
    assert metrics["training_accuracy_score"] > 0.9
    assert "inner" not in metrics
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    # The job says C=1 and the script C=1.0: neither is lost, and the script does not fail.
    assert (params["C"], params["script.C"], params["max_iter"]) == ("1", "1.0", "500")
    assert [file["path"] for file in call(server, f"artifacts/list?run_id={run_id}")["files"]].count("note.txt") == 1

    assert [step for name, _, step in finished.points() if name == "loss"] == [0, 1, 2]
    assert finished.manifest["metrics"]["training_accuracy_score"] == metrics["training_accuracy_score"]
    assert finished.manifest["metrics"]["loss"] == pytest.approx(1 / 3)

    model = finished.manifest["model"]
    assert (model["kind"], model["servable"]) == ("mlflow", True)
    assert model["mlflow_model_id"].startswith("m-")
    assert model["signature"]["inputs"]

    experiments = call(server, "experiments/search", {"max_results": 100})["experiments"]
    assert sorted(experiment["name"] for experiment in experiments) == ["Default", "iris"]


def test_calls_without_any_run_of_the_scripts_own_land_there_too(container: Container, server: str) -> None:
    container.environ["AIMATRIX_MLFLOW_TRACKING_URI"] = server
    container.script = "import mlflow\nmlflow.log_metric('direct', 7)\nraise ValueError('late')\n"
    finished = container.run()
    assert finished.code == 1
    run = call(server, f"runs/get?run_id={finished.manifest['run']['run_id']}")["run"]
    assert run["info"]["status"] == "FAILED"
    assert finished.points() == [("direct", 7.0, 0)]
    assert finished.manifest["metrics"] == {"direct": 7.0}
