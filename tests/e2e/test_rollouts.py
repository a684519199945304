"""A new version takes over from an old one in steps, on the embedded cloud: real processes, real requests, a bad version.

The time of the cloud is real, so the steps are of seconds; what is waited for is a status, never a moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from aimatrix.client import Client, Deployment, DeploymentConfig, Model
from tests.e2e import scripts
from tests.e2e.callers import Callers
from tests.e2e.conftest import Cloud, aimatrix, last_json
from tests.e2e.listener import Listener

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TRAINS = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
ANSWERS = """
def model_fn(d):
    return {number}
def predict_fn(data, model):
    if {fails} and data[0][0] % 2:
        raise RuntimeError("odd")
    return [model for _ in data]
"""
TENANT = "rollouts"
SHADOW = {"shadow": True, "weight": 100.0, "duration": 2, "minimum_samples": 10}
STEPS = [
    {"weight": 20.0, "duration": 2, "minimum_samples": 10},
    {"weight": 60.0, "duration": 2, "minimum_samples": 20},
    {"weight": 100.0, "duration": 2, "minimum_samples": 10},
]


@pytest.fixture(scope="module")
def dora(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def versions(dora: Client, tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Three of one model, that answer 1, 2 and 3; the last one fails at every odd number."""
    found = []
    for number in (1, 2, 3):
        code = ANSWERS.format(number=number, fails=number == 3)
        job = scripts.run(dora, tmp_path_factory.mktemp("version"), TRAINS, name="coin", files={"inference.py": code})
        assert job.model_id is not None, job.failure_reason
        found.append(dora.models.get(job.model_id))
    return found


@pytest.fixture
def deployed(dora: Client, versions: list[Model]) -> Iterator[Deployment]:
    active = dora.deployments.wait(
        dora.models.deploy(versions[0].id, DeploymentConfig("staging", replicas=1)).id, timeout=180
    )
    assert active.is_active(), active.failure_reason
    yield active
    dora.deployments.wait(active.id, timeout=120)
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)


def calling(cloud: Cloud, deployment: Deployment) -> Callers:
    return Callers(cloud, deployment, cloud.token("dora", "USER", tenant=TENANT))


def start(cloud: Cloud, deployment: Deployment, model: Model, **plan: Any) -> str:
    body = {"to": {"model_id": model.id}, "steps": STEPS, "evaluation_seconds": 1, "patience": "PT2M", **plan}
    answer = httpx.post(
        f"{cloud.api}/deployments/{deployment.id}/rollouts", json=body, headers=_headers(cloud), timeout=30
    )
    assert answer.status_code == 201, answer.text
    return f"{cloud.api.removesuffix('/v1')}{answer.headers['location'].removeprefix('/api')}"


def ended(cloud: Cloud, url: str, seconds: float = 240) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = httpx.get(url, headers=_headers(cloud), timeout=30).json()
        if found["status"] not in {"running", "paused", "rolling-back"}:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.5)


def _headers(cloud: Cloud) -> dict[str, str]:
    return {"Authorization": f"Bearer {cloud.token('dora', 'USER', 'MODEL_DEPLOYER', tenant=TENANT)}"}


