"""Plain uploads to S3 train, register and deploy a model, without any other call, on the embedded cloud."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from aimatrix.client.uploads import UploadFile
from tests.e2e.conftest import Cloud
from tests.e2e.listener import Listener

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TENANT = "retraining"
SCRIPT = """
import json, os
rows = sum(sum(1 for _ in open(os.path.join(folder, name))) - 1
           for folder, _, names in os.walk(os.environ["SM_CHANNEL_TRAINING"]) for name in names if name.endswith(".csv"))
print(f"rows={rows};")
with open(os.path.join(os.environ["SM_MODEL_DIR"], "rows.json"), "w") as file:
    json.dump(rows, file)
"""
INFERENCE = """
import json, os
def model_fn(d):
    return json.load(open(os.path.join(d, "rows.json")))
def predict_fn(data, model):
    return [model for _ in data]
"""
ROWS = "age,churned\n" + "30,0\n41,1\n" * 20


class Api:
    """The service over HTTP as one user, with boto3 for the uploads."""

    def __init__(self, cloud: Cloud) -> None:
        token = cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)
        self.url, self.headers = cloud.api, {"Authorization": f"Bearer {token}"}
        self.s3 = cloud.boto("s3")

    def call(self, method: str, path: str, status: int, body: Any = None) -> Any:
        answer = httpx.request(method, f"{self.url}/{path}", json=body, headers=self.headers, timeout=30)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def put(self, uri: str, body: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.s3.put_object(Bucket=bucket, Key=key, Body=body.encode())

    def run(self, policy: str, number: int, reached: Callable[[dict[str, Any]], bool], seconds: float = 120) -> Any:
        """A run once it is as it should be: what it does shows nowhere else."""
        ends = time.monotonic() + seconds
        while True:
            found = httpx.get(f"{self.url}/retraining-policies/{policy}/runs/{number}", headers=self.headers)
            if found.status_code == 200 and reached(found.json()):
                return found.json()
            assert time.monotonic() < ends, found.text
            time.sleep(0.3)


@pytest.fixture(scope="module")
def api(cloud: Cloud) -> Api:
    return Api(cloud)


@pytest.fixture(scope="module")
def script(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("script")
    for name, text in (("train.py", SCRIPT), ("inference.py", INFERENCE)):
        (folder / name).write_text(text, encoding="utf-8")
    with cloud.client("dora", "USER", tenant=TENANT) as client:
        return str(
            client.upload([UploadFile(folder / name, name) for name in ("train.py", "inference.py")])["train.py"]
        )


def document(script: str, name: str, **changes: Any) -> dict[str, Any]:
    user = script[: script.index("/users/dora/") + len("/users/dora/")]
    return {
        "name": name,
        "source": {"type": "s3", "uri_prefix": f"{user}data/{name}/"},
        "debounce": 2,
        "job": {"name": name, "framework": "custom", "config": {"script_path": script}},
        **changes,
    }


def is_over(run: dict[str, Any]) -> bool:
    return run["status"] in {"succeeded", "failed", "refused", "skipped"}


class TestAnUpload:
    def test_trains_registers_and_deploys_the_next_version_without_any_other_call(
        self, cloud: Cloud, api: Api, script: str
    ) -> None:
        listener = Listener(cloud, TENANT)
        wanted = document(script, "fresh", on_success={"deploy_to": "staging", "replicas": 1})
        policy = api.call("POST", "retraining-policies", 201, wanted)
        prefix = policy["source"]["uri_prefix"]
        api.put(f"{prefix}a b+ü.csv", ROWS)
        first = api.run(policy["id"], 1, lambda run: "deployment_id" in run)
        assert (first["status"], first["objects"], first["data"]["objects"]) == ("succeeded", 1, 1)
        listener.until("deployment.status-changed", deploymentId=first["deployment_id"], status="active")
        assert predict(api, first["deployment_id"]) == 40

        api.put(f"{prefix}day=2/b.csv", ROWS)
        api.put(f"{prefix}day=2/c.csv", ROWS)
        second = api.run(policy["id"], 2, lambda run: "deployment_id" in run)
        assert (second["status"], second["objects"], second["data"]["objects"]) == ("succeeded", 2, 3)
        assert second["data"]["checksum"] != first["data"]["checksum"]
        listener.until("deployment.status-changed", modelId=second["model_id"], status="active")
        assert predict(api, second["deployment_id"]) == 120
        models = [api.call("GET", f"models/{each['model_id']}", 200) for each in (first, second)]
        assert [(each["name"], each["version"]) for each in models] == [("fresh", "1"), ("fresh", "2")]
        api.call("DELETE", f"retraining-policies/{policy['id']}", 204)
        api.call("DELETE", f"deployments/{second['deployment_id']}", 202)

    def test_of_other_columns_is_refused_and_says_so_and_a_person_may_train_all_the_same(
        self, api: Api, script: str
    ) -> None:
        policy = api.call("POST", "retraining-policies", 201, document(script, "strict", schema_check="refuse"))
        prefix = policy["source"]["uri_prefix"]
        api.put(f"{prefix}a.csv", ROWS)
        assert api.run(policy["id"], 1, is_over)["status"] == "succeeded"
        api.put(f"{prefix}b.csv", ROWS.replace("churned", "left"))
        refused = api.run(policy["id"], 2, is_over)
        assert refused["status"] == "refused"
        assert "These columns are missing: churned." in refused["reason"]
        asked = api.call("POST", f"retraining-policies/{policy['id']}/runs", 202)
        by_hand = api.run(policy["id"], int(asked["id"]), is_over)
        assert (by_hand["status"], by_hand["trigger"]) == ("succeeded", "person")
        listed = api.call("GET", f"retraining-policies/{policy['id']}/runs", 200)["runs"]
        assert [run["id"] for run in listed] == ["3", "2", "1"]


def predict(api: Api, deployment: str) -> Any:
    return api.call("POST", f"deployments/{deployment}/invocations", 200, {"inputs": [[1]]})["predictions"][0]


def test_a_client_of_another_tenant_sees_nothing(cloud: Cloud, api: Api, script: str) -> None:
    policy = api.call("POST", "retraining-policies", 201, document(script, "private"))
    token = cloud.token("eve", "ADMIN", tenant="other")
    for path in ("", "/runs", "/runs/1"):
        answer = httpx.get(
            f"{cloud.api}/retraining-policies/{policy['id']}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 404
