"""A serverless deployment has no instances; SageMaker makes one of an endpoint with instances, and never back."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.planning import EndpointBusy
from chalicelib.deployments.request import RollbackRequest
from chalicelib.errors import InvalidRequest
from tests.functional.deployments.conftest import DEPLOYER, Deployments

SMALL = {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 0}


def variants(deployments: Deployments, deployment: Deployment) -> list[dict[str, Any]]:
    """As SageMaker was asked for them last."""
    config = deployments.sagemaker.describe(deployment.endpoint).config
    found: list[dict[str, Any]] = deployments.sagemaker.configs[config or ""]["ProductionVariants"]
    return found


@pytest.mark.parametrize(("limits", "memory"), [(None, 2048), (SMALL, 4096)])
def test_is_asked_for_with_memory_and_without_instances(deployments: Deployments, limits: Any, memory: int) -> None:
    config = {"serverless": True, **({"resource_limits": limits} if limits else {})}
    active = deployments.active(deployments.model(), **config)
    assert active.status is DeploymentStatus.ACTIVE
    (variant,) = variants(deployments, active)
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": memory, "MaxConcurrency": 5}
    assert variant.keys().isdisjoint({"InstanceType", "InitialInstanceCount"})
    assert (active.current.instance_type, "replicas" in active.current.config) == ("serverless", False)
    # SageMaker knows no variants of it by name.
    assert [invocation.variant for _, invocation in deployments.runtime.invocations] == [None]


def test_takes_another_version_in_place(deployments: Deployments) -> None:
    deployments.active(deployments.model("1"), serverless=True)
    active = deployments.active(deployments.model("2"), serverless=True)
    assert (active.current.model_version, active.status) == ("2", DeploymentStatus.ACTIVE)
    assert deployments.sagemaker.deleted == []


def test_is_made_of_one_with_instances_in_place(deployments: Deployments) -> None:
    model = deployments.model()
    deployments.active(model)
    active = deployments.active(model, serverless=True)
    assert "ServerlessConfig" in variants(deployments, active)[0]
    assert deployments.sagemaker.deleted == []


def test_becomes_one_with_instances_by_being_made_anew(deployments: Deployments) -> None:
    model = deployments.model()
    deployments.active(model, serverless=True)
    begun = deployments.deploy(model, replicas=2)
    with pytest.raises(EndpointBusy, match="made anew"):
        deployments.planning.plan("acme", begun.deployment_id, 2)
    active = deployments.drive(begun)
    assert active.status is DeploymentStatus.ACTIVE
    assert variants(deployments, active)[0]["InitialInstanceCount"] == 2
    assert deployments.sagemaker.deleted == [active.endpoint]


def test_comes_back_when_it_is_rolled_back_to(deployments: Deployments) -> None:
    deployments.active(deployments.model("1"), serverless=True)
    begun = deployments.deploy(deployments.model("2"))
    with pytest.raises(EndpointBusy):
        deployments.planning.plan("acme", begun.deployment_id, 2)
    active = deployments.drive(begun)
    back = deployments.drive(deployments.rolling_back.roll_back(DEPLOYER, active.deployment_id, RollbackRequest()))
    assert (back.current.model_version, back.current.is_serverless) == ("1", True)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"replicas": 2}, "replicas"),
        ({"scaling_policy": {"max_replicas": 3}}, "scaling_policy"),
        ({"resource_limits": {**SMALL, "gpu_count": 1}}, "resource_limits.gpu_count"),
        ({"resource_limits": {**SMALL, "memory_gb": 8}}, "resource_limits.memory_gb"),
        ({"traffic_split": {"percentage": 50, "target_models": ["m"]}}, "traffic_split"),
        ({"variants": [{"model_id": "a", "weight": 1}, {"model_id": "b", "weight": 1}]}, "variants"),
    ],
)
def test_is_refused_with_what_only_instances_have(deployments: Deployments, config: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        deployments.deploy(deployments.model(), serverless=True, **config)
    assert field in [problem.field for problem in refused.value.problems]
