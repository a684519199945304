"""Two versions behind one endpoint answer by weight, by key, by name; or one after the other, as an environment allows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from aimatrix.client import Client, Deployment, DeploymentConfig, ForbiddenError, InvalidRequestError, Model
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json

pytestmark = pytest.mark.e2e

TRAINS = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
ANSWERS = "def model_fn(d):\n    return {number}\ndef predict_fn(data, model):\n    return [model for _ in data]\n"
TENANT = "variants"


@pytest.fixture(scope="module")
def dora(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def versions(dora: Client, tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Two of one model, that answer 1 and 2."""
    found = []
    for number in (1, 2):
        folder = tmp_path_factory.mktemp("variant")
        job = scripts.run(dora, folder, TRAINS, name="coin", files={"inference.py": ANSWERS.format(number=number)})
        assert job.model_id is not None, job.failure_reason
        found.append(dora.models.get(job.model_id))
    return found


@pytest.fixture(scope="module")
def shared(dora: Client, versions: list[Model]) -> Iterator[Deployment]:
    one, other = versions
    config = DeploymentConfig("staging", replicas=1, variants={one.id: 75, other.id: 25})
    active = dora.deployments.wait(dora.models.deploy(one.id, config).id, timeout=180)
    assert active.is_active(), active.failure_reason
    yield active
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)


def answers(client: Client, deployment: Deployment, count: int) -> Counter[int]:
    """Who answers keys, by the number that each version gives."""
    found = (client.deployments.predict(deployment.id, {"inputs": [[0]]}, key=f"u{n}") for n in range(count))
    return Counter(answer["predictions"][0] for answer in found)


class TestVariants:
    def test_both_serve_by_their_weights_and_keys_stay_where_they_are(
        self, dora: Client, shared: Deployment, versions: list[Model]
    ) -> None:
        assert [each.percentage for each in shared.variants] == [75, 25]
        assert [dora.models.get(model.id).status for model in versions] == ["deployed", "deployed"]
        first = answers(dora, shared, 40)
        assert set(first) == {1, 2}
        assert answers(dora, shared, 40) == first

    def test_weights_are_changed_in_place_and_read_back(self, dora: Client, cloud: Cloud, shared: Deployment) -> None:
        before = cloud.boto("sagemaker").describe_endpoint(EndpointName=shared.endpoint)
        one, other = shared.variants
        dora.deployments.change_weights(shared.id, {one.model_id: 0, other.model_id: 1})
        weighed = dora.deployments.wait(shared.id, timeout=120)
        assert (weighed.is_active(), [each.weight for each in weighed.variants]) == (True, [0, 1])
        after = cloud.boto("sagemaker").describe_endpoint(EndpointName=shared.endpoint)
        assert {each["VariantName"]: each["CurrentWeight"] for each in after["ProductionVariants"]} == {
            "v1": 0,
            "v2": 1,
        }
        assert after["EndpointConfigName"] == before["EndpointConfigName"]
        assert answers(dora, weighed, 10) == {2: 10}

    def test_a_variant_by_name_takes_a_permission(self, cloud: Cloud, dora: Client, shared: Deployment) -> None:
        body = {"inputs": [[0]]}
        assert dora.deployments.predict(shared.id, body, variant="v1")["predictions"] == [1]
        with pytest.raises(InvalidRequestError, match="X-Variant"):
            dora.deployments.predict(shared.id, body, variant="v7")
        with cloud.client("uma", "USER", tenant=TENANT) as uma, pytest.raises(ForbiddenError):
            uma.deployments.predict(shared.id, body, variant="v1")

    def test_an_endpoint_is_asked_by_model_and_environment(self, cloud: Cloud, shared: Deployment) -> None:
        token = cloud.token("uma", "USER", tenant=TENANT)
        headers = {"Authorization": f"Bearer {token}", "X-Assignment-Key": "somebody"}
        url = f"{cloud.api}/endpoints/{shared.name}/staging/invocations"
        answer = httpx.post(url, json={"inputs": [[0]]}, headers=headers, timeout=30)
        assert (answer.status_code, answer.headers["x-variant"]) == (200, "v2")
        missing = httpx.post(url.replace("staging", "production"), json={"inputs": [[0]]}, headers=headers, timeout=30)
        assert missing.status_code == 404

    def test_requests_are_exposures_whose_outcomes_are_joined_by_key_or_request(
        self, cloud: Cloud, dora: Client, shared: Deployment
    ) -> None:
        plan = {
            "name": "coin",
            "variants": ["v1", "v2"],
            "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
            "max_samples_per_variant": 1000,
        }
        experiment = dora.experiments.create(plan).id
        body = {"inputs": [[0]]}
        for key in ("ada", "bob"):
            dora.deployments.predict(shared.id, body, key=key, experiment=experiment)
        token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)
        headers = {"Authorization": f"Bearer {token}", "X-Experiment": experiment}
        url = f"{cloud.api}/deployments/{shared.id}/invocations"
        answer = httpx.post(url, json=body, headers=headers, timeout=30)
        assert answer.headers["x-exposure"] == "recorded"
        joined, _ = dora.experiments.report(
            experiment,
            [
                {"key": "ada", "metric": "conversion", "value": 1},
                {"request_id": answer.headers["x-request-id"], "metric": "conversion", "value": 0},
                {"key": "nobody", "metric": "conversion", "value": 1},
            ],
        )
        assert (joined.counted, list(joined.unmatched)) == (2, [2])
        unknown = httpx.post(url, json=body, headers={**headers, "X-Experiment": "none"}, timeout=30)
        assert (unknown.status_code, unknown.headers["x-exposure"]) == (200, "not-found")

    def test_requests_are_captured_without_the_fields_that_nobody_is_to_see(
        self, dora: Client, shared: Deployment
    ) -> None:
        dora.deployments.capture(shared.id, 100, ["email"])
        rows = {"dataframe_records": [{"x": 0, "email": "ada@example.com"}]}
        answer = dora.deployments.predict(shared.id, rows, variant="v1")
        dora.deployments.end_capture(shared.id)
        dora.deployments.predict(shared.id, rows, variant="v1")
        (captured,) = dora.deployments.captures(shared.id, "v1", f"{datetime.now(UTC):%Y-%m-%d}")
        line = httpx.get(captured["url"], timeout=30).json()
        given, said = (line["captureData"][f"endpoint{side}"]["data"] for side in ("Input", "Output"))
        assert json.loads(given) == {"dataframe_records": [{"x": 0, "email": "[redacted]"}]}
        assert json.loads(said) == answer

    def test_the_command_line_weighs_by_version(self, cloud: Cloud, shared: Deployment) -> None:
        token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)
        here = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token}
        done = aimatrix("deployments", "weights", shared.id, "1=50", "2=50", "--json", environment=here)
        assert [each["percentage"] for each in last_json(done.stdout)["variants"]] == [50, 50]


