"""Versions that get no instances, never come up, answer garbage, too late, or die: the one before serves through it all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from aimatrix.client import Client, Deployment, DeploymentConfig, Model, ResourceRequirements
from tests.e2e import scripts
from tests.e2e.callers import Callers
from tests.e2e.conftest import Cloud, EndpointLimit, Faults

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TENANT = "bad-models"
TRAINS = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
# Each is fine where it was trained, and shows only behind an endpoint what it is.
INFERENCE = """
import json, os, threading, time
IS_SERVING = "SAGEMAKER_SUBMIT_DIRECTORY" in os.environ
KIND = {kind!r} if IS_SERVING else "good"
class Model:
    def describe(self):
        return {{"signature": None, "input_example": {{"inputs": [[0]]}}}}
def model_fn(model_dir):
    if KIND == "hangs":
        threading.Event().wait()
    return Model()
def predict_fn(data, model):
    if KIND == "raises":
        raise RuntimeError("no such column")
    if KIND == "slow":
        time.sleep(30)
    if KIND == "dies" and data[0][0] % 2:
        os._exit(3)
    return [1 for _ in data]
def output_fn(prediction, accept):
    return "<html>" if KIND == "garbage" else json.dumps({{"predictions": prediction}}), "application/json"
"""
KINDS = ("good", "hangs", "garbage", "raises", "slow", "dies")
STEPS = [{"weight": weight, "duration": 2, "minimum_samples": 10} for weight in (20.0, 100.0)]
MORE, LARGER = ResourceRequirements(gpu_count=0, cpu_cores=4, memory_gb=16, disk_gb=20), "ml.m5.xlarge"
PLAIN = DeploymentConfig("staging", replicas=1)


@pytest.fixture(scope="module")
def dora(cloud: Cloud) -> Iterator[Client]:
    cloud.raise_quota("dora", tenant=TENANT)
    with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def token(cloud: Cloud) -> str:
    return cloud.token("dora", "USER", "MODEL_DEPLOYER", tenant=TENANT)


@pytest.fixture(scope="module")
def versions(dora: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """One model, in a version of each kind."""
    jobs = {}
    for kind in KINDS:
        code = {"inference.py": INFERENCE.format(kind=kind)}
        jobs[kind] = scripts.submit(dora, tmp_path_factory.mktemp(kind), TRAINS, name="coin", files=code)
    found = {}
    for kind, job in jobs.items():
        ended = dora.jobs.wait(job.job_id, timeout=180)
        assert ended.model_id is not None, ended.failure_reason
        found[kind] = dora.models.get(ended.model_id)
    return found


def deployed(dora: Client, model: Model, config: DeploymentConfig) -> Deployment:
    return dora.deployments.wait(dora.models.deploy(model.id, config).id, timeout=240)


def beside(good: Model, other: Model, environment: str) -> DeploymentConfig:
    """Both, and the other one gets no request."""
    return DeploymentConfig(environment, replicas=1, variants={good.id: 1, other.id: 0})


@pytest.fixture(scope="module")
def serving(dora: Client, versions: dict[str, Model]) -> Iterator[Deployment]:
    active = deployed(dora, versions["good"], PLAIN)
    assert active.is_active(), active.failure_reason
    yield active
    dora.deployments.wait(active.id, timeout=120)
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)


@pytest.fixture(scope="module", autouse=True)
def slow_one(
    cloud: Cloud, dora: Client, token: str, versions: dict[str, Model]
) -> Iterator[tuple[Deployment, Callers]]:
    """In production, a version that is too slow is on its way all the while: to find that out takes more than a minute."""
    good, slow = versions["good"], versions["slow"]
    active = deployed(dora, good, DeploymentConfig("production", replicas=1))
    assert active.is_active(), active.failure_reason
    with Callers(cloud, active, token, threads=1) as callers:
        dora.models.deploy(slow.id, beside(good, slow, "production"))
        yield active, callers
    dora.deployments.delete(active.id)
    dora.deployments.wait_down(active.id, timeout=120)


def kept(dora: Client, before: Deployment, bad: Model, callers: Callers, reason: str) -> None:
    """The version before serves as if nothing had been, and the deployment says what was tried and why it failed."""
    callers.until_answered(5)
    now = dora.deployments.get(before.id)
    assert now.is_active(), now.failure_reason
    assert [each.model_id for each in now.variants] == [each.model_id for each in before.variants]
    failure: dict[str, Any] = now.document["last_failure"]
    assert reason in failure["reason"]
    assert dora.models.get(bad.id).status == "ready"
    assert set(callers.answers) == {(200, f"v{before.variants[0].model_version}")}


class TestAnUpdate:
    def test_over_the_accounts_limit_is_refused_with_the_quota_to_raise(
        self,
        cloud: Cloud,
        dora: Client,
        token: str,
        versions: dict[str, Model],
        serving: Deployment,
        endpoint_limit: EndpointLimit,
    ) -> None:
        endpoint_limit(LARGER, 0)
        with Callers(cloud, serving, token) as callers:
            deployed(dora, versions["dies"], DeploymentConfig("staging", replicas=1, resource_limits=MORE))
            kept(dora, serving, versions["dies"], callers, f"reached its limit '{LARGER} for endpoint usage'")

    def test_for_which_aws_has_no_instances_says_so(
        self, cloud: Cloud, dora: Client, token: str, versions: dict[str, Model], serving: Deployment, faults: Faults
    ) -> None:
        faults([{"fault": "no_capacity", "operation": "UpdateEndpoint", "name_prefix": serving.endpoint}])
        with Callers(cloud, serving, token) as callers:
            deployed(dora, versions["dies"], PLAIN)
            kept(dora, serving, versions["dies"], callers, "AWS has no ml.m5.large instances to give at the moment")

    def test_whose_container_never_answers_the_ping_is_given_up(
        self, cloud: Cloud, dora: Client, token: str, versions: dict[str, Model], serving: Deployment, faults: Faults
    ) -> None:
        patience = {"fault": "ping_timeout", "seconds": 3, "name_prefix": serving.endpoint}
        faults([{**patience, "operation": "UpdateEndpoint"}])
        with Callers(cloud, serving, token) as callers:
            deployed(dora, versions["hangs"], PLAIN)
            kept(dora, serving, versions["hangs"], callers, "did not pass the ping health check")


class TestAVersionBesideTheOneThatServes:
    @pytest.mark.parametrize(
        ("kind", "reason"), [("garbage", "is said to be JSON, and is not"), ("raises", "RuntimeError: no such column")]
    )
    def test_is_taken_back_when_it_does_not_predict(
        self,
        cloud: Cloud,
        dora: Client,
        token: str,
        versions: dict[str, Model],
        serving: Deployment,
        kind: str,
        reason: str,
    ) -> None:
        with Callers(cloud, serving, token) as callers:
            deployed(dora, versions[kind], beside(versions["good"], versions[kind], "staging"))
            kept(dora, serving, versions[kind], callers, reason)


class TestAFirstRevision:
    def test_over_the_accounts_limit_fails_and_leaves_nothing(
        self, cloud: Cloud, dora: Client, versions: dict[str, Model], endpoint_limit: EndpointLimit
    ) -> None:
        endpoint_limit(LARGER, 0)
        failed = deployed(dora, versions["dies"], DeploymentConfig("development", replicas=1, resource_limits=MORE))
        assert failed.status == "failed"
        assert "Ask for an increase of this quota in AWS Service Quotas" in (failed.failure_reason or "")
        sagemaker = cloud.boto("sagemaker")
        assert sagemaker.list_endpoints(NameContains=failed.endpoint)["Endpoints"] == []
        assert sagemaker.list_endpoint_configs(NameContains=failed.endpoint)["EndpointConfigs"] == []
        assert sagemaker.list_models(NameContains=failed.endpoint)["Models"] == []
        assert dora.models.get(versions["dies"].id).status == "ready"


class TestAVersionThatDiesUnderLoad:
    def test_is_undone_and_the_one_before_fails_nobody(
        self, cloud: Cloud, dora: Client, token: str, versions: dict[str, Model], serving: Deployment
    ) -> None:
        good = f"v{serving.variants[0].model_version}"
        plan = {
            "to": {"model_id": versions["dies"].id},
            "steps": STEPS,
            "evaluation_seconds": 1,
            "patience": "PT2M",
        }
        headers = {"Authorization": f"Bearer {token}"}
        with (
            Callers(cloud, serving, token, threads=1, headers={"X-Variant": good}) as loyal,
            Callers(cloud, serving, token) as callers,
        ):
            url = f"{cloud.api}/deployments/{serving.id}/rollouts"
            begun = httpx.post(url, json=plan, headers=headers, timeout=30)
            assert begun.status_code == 201, begun.text
            rollout = f"{cloud.api.removesuffix('/v1')}{begun.headers['location'].removeprefix('/api')}"
            done = ended(rollout, headers)
            loyal.until_answered(5)
        # It gets its first requests when it is up: it may die of them before it was tried with its own example.
        reasons = {"rolled-back": "error rate <= 0.05 was breached", "failed": "could not be served"}
        assert reasons[done["status"]] in done["reason"], done
        # Whoever asks for the version before is answered by it; what died has no name on its answers.
        assert set(loyal.answers) == {(200, good)}
        assert {variant for code, variant in callers.answers if code != 200} == {None}
        now = dora.deployments.get(serving.id)
        assert [(each.model_id, each.percentage) for each in now.variants] == [(versions["good"].id, 100)]


class TestAVersionThatIsTooSlow:
    def test_is_taken_back_and_says_that_it_did_not_answer(
        self, dora: Client, versions: dict[str, Model], slow_one: tuple[Deployment, Callers]
    ) -> None:
        before, callers = slow_one
        dora.deployments.wait(before.id, timeout=240)
        kept(dora, before, versions["slow"], callers, "did not answer its input example, asked 3 times")


def ended(url: str, headers: dict[str, str], seconds: float = 240) -> dict[str, Any]:
    """A rollout, once it has."""
    until = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = httpx.get(url, headers=headers, timeout=30).json()
        if found["status"] not in {"running", "paused", "rolling-back"}:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.5)
