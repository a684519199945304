"""A deployment with a scaling policy is scaled by Application Auto Scaling, for as long as it serves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.invocations import Answer
from chalicelib.errors import Conflict, NotFound
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER, Deployments

POLICY = {"min_replicas": 1, "max_replicas": 4, "scale_up_cooldown": "PT1M"}


def targets(deployments: Deployments) -> dict[str, tuple[int, int]]:
    """By variant."""
    return {resource.rpartition("/")[2]: bounds for resource, bounds in deployments.auto_scaling.targets.items()}


def tracked(deployments: Deployments, deployment: Deployment, variant: str = "v1") -> dict[str, dict[str, Any]]:
    return deployments.auto_scaling.policies[f"endpoint/{deployment.endpoint}/variant/{variant}"]


def counts(deployments: Deployments, deployment: Deployment) -> dict[str, int]:
    return dict(deployments.sagemaker.describe(deployment.endpoint).instances)


class TestAScaledDeployment:
    @pytest.mark.parametrize("times", [1, 2])
    def test_has_a_target_with_a_policy_for_each_thing_that_is_tracked(
        self, deployments: Deployments, times: int
    ) -> None:
        deployments.times = times
        policy = {**POLICY, "target_invocations_per_instance": 600}
        active = deployments.active(deployments.model(), scaling_policy=policy)
        assert targets(deployments) == {"v1": (1, 4)}
        found = tracked(deployments, active)
        # ml.m5.large has two vCPUs, each of which counts 100.
        assert {name: each["TargetValue"] for name, each in found.items()} == {
            "cpu": 140.0,
            "memory": 80.0,
            "queue": 10.0,
            "invocations": 600.0,
        }
        assert {(each["ScaleOutCooldown"], each["ScaleInCooldown"]) for each in found.values()} == {(60, 300)}
        dimensions = found["cpu"]["CustomizedMetricSpecification"]["Dimensions"]
        assert dimensions == [
            {"Name": "EndpointName", "Value": active.endpoint},
            {"Name": "VariantName", "Value": "v1"},
        ]

    def test_scales_each_of_several_versions(self, deployments: Deployments) -> None:
        models = [deployments.model("1"), deployments.model("2")]
        split = [{"model_id": model.model_id, "weight": 1} for model in models]
        deployments.active(models[0], variants=split, scaling_policy=POLICY)
        assert targets(deployments) == {"v1": (1, 4), "v2": (1, 4)}

    def test_without_a_policy_stays_as_it_is(self, deployments: Deployments) -> None:
        deployments.active(deployments.model())
        assert targets(deployments) == {}

    def test_loses_its_targets_when_the_policy_goes(self, deployments: Deployments) -> None:
        model = deployments.model()
        deployments.active(model, scaling_policy=POLICY)
        deployments.active(model)
        assert targets(deployments) == {}


class TestAnotherRevision:
    def test_begins_with_as_many_instances_as_there_are(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model("1"), replicas=1, scaling_policy=POLICY)
        found = deployments.sagemaker.endpoints[active.endpoint]
        deployments.sagemaker.endpoints[active.endpoint] = type(found)(
            found.state, found.config, weights=found.weights, instances={"v1": 3}
        )
        active = deployments.active(deployments.model("2"), replicas=1, scaling_policy=POLICY)
        assert counts(deployments, active) == {"v2": 3}
        assert targets(deployments) == {"v2": (1, 4)}

    def test_keeps_within_its_own_bounds(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"), replicas=4, scaling_policy=POLICY)
        smaller = {"min_replicas": 1, "max_replicas": 2}
        active = deployments.active(deployments.model("2"), scaling_policy=smaller)
        assert counts(deployments, active) == {"v2": 2}

    def test_that_fails_leaves_the_targets_of_the_one_before(self, deployments: Deployments) -> None:
        before = deployments.active(deployments.model("1"), scaling_policy=POLICY)
        good, bad = deployments.runtime.answers[0], Answer(b"{}", "application/json", "v2")
        deployments.runtime.answers = [bad, good]
        kept = deployments.active(deployments.model("2"), scaling_policy={**POLICY, "max_replicas": 9})
        assert kept.active == before.active
        assert targets(deployments) == {"v1": (1, 4)}

    def test_is_not_scaled_while_it_is_on_its_way(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"), scaling_policy=POLICY)
        begun = deployments.deploy(deployments.model("2"), scaling_policy=POLICY)
        plan = deployments.planning.plan("acme", begun.deployment_id, 2)
        assert plan["next"] == "update"
        assert targets(deployments) == {}


class TestTakingDown:
    def test_takes_the_targets_away_first(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model(), scaling_policy=POLICY)
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        assert deployments.take_down(active).status is DeploymentStatus.TERMINATED
        assert targets(deployments) == {}


class TestReport:
    def test_says_how_many_there_are_and_what_was_done(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model(), replicas=2, scaling_policy=POLICY)
        deployments.auto_scaling.done.append(
            {
                "ResourceId": f"endpoint/{active.endpoint}/variant/v1",
                "Description": "Setting desired instance count to 2.",
                "Cause": "monitor alarm",
                "StatusCode": "Successful",
                "StartTime": datetime(2026, 3, 1, tzinfo=UTC),
            }
        )
        report = deployments.scaling_report.of(USER, active.deployment_id)
        assert report["variants"] == [{"name": "v1", "model_version": "1", "instances": 2}]
        assert report["scaling_policy"]["max_replicas"] == 4
        assert report["registered"] is True
        (activity,) = report["activities"]
        assert (activity["variant"], activity["status"]) == ("v1", "Successful")

    def test_says_why_an_instance_was_not_added(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model(), scaling_policy=POLICY)
        why = "Failed to set desired instance count to 2. Reason: The account-level service limit"
        deployments.auto_scaling.done.append(
            {
                "ResourceId": f"endpoint/{active.endpoint}/variant/v1",
                "Description": "Setting desired instance count to 2.",
                "Cause": "monitor alarm",
                "StatusCode": "Failed",
                "StatusMessage": why,
                "StartTime": datetime(2026, 3, 1, tzinfo=UTC),
            }
        )
        (activity,) = deployments.scaling_report.of(USER, active.deployment_id)["activities"]
        assert (activity["status"], activity["message"]) == ("Failed", why)

    def test_says_that_its_targets_are_not_there(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model(), scaling_policy=POLICY)
        deployments.auto_scaling.policies.clear()
        assert deployments.scaling_report.of(USER, active.deployment_id)["registered"] is False

    def test_is_of_what_serves_and_nobody_elses(self, deployments: Deployments) -> None:
        begun = deployments.deploy(deployments.model())
        with pytest.raises(Conflict):
            deployments.scaling_report.of(USER, begun.deployment_id)
        with pytest.raises(NotFound):
            deployments.scaling_report.of(STRANGER, begun.deployment_id)