class TestARollout:
    def test_of_a_good_version_goes_through_its_steps_though_its_machine_is_aborted_and_no_request_fails(
        self, cloud: Cloud, dora: Client, deployed: Deployment, versions: list[Model]
    ) -> None:
        with calling(cloud, deployed) as callers:
            url = start(cloud, deployed, versions[1], steps=[SHADOW, *STEPS])
            (execution,) = _executions(cloud)
            cloud.boto("stepfunctions").stop_execution(executionArn=execution, error="Operator", cause="tidying")
            done = ended(cloud, url)
        assert (done["status"], [step["status"] for step in done["steps"]]) == ("succeeded", ["passed"] * 4), done
        assert {code for code, _ in callers.answers} == {200}
        assert {variant for _, variant in callers.answers} == {"v1", "v2"}
        now = dora.deployments.get(deployed.id)
        assert [variant.model_id for variant in now.variants] == [versions[1].id]

    def test_of_a_bad_version_is_undone_and_says_why_and_the_good_one_fails_nobody(
        self, cloud: Cloud, dora: Client, deployed: Deployment, versions: list[Model]
    ) -> None:
        with calling(cloud, deployed) as callers:
            done = ended(cloud, start(cloud, deployed, versions[2]))
        assert done["status"] == "rolled-back", done
        assert "error rate <= 0.05 was breached" in done["reason"]
        assert done["breached_at"] < done["restored_at"]
        failed = {variant for code, variant in callers.answers if code != 200}
        # What fails is told by the model, not by a variant of ours: its answers have no name on them.
        assert failed <= {None}
        assert callers.answers[200, "v1"] > 0
        now = dora.deployments.get(deployed.id)
        assert [(each.model_id, each.percentage) for each in now.variants] == [(versions[0].id, 100)]
        found = cloud.boto("sagemaker").describe_endpoint(EndpointName=deployed.endpoint)
        assert {each["VariantName"]: each["CurrentWeight"] for each in found["ProductionVariants"]} == {"v1": 1}

    def test_that_begins_with_a_shadow_fails_nobody_however_bad_the_version(
        self, cloud: Cloud, dora: Client, deployed: Deployment, versions: list[Model]
    ) -> None:
        listener = Listener(cloud, TENANT)
        with calling(cloud, deployed) as callers:
            done = ended(cloud, start(cloud, deployed, versions[2], steps=[SHADOW, *STEPS]))
        assert done["status"] == "rolled-back", done
        assert "At 100 % as shadow: error rate <= 0.05 was breached" in done["reason"]
        assert set(callers.answers) == {(200, "v1")}
        told = listener.until("rollout.status-changed", rolloutId=done["id"], status="rolled-back")["detail"]
        assert (told["deploymentId"], told["reason"], told["step"]) == (deployed.id, done["reason"], 1)
        assert dora.models.get(versions[2].id).status == "ready"
        found = cloud.boto("sagemaker").describe_endpoint(EndpointName=deployed.endpoint)
        assert "ShadowProductionVariants" not in found

    def test_whose_version_answers_otherwise_is_undone_by_its_drift_gate(
        self, cloud: Cloud, dora: Client, deployed: Deployment, versions: list[Model]
    ) -> None:
        half = {"weight": 50.0, "duration": 2, "minimum_samples": 0}
        plan = {"steps": [half, STEPS[-1]], "gates": [{"type": "drift", "maximum": 0.2}]}
        dora.deployments.capture(deployed.id, percentage=100.0)
        with calling(cloud, deployed) as callers:
            done = ended(cloud, start(cloud, deployed, versions[1], **plan))
        assert done["status"] == "rolled-back", done
        assert "drift <= 0.2 was breached. 0.0% of the new version's answers are at most 1, 100.0%" in done["reason"]
        assert {code for code, _ in callers.answers} == {200}
        now = dora.deployments.get(deployed.id)
        assert [variant.model_id for variant in now.variants] == [versions[0].id]

    def test_is_paused_and_aborted_by_hand(self, cloud: Cloud, deployed: Deployment, versions: list[Model]) -> None:
        token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)
        here = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token}
        patient = [{"weight": 20.0, "duration": 600, "minimum_samples": 10}]
        url = start(cloud, deployed, versions[1], steps=patient)
        paused = aimatrix("rollouts", "pause", deployed.id, "--json", environment=here)
        assert last_json(paused.stdout)["status"] == "paused"
        aimatrix("rollouts", "abort", deployed.id, "--json", environment=here)
        done = ended(cloud, url)
        assert (done["status"], done["reason"]) == ("aborted", "Aborted by dora.")


def _executions(cloud: Cloud) -> list[str]:
    """Those of `shift_traffic` that run."""
    stepfunctions = cloud.boto("stepfunctions")
    machines = stepfunctions.list_state_machines()["stateMachines"]
    (machine,) = (each["stateMachineArn"] for each in machines if each["name"].endswith("shift-traffic"))
    found = stepfunctions.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
    return [each["executionArn"] for each in found]
