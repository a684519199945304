"""A bandit splits the requests of a real endpoint: two processes, counts in which one is better, and a decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aimatrix.client import Client, Deployment, DeploymentConfig, InvalidRequestError
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TRAINS = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
ANSWERS = "def model_fn(d):\n    return {number}\ndef predict_fn(data, model):\n    return [model for _ in data]\n"
TENANT = "bandits"
FLOOR = 0.1


@pytest.fixture(scope="module")
def dora(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def shared(dora: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two versions that answer 1 and 2, with half of the requests each."""
    models = []
    for number in (1, 2):
        folder = tmp_path_factory.mktemp("version")
        job = scripts.run(dora, folder, TRAINS, name="coin", files={"inference.py": ANSWERS.format(number=number)})
        assert job.model_id is not None, job.failure_reason
        models.append(job.model_id)
    config = DeploymentConfig("staging", replicas=1, variants=dict.fromkeys(models, 1))
    active = dora.deployments.wait(dora.models.deploy(models[0], config).id, timeout=180)
    assert active.is_active(), active.failure_reason
    yield active
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)


def plan(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": "coin",
        "variants": ["v1", "v2"],
        "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
        "max_samples_per_variant": 5000,
        "allocation": {"type": "thompson", "floor": FLOOR, "deployment_id": deployment.id},
    }


def count(dora: Client, experiment: str, n: int, one: int, two: int) -> str:
    """One look; what it decided."""
    each = (("v1", one), ("v2", two))
    batch = [{"variant": name, "metric": "conversion", "n": n, "successes": events} for name, events in each]
    return dora.experiments.count(experiment, batch).decision


def traffic(dora: Client, experiment: str) -> tuple[str, int]:
    """How it stands with the endpoint, and by which look."""
    found = dora.experiments.get(experiment).traffic
    assert found is not None
    return found.status, found.look


def shares(dora: Client, deployment: Deployment) -> dict[str, float]:
    """Of the requests, in percent, as SageMaker has told them."""
    return {each.name: each.percentage for each in dora.deployments.get(deployment.id).variants}


def answers(dora: Client, deployment: Deployment) -> list[int]:
    """Which version answers each key."""
    body = {"inputs": [[0]]}
    return [dora.deployments.predict(deployment.id, body, key=f"u{n}")["predictions"][0] for n in range(40)]


class TestABandit:
    def test_moves_requests_to_what_is_better_and_ends_with_the_winner_alone(
        self, dora: Client, cloud: Cloud, shared: Deployment
    ) -> None:
        made = dora.experiments.create(plan(shared)).id
        before = answers(dora, shared)
        assert set(before) == {1, 2}
        assert count(dora, made, 300, 30, 38) == "continue"
        scripts.until(lambda: traffic(dora, made) == ("following", 1))
        first = shares(dora, shared)
        assert 50 < first["v2"] <= 100 * (1 - FLOOR)
        assert count(dora, made, 300, 30, 40) == "continue"
        scripts.until(lambda: traffic(dora, made) == ("following", 2))
        second = shares(dora, shared)
        assert first["v1"] > second["v1"] >= 100 * FLOOR
        after = answers(dora, shared)
        assert after.count(2) > before.count(2)
        assert all(now >= then for then, now in zip(before, after, strict=True)), "a key went back to what is worse"
        assert count(dora, made, 2000, 200, 400) == "promote"
        scripts.until(lambda: traffic(dora, made)[0] == "ended")
        assert shares(dora, shared) == {"v1": 0, "v2": 100}
        assert set(answers(dora, shared)) == {2}
        endpoint = cloud.boto("sagemaker").describe_endpoint(EndpointName=shared.endpoint)
        assert {each["VariantName"]: each["CurrentWeight"] for each in endpoint["ProductionVariants"]} == {
            "v1": 0,
            "v2": 1,
        }

    def test_leaves_an_endpoint_alone_that_somebody_else_changes_and_says_so(
        self, dora: Client, cloud: Cloud, shared: Deployment
    ) -> None:
        even = {each.model_id: 1 for each in shared.variants}
        dora.deployments.change_weights(shared.id, even)
        dora.deployments.wait(shared.id, timeout=120)
        made = dora.experiments.create(plan(shared)).id
        with pytest.raises(InvalidRequestError, match="is split by experiment"):
            dora.experiments.create(plan(shared))
        dora.deployments.change_weights(shared.id, dict(zip(even, (3, 1), strict=True)))
        dora.deployments.wait(shared.id, timeout=120)
        scripts.until(lambda: traffic(dora, made) == ("given-up", 0))
        assert count(dora, made, 300, 30, 42) == "continue"
        token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)
        here = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token}
        shown = last_json(aimatrix("experiments", "get", made, "--json", environment=here).stdout)
        assert "dora has asked the deployment for revision" in shown["traffic"]["reason"]
        assert "given-up" in aimatrix("experiments", "get", made, environment=here).stdout
        assert shares(dora, shared) == {"v1": 75, "v2": 25}
