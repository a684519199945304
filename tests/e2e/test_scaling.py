"""An endpoint's processes follow its load: more while requests wait, fewer when they have gone, none if it is serverless."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from aimatrix.client import Client, DeploymentConfig
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix

pytestmark = pytest.mark.e2e

TRAINS = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
# As long as a model takes that is asked for more than it can do.
SLOW = """
import time
def model_fn(d):
    return 1
def predict_fn(data, model):
    time.sleep(0.3)
    return [1 for _ in data]
"""
POLICY = {
    "min_replicas": 1,
    "max_replicas": 2,
    "target_queue_length": 1,
    "scale_up_cooldown": "PT1S",
    "scale_down_cooldown": "PT1S",
}
CALLERS = 6


@pytest.fixture
def dora(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant="scaling") as client:
        yield client


@contextmanager
def load(client: Client, deployment_id: str) -> Iterator[None]:
    """Callers that ask one after the other, until told to stop; a request that fails fails the test."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            assert client.deployments.predict(deployment_id, {"inputs": [[0]]})["predictions"] == [1]

    with ThreadPoolExecutor(CALLERS) as pool:
        asking = [pool.submit(ask) for _ in range(CALLERS)]
        try:
            yield
        finally:
            done.set()
        for each in asking:
            each.result()


def serving(cloud: Cloud, endpoint: str) -> int:
    """Serving processes of an endpoint, as the system sees them."""
    found = 0
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        found += str(cloud.state) in words and endpoint in words and "--model" in words and "guardian.py" not in words
    return found


def test_instances_are_added_under_load_and_removed_after_it(cloud: Cloud, dora: Client, tmp_path: Path) -> None:
    job = scripts.run(dora, tmp_path, TRAINS, name="slow", files={"inference.py": SLOW})
    assert job.model_id is not None, job.failure_reason
    config = DeploymentConfig("staging", replicas=1, scaling_policy=POLICY)
    active = dora.deployments.wait(dora.models.deploy(job.model_id, config).id, timeout=180)
    assert active.is_active(), active.failure_reason
    assert active.endpoint is not None
    endpoint: str = active.endpoint

    def report() -> dict[str, Any]:
        return dora.deployments.scaling(active.id)

    assert [each["instances"] for each in report()["variants"]] == [1]
    with load(dora, active.id):
        scripts.until(lambda: serving(cloud, endpoint) == 2)
    scripts.until(lambda: serving(cloud, endpoint) == 1)
    scripts.until(lambda: report()["activities"][0]["status"] == "Successful")
    removed, added = report()["activities"][:2]
    assert "to 2" in added["description"]
    assert "queue" in added["cause"]
    assert "to 1" in removed["description"]
    # Nothing of it is a change behind the deployment's back.
    assert dora.deployments.get(active.id).document["revision"] == 1
    token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant="scaling")
    here = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token}
    said = aimatrix("deployments", "scaling", active.id, environment=here)
    assert "1 to 2" in said.stdout
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)
    client = cloud.boto("application-autoscaling")
    left = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert [each for each in left if endpoint in each["ResourceId"]] == []


def test_a_serverless_endpoint_has_no_process_while_nobody_asks(cloud: Cloud, dora: Client, tmp_path: Path) -> None:
    job = scripts.run(dora, tmp_path, TRAINS, name="seldom", files={"inference.py": SLOW})
    assert job.model_id is not None, job.failure_reason
    here = {
        "AIMATRIX_API": cloud.api,
        "AIMATRIX_TOKEN": cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant="scaling"),
    }
    # Development scales to zero without being asked.
    done = aimatrix("deploy", job.model_id, "--json", environment=here)
    assert done.returncode == 0, done.stdout + done.stderr
    active = dora.deployments.find("seldom@development")
    assert active.document["instance_type"] == "serverless"
    assert active.endpoint is not None
    endpoint: str = active.endpoint
    scripts.until(lambda: serving(cloud, endpoint) == 0)
    assert dora.deployments.predict(active.id, {"inputs": [[0]]})["predictions"] == [1]
    assert serving(cloud, endpoint) == 1
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)
    assert serving(cloud, endpoint) == 0
