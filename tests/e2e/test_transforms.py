"""A dataset goes through a model without an endpoint, on the embedded cloud, and nothing of it is left but answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimatrix.client import Client, ConflictError, Model, NotFoundError, UploadFile
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json
from tests.e2e.listener import Listener

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TENANT = "transforms"
TRAINS = """
import os, joblib
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 3.0, 4.0])
joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
"""
WAITS = "import time\ndef model_fn(d):\n    return 0\ndef predict_fn(data, model):\n    time.sleep(600)\n"


@pytest.fixture(scope="module")
def dora(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def model(dora: Client, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """1 + 2 a + 3 b."""
    job = scripts.run(dora, tmp_path_factory.mktemp("linear"), TRAINS, name="linear")
    assert job.model_id is not None, job.failure_reason
    return dora.models.get(job.model_id)


def left_in_sagemaker(cloud: Cloud, transform_id: str) -> list[str]:
    models = cloud.boto("sagemaker").list_models(NameContains=transform_id)["Models"]
    return [each["ModelName"] for each in models]


def test_a_folder_of_rows_comes_back_as_a_folder_of_answers(
    cloud: Cloud, dora: Client, model: Model, tmp_path: Path
) -> None:
    rows = tmp_path / "rows"
    (rows / "more").mkdir(parents=True)
    (rows / "a.csv").write_text("0,0\n1,1\n2,0\n")
    (rows / "more" / "b.csv").write_text("0,2\n")
    token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)
    here = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token}
    answers = tmp_path / "answers"
    words = ("transforms", "start", model.reference, str(rows), "--download", str(answers), "--json")
    done = aimatrix(*words, environment=here)
    assert done.returncode == 0, done.stdout + done.stderr
    document = last_json(done.stdout)
    assert (document["status"], document["model"]) == ("completed", "linear:1")
    assert document["cost_usd"] > 0
    found = {path.relative_to(answers).as_posix(): path.read_text() for path in answers.rglob("*.out")}
    numbers = {name: [float(line) for line in text.split()] for name, text in found.items()}
    assert numbers == {
        "a.csv.out": pytest.approx([1, 6, 5]),
        "more/b.csv.out": pytest.approx([7]),
    }
    assert left_in_sagemaker(cloud, document["id"]) == []
    assert dora.models.get(model.id).status == "ready"


def test_records_that_the_model_refuses_fail_it_with_what_there_is_in_the_log(
    dora: Client, model: Model, tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_text("1,0\n")
    (tmp_path / "bad.csv").write_text("no,numbers\n")
    uris = dora.upload([UploadFile(tmp_path / name, name) for name in ("good.csv", "bad.csv")])
    source = uris["good.csv"].removesuffix("good.csv")
    failed = dora.transforms.wait(dora.transforms.start(model.id, source).id, timeout=120)
    assert failed.status == "failed"
    assert "See job logs" in (failed.failure_reason or "")
    assert [each.name for each in dora.transforms.outputs(failed.id)] == ["good.csv.out"]


def test_one_that_is_cancelled_stops_and_stores_nothing_and_holds_its_model_no_longer(
    cloud: Cloud, dora: Client, tmp_path: Path
) -> None:
    job = scripts.run(dora, tmp_path, TRAINS, name="slow", files={"inference.py": WAITS})
    assert job.model_id is not None, job.failure_reason
    (tmp_path / "rows.csv").write_text("1,0\n")
    source = dora.upload([UploadFile(tmp_path / "rows.csv", "rows.csv")])["rows.csv"]
    transform = dora.transforms.start(job.model_id, source, key="once")
    assert dora.transforms.start(job.model_id, source, key="once").id == transform.id
    with pytest.raises(ConflictError):
        dora.models.deprecate(job.model_id)
    name = f"aimatrix-{transform.id}"
    scripts.until(lambda: _status(cloud, name) == "InProgress")
    dora.transforms.cancel(transform.id)
    ended = dora.transforms.wait(transform.id, timeout=280)
    assert ended.status == "cancelled"
    assert _status(cloud, name) == "Stopped"
    assert list(dora.transforms.outputs(transform.id)) == []
    assert left_in_sagemaker(cloud, transform.id) == []
    assert dora.models.deprecate(job.model_id).status == "deprecated"


def test_one_whose_execution_is_aborted_ends_all_the_same(
    cloud: Cloud, dora: Client, model: Model, tmp_path: Path
) -> None:
    job = scripts.run(dora, tmp_path, TRAINS, name="stuck", files={"inference.py": WAITS})
    assert job.model_id is not None, job.failure_reason
    (tmp_path / "rows.csv").write_text("1,0\n")
    source = dora.upload([UploadFile(tmp_path / "rows.csv", "rows.csv")])["rows.csv"]
    transform = dora.transforms.start(job.model_id, source)
    scripts.until(lambda: _status(cloud, f"aimatrix-{transform.id}") == "InProgress")
    stepfunctions = cloud.boto("stepfunctions")
    machines = stepfunctions.list_state_machines()["stateMachines"]
    (machine,) = (each["stateMachineArn"] for each in machines if each["name"].endswith("transform-data"))
    execution = f"{machine.replace(':stateMachine:', ':execution:')}:{transform.id}"
    stepfunctions.stop_execution(executionArn=execution, error="Operator", cause="tidying")
    ended = dora.transforms.wait(transform.id, timeout=280)
    assert (ended.status, "tidying" in (ended.failure_reason or "")) == ("failed", True), json.dumps(
        dict(ended.document)
    )
    assert _status(cloud, f"aimatrix-{transform.id}") == "Stopped"


def test_another_tenants_is_not_there_and_ones_own_is_told(
    cloud: Cloud, dora: Client, model: Model, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("1,0\n")
    source = dora.upload([UploadFile(tmp_path / "rows.csv", "rows.csv")])["rows.csv"]
    listener = Listener(cloud, TENANT)
    transform = dora.transforms.start(model.id, source)
    with cloud.client("eve", "ADMIN", tenant="elsewhere") as eve:
        for ask in (eve.transforms.get, eve.transforms.cancel):
            with pytest.raises(NotFoundError):
                ask(transform.id)
        assert list(eve.transforms.list()) == []
    done = dora.transforms.wait(transform.id, timeout=120)
    assert done.status == "completed"
    told = listener.until("transform.status-changed", transformId=transform.id, status="completed")["detail"]
    assert (told["modelName"], told["costUsd"]) == ("linear", done.cost_usd)


def _status(cloud: Cloud, name: str) -> str | None:
    """As SageMaker has it; None where there is no such job."""
    found = cloud.boto("sagemaker").list_transform_jobs(NameContains=name)["TransformJobSummaries"]
    return str(found[0]["TransformJobStatus"]) if found else None
