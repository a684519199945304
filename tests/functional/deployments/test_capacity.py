"""The account's limit is reached, or AWS has no instances: the reason says what helps, and what serves goes on."""

from __future__ import annotations

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.models.model import ModelStatus
from tests.functional.deployments.conftest import Deployments

LIMIT = (
    "The account-level service limit 'ml.m5.large for endpoint usage' is 3 Instances, with current utilization of 2 "
    "Instances and a request delta of 2 Instances. Please use AWS Service Quotas to request an increase for this quota. "
    "(Service: SageMaker, Status Code: 400, Request ID: 1)"
)
CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
    "different ML instance type or after some time."
)
RAISE_THE_LIMIT = (
    "The AWS account has reached its limit 'ml.m5.large for endpoint usage': it allows 3, 2 are in use, and 2 more are "
    "needed. Ask for an increase of this quota in AWS Service Quotas, or deploy with fewer replicas or other "
    "resource_limits."
)
WAIT = (
    "AWS has no ml.m5.large instances to give at the moment (InsufficientInstanceCapacity). Deploy again later, or with "
    "other resource_limits, which choose another instance type."
)


def lack(deployments: Deployments, what: str, revision: int = 1) -> Deployment:
    """Deploys a version that gets no instances."""
    begun = deployments.deploy(deployments.model(str(revision)))
    if what == "limit":
        deployments.sagemaker.refusal = LIMIT
    else:
        deployments.sagemaker.reason = CAPACITY
        deployments.sagemaker.broken.add(f"{begun.endpoint}-{revision}")
    return deployments.drive(begun)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("what", "told"), [("limit", RAISE_THE_LIMIT), ("capacity", WAIT)])
class TestLackingInstances:
    def test_fail_a_first_revision_of_which_nothing_is_left(
        self, deployments: Deployments, what: str, told: str, times: int
    ) -> None:
        deployments.times = times
        failed = lack(deployments, what)
        assert (failed.status, failed.failure_reason) == (DeploymentStatus.FAILED, told)
        sagemaker = deployments.sagemaker
        assert (sagemaker.endpoints, sagemaker.configs, sagemaker.models) == ({}, {}, {})
        model = deployments.models.get("acme", "model-churn-1")
        assert model is not None
        assert (model.status, dict(model.uses)) == (ModelStatus.READY, {})

    def test_leave_the_revision_before_as_it_was(
        self, deployments: Deployments, what: str, told: str, times: int
    ) -> None:
        deployments.times = times
        before = deployments.active(deployments.model("1"))
        kept = lack(deployments, what, 2)
        assert (kept.status, kept.active) == (DeploymentStatus.ACTIVE, before.active)
        assert kept.last_failure is not None
        assert kept.last_failure.reason.startswith(told)
        assert (kept.last_failure.revision, kept.last_failure.model_id) == (2, "model-churn-2")
        assert list(deployments.sagemaker.configs) == [f"{before.endpoint}-1"]
        assert list(deployments.sagemaker.models) == [f"{before.endpoint}-1"]
        left = deployments.models.get("acme", "model-churn-2")
        assert left is not None
        assert left.status is ModelStatus.READY

    def test_are_no_obstacle_once_there_are_some(
        self, deployments: Deployments, what: str, told: str, times: int
    ) -> None:
        deployments.times = times
        failed = lack(deployments, what)
        deployments.sagemaker.refusal = None
        again = deployments.active(deployments.model("2"))
        assert (again.deployment_id, again.status) == (failed.deployment_id, DeploymentStatus.ACTIVE)
        assert again.failure_reason is None


def test_an_update_is_told_that_its_instances_come_beside_the_old_ones(deployments: Deployments) -> None:
    deployments.active(deployments.model("1"))
    failure = lack(deployments, "limit", 2).last_failure
    assert failure is not None
    assert failure.reason.endswith("The instances of an update come up beside the old ones, so both count for a while.")


def test_a_limit_in_other_words_is_told_with_the_quota_to_raise(deployments: Deployments) -> None:
    begun = deployments.deploy(deployments.model())
    error = "SageMaker.ResourceLimitExceededException: The account-level service limit has been reached"
    failed = deployments.finishing.finish("acme", begun.deployment_id, 1, error)
    cure = "Ask for an increase of the quota 'ml.m5.large for endpoint usage' in AWS Service Quotas."
    assert failed.failure_reason == f"{error} {cure}"
