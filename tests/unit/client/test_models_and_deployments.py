from __future__ import annotations

from collections import deque

import httpx
import pytest

from aimatrix.client import DeploymentConfig, NotFoundError, ResourceRequirements, UnreachableError, WaitTimeoutError
from tests.unit.client.fake_service import (
    DEPLOYMENT_ID,
    MODEL_ID,
    Clock,
    FakeService,
    Fault,
    client_of,
    deployment_document,
    model_document,
)


class TestModels:
    def test_finds_a_version_by_name(self) -> None:
        service = FakeService(models=[model_document(f"m{n}", version=str(n)) for n in (3, 2, 1)])
        client = client_of(service)

        assert client.models.find("wine:2").id == "m2"
        assert client.models.find("wine").id == "m3"

    @pytest.mark.parametrize("reference", ["wine:9", "beer", "wine:"])
    def test_a_model_that_is_not_there_is_not_found(self, reference: str) -> None:
        service = FakeService(models=[model_document(name="beers")])

        with pytest.raises(NotFoundError, match=reference):
            client_of(service).models.find(reference)

    def test_registers_with_what_was_said(self) -> None:
        service = FakeService()

        client_of(service).models.register("wine", "sklearn", "s3://b/m.tar.gz", metrics={"accuracy": 0.9})

        assert service.bodies("POST", "/models") == [
            {"name": "wine", "framework": "sklearn", "artifact_path": "s3://b/m.tar.gz", "metrics": {"accuracy": 0.9}}
        ]

    def test_deprecates(self) -> None:
        service = FakeService(models=[model_document()])

        assert client_of(service).models.deprecate(MODEL_ID).status == "deprecated"

    def test_a_change_whose_answer_was_lost_is_not_sent_again(self) -> None:
        service = FakeService(models=[model_document()], faults=[Fault("PATCH", "models", httpx.ReadError("reset"))])

        with pytest.raises(UnreachableError):
            client_of(service).models.deprecate(MODEL_ID)
        assert len(service.requests) == 1

    def test_deploys_with_what_was_said(self) -> None:
        service = FakeService(models=[model_document()])
        config = DeploymentConfig("staging", 2, ResourceRequirements(memory_gb=8), {"max_replicas": 4})

        client_of(service).models.deploy(MODEL_ID, config)

        assert service.bodies("POST", "/deploy") == [
            {
                "environment": "staging",
                "replicas": 2,
                "resource_limits": {"gpu_count": 0, "memory_gb": 8},
                "scaling_policy": {"max_replicas": 4},
            }
        ]


class TestDeployments:
    def test_waits_until_it_is_active_and_tells_each_state(self) -> None:
        stages = [deployment_document(status=status) for status in ("deploying", "deploying", "active")]
        service, told = FakeService(deployments={DEPLOYMENT_ID: deque(stages)}), list[str]()

        deployment = client_of(service).deployments.wait(DEPLOYMENT_ID, observe=lambda now: told.append(now.status))

        assert deployment.is_active()
        assert told == ["deploying", "deploying", "active"]

    def test_waits_until_it_has_failed(self) -> None:
        stages = [deployment_document(status="deploying"), deployment_document(status="failed", failure_reason="why")]
        service = FakeService(deployments={DEPLOYMENT_ID: deque(stages)})

        deployment = client_of(service).deployments.wait(DEPLOYMENT_ID)

        assert (deployment.status, deployment.failure_reason) == ("failed", "why")

    def test_gives_up_when_its_time_is_over(self) -> None:
        service = FakeService(deployments={DEPLOYMENT_ID: deque([deployment_document()])})

        with pytest.raises(WaitTimeoutError):
            client_of(service, Clock()).deployments.wait(DEPLOYMENT_ID, timeout=5)

    def test_waits_until_it_is_down_after_a_delete(self) -> None:
        service = FakeService(deployments={DEPLOYMENT_ID: deque([deployment_document(status="active")])})
        client = client_of(service)

        client.deployments.delete(DEPLOYMENT_ID)

        assert client.deployments.wait_down(DEPLOYMENT_ID).is_down()

    def test_finds_by_name_and_environment_what_still_serves(self) -> None:
        service = FakeService(
            deployments={
                "old": deque([deployment_document("old", status="terminated")]),
                "other": deque([deployment_document("other", environment="staging")]),
                "new": deque([deployment_document("new", status="active")]),
            }
        )
        client = client_of(service)

        assert client.deployments.find("wine@development").id == "new"
        with pytest.raises(NotFoundError, match="wine@production"):
            client.deployments.find("wine@production")

    def test_sends_a_prediction_as_it_is(self) -> None:
        service = FakeService(predictions={"predictions": [2]})
        client = client_of(service)

        assert client.deployments.predict_raw(DEPLOYMENT_ID, b"1,2\n3,4\n", "text/csv") == {"predictions": [2]}
        assert service.requests[0].content == b"1,2\n3,4\n"
        assert service.requests[0].headers["content-type"] == "text/csv"