class TestAnEnvironment:
    def test_that_asks_for_approval_lets_a_version_in_when_it_has_it_and_an_earlier_one_back_at_any_time(
        self, cloud: Cloud, dora: Client, versions: list[Model], tmp_path: Path
    ) -> None:
        one, other = versions
        boss = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("boss", "ADMIN", tenant=TENANT)}
        deployer = {**boss, "AIMATRIX_TOKEN": cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)}
        place = f"{one.name}@production"
        config = DeploymentConfig("production", replicas=1)
        active = dora.deployments.wait(dora.models.deploy(one.id, config).id, timeout=180)
        assert active.is_active(), active.failure_reason
        policy = tmp_path / "production.json"
        policy.write_text(json.dumps({"approvals": {"approvers": ["boss", "dora"]}, "deployers": ["dora"]}))
        said = aimatrix("environments", "set", "production", "--policy", str(policy), "--json", environment=boss)
        assert said.returncode == 0, said.stderr
        refused = aimatrix("deploy", other.id, "-e", "production", "--json", environment=deployer)
        assert refused.returncode == 5
        assert "0 of the 1 approvals that it needs; ask boss" in last_json(refused.stdout)["error"]["message"]
        approved = aimatrix("models", "approve", other.id, "-e", "production", "--json", environment=boss)
        assert last_json(approved.stdout)["decision"] == "approved"
        deployed = aimatrix("deploy", other.id, "-e", "production", "--json", environment=deployer)
        assert deployed.returncode == 0, deployed.stdout
        assert answers(dora, active, 1) == {2: 1}
        away = {"change_windows": [{"days": [f"{datetime.now(UTC) + timedelta(days=2):%A}".lower()]}]}
        policy.write_text(json.dumps(away))
        aimatrix("environments", "set", "production", "--policy", str(policy), environment=boss)
        late = aimatrix("deployments", "delete", place, "--json", environment=deployer)
        assert "The next one opens at" in last_json(late.stdout)["error"]["message"]
        back = aimatrix("deployments", "rollback", place, "--json", environment=deployer)
        assert back.returncode == 0, back.stdout
        assert answers(dora, active, 1) == {1: 1}
        listed = last_json(aimatrix("deployments", "revisions", place, "--json", environment=deployer).stdout)
        assert [(each["revision"], each["model_version"]) for each in listed["revisions"]] == [
            (3, one.version),
            (2, other.version),
            (1, one.version),
        ]
        aimatrix("environments", "clear", "production", environment=boss)
        assert aimatrix("deployments", "delete", place, environment=deployer).returncode == 0
