"""What a deployment's configuration may ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.deployments.deployment import same_shares
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.deployments.rules import check_config, host, variants, weights
from chalicelib.errors import InvalidRequest, RefusedValue
from chalicelib.models.model import Archive, Model, ModelStatus
from chalicelib.shape import read

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MODEL = Model(
    "acme", "m-1", "alice", "churn", "1", "sklearn", Archive("s3://b/model.tar.gz", 1, None), NOW, NOW, "sklearn", True
)


def config(**values: Any) -> DeploymentConfig:
    return read(DeploymentConfig, json.dumps({"environment": "staging", **values}).encode())


class TestShape:
    def test_fills_in_the_contracts_defaults(self) -> None:
        assert config().replicas == 2
        assert config(resource_limits={}).model_dump()["resource_limits"] == {
            "gpu_count": 1,
            "gpu_type": "v100",
            "memory_gb": 16,
            "cpu_cores": 8,
            "disk_gb": 100,
        }

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"environment": "laptop"}, "environment"),
            ({"replicas": 0}, "replicas"),
            ({"replicas": 101}, "replicas"),
            ({"replicas": "2"}, "replicas"),
            ({"replica": 2}, "replica"),
            ({"scaling_policy": {"target_cpu_utilization": 0}}, "scaling_policy.target_cpu_utilization"),
            ({"scaling_policy": {"scale_up_cooldown": "5 minutes"}}, "scaling_policy.scale_up_cooldown"),
            ({"scaling_policy": {"scale_up_cooldown": "PT"}}, "scaling_policy.scale_up_cooldown"),
            ({"traffic_split": {"percentage": 101}}, "traffic_split.percentage"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, values: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidRequest) as error:
            config(**values)
        assert [problem.field for problem in error.value.problems] == [field]

    def test_needs_an_environment(self) -> None:
        with pytest.raises(InvalidRequest, match="environment"):
            read(DeploymentConfig, b"{}")


class TestCheckConfig:
    @pytest.mark.parametrize(
        ("values", "fields"),
        [
            ({"traffic_split": {"percentage": 50}}, ["traffic_split.target_models"]),
            ({"traffic_split": {"target_models": ["m-2"]}}, ["traffic_split.percentage"]),
            ({"traffic_split": {}, "variants": [{"model_id": "m-1", "weight": 1}]}, ["traffic_split"]),
            ({"variants": [{"model_id": "m-2", "weight": 1}]}, ["variants"]),
            ({"variants": [{"model_id": "m-1", "weight": 0}]}, ["variants"]),
            ({"variants": [{"model_id": "m-1", "weight": 1}] * 2}, ["variants"]),
        ],
    )
    def test_refuses_a_split_that_makes_no_sense(self, values: dict[str, Any], fields: list[str]) -> None:
        with pytest.raises(RefusedValue) as error:
            weights(config(**values), "m-1")
        assert [problem.field for problem in error.value.problems] == fields
        assert all(problem.cure for problem in error.value.problems)

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, {"m-1": 1}),
            ({"traffic_split": {"target_models": ["m-1"]}}, {"m-1": 1}),
            ({"traffic_split": {"percentage": 80, "target_models": ["m-2", "m-1"]}}, {"m-1": 80, "m-2": 20}),
            (
                {"traffic_split": {"percentage": 0, "target_models": ["m-2", "m-3"]}},
                {"m-1": 0, "m-2": 50, "m-3": 50},
            ),
            (
                {"variants": [{"model_id": "m-2", "weight": 3}, {"model_id": "m-1", "weight": 0.5}]},
                {"m-1": 0.5, "m-2": 3},
            ),
        ],
    )
    def test_takes_the_deployed_model_first(self, values: dict[str, Any], expected: dict[str, float]) -> None:
        found = weights(config(**values), "m-1")
        assert list(found) == list(expected)
        assert same_shares(found, expected)

    def test_names_versions_apart_that_sagemaker_would_call_the_same(self) -> None:
        ready = replace(MODEL, status=ModelStatus.READY, servable=True)
        models = [replace(ready, model_id=key, version=version) for key, version in (("m-1", "1.0"), ("m-2", "1-0"))]
        assert [each.name for each in variants(models, {"m-1": 1.0, "m-2": 1.0})] == ["v1-0", "v1-0-1"]

    def test_wants_the_bounds_of_a_scaling_policy_in_their_order(self) -> None:
        check_config(config(scaling_policy={"min_replicas": 1, "max_replicas": 4}))
        with pytest.raises(InvalidRequest, match="max_replicas"):
            check_config(config(scaling_policy={"min_replicas": 4, "max_replicas": 3}))

    def test_wants_replicas_within_the_bounds_of_the_scaling_policy(self) -> None:
        with pytest.raises(InvalidRequest, match="replicas"):
            check_config(config(replicas=5, scaling_policy={"min_replicas": 1, "max_replicas": 4}))

    @pytest.mark.parametrize(
        ("limits", "field"),
        [
            ({"gpu_count": 9}, "gpu_count"),
            ({"memory_gb": 513}, "memory_gb"),
            ({"cpu_cores": 1}, "cpu_cores"),
            ({"disk_gb": 19}, "disk_gb"),
        ],
    )
    def test_names_each_bound_that_is_crossed(self, limits: dict[str, int], field: str) -> None:
        with pytest.raises(InvalidRequest) as error:
            check_config(config(resource_limits=limits))
        assert [problem.field for problem in error.value.problems] == [f"resource_limits.{field}"]


class TestHost:
    def test_is_a_small_machine_without_limits(self) -> None:
        assert (host(config()).instance_type, host(config()).gpu_count, host(config()).volume_gb) == (
            "ml.m5.large",
            0,
            None,
        )

    def test_is_the_cheapest_that_fits_with_the_disk_that_was_asked_for(self) -> None:
        small = host(config(resource_limits={"gpu_count": 0, "memory_gb": 4, "cpu_cores": 2, "disk_gb": 50}))
        assert small.gpu_count == 0
        assert small.volume_gb == 50

    def test_has_a_gpu_when_asked(self) -> None:
        assert (
            host(config(resource_limits={"gpu_count": 1, "gpu_type": "t4", "memory_gb": 8, "cpu_cores": 2})).gpu_count
            >= 1
        )

    def test_refuses_more_disk_than_an_endpoint_can_have(self) -> None:
        with pytest.raises(InvalidRequest) as error:
            host(config(resource_limits={"gpu_count": 0, "memory_gb": 4, "cpu_cores": 2, "disk_gb": 2000}))
        assert [problem.field for problem in error.value.problems] == ["resource_limits.disk_gb"]
