"""A version that gets copies of the requests to another one, and answers nobody."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.deployments import views
from chalicelib.deployments.deployment import Deployment, DeploymentFilter, DeploymentStatus
from chalicelib.deployments.gateways import EndpointState
from chalicelib.deployments.request import RollbackRequest
from chalicelib.errors import Conflict, InvalidRequest, RefusedValue
from chalicelib.models.model import Model, ModelStatus
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, Deployments


@pytest.fixture
def two(deployments: Deployments) -> tuple[Model, Model]:
    return deployments.model("1"), deployments.model("2")


def shadowed(deployments: Deployments, one: Model, other: Model, percentage: float = 50) -> Deployment:
    return deployments.active(one, shadow={"model_id": other.model_id, "percentage": percentage})


class TestDeploying:
    def test_with_a_shadow_hosts_both_and_serves_one(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shadowed(deployments, *two)
        assert active.status is DeploymentStatus.ACTIVE
        found = deployments.sagemaker.describe(active.endpoint)
        assert (found.weights, found.shadows) == ({"v1": 1}, frozenset({"v2"}))
        (shadow,) = deployments.sagemaker.configs[f"{active.endpoint}-1"]["ShadowProductionVariants"]
        # SageMaker copies as large a part as its weight is of the production variant's.
        assert (shadow["InitialVariantWeight"], shadow["InitialInstanceCount"]) == (0.5, 2)
        shown = views.document(active)
        assert shown["shadow"] == {
            "name": "v2",
            "model_id": two[1].model_id,
            "model_version": "2",
            "percentage": 50,
        }
        assert [each["name"] for each in shown["variants"]] == ["v1"]

    def test_nobody_deletes_a_model_that_is_a_shadow_and_it_is_found_by_it(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        active = shadowed(deployments, *two)
        assert [deployments.again(model).status for model in two] == [ModelStatus.DEPLOYED] * 2
        wanted = DeploymentFilter(model_id=two[1].model_id)
        found = deployments.service.search(DEPLOYER, wanted, 10, 0, None)
        assert [each.deployment_id for each in found.deployments] == [active.deployment_id]

    def test_only_the_version_that_serves_is_tried(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        shadowed(deployments, *two)
        assert [invocation.variant for _, invocation in deployments.runtime.invocations] == [None]

    def test_without_one_again_takes_it_away(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        shadowed(deployments, *two)
        active = deployments.active(two[0])
        assert deployments.sagemaker.describe(active.endpoint).shadows == frozenset()
        assert len(deployments.sagemaker.models) == 1
        assert deployments.again(two[1]).status is ModelStatus.READY

    def test_asked_for_again_is_the_same_revision(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        first = deployments.deploy(two[0], shadow={"model_id": two[1].model_id})
        assert deployments.deploy(two[0], shadow={"model_id": two[1].model_id}) == first
        with pytest.raises(Conflict, match="busy with revision 1"):
            deployments.deploy(two[0], shadow={"model_id": two[1].model_id, "percentage": 5})

    def test_that_does_not_come_up_leaves_what_was_there(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        before = deployments.active(two[0])
        deployments.sagemaker.broken.add(f"{before.endpoint}-2")
        kept = shadowed(deployments, *two)
        assert (kept.status, kept.active) == (DeploymentStatus.ACTIVE, before.active)
        assert deployments.again(two[1]).status is ModelStatus.READY

    def test_is_done_when_sagemaker_says_that_the_shadow_is_there(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        active = shadowed(deployments, *two)
        assert active.active is not None
        found = deployments.sagemaker.describe(active.endpoint)
        assert found.serves(active.endpoint, active.active)
        without = deployments.active(two[0])
        assert without.active is not None
        assert not found.serves(active.endpoint, without.active)

    def test_is_not_served_rightly_where_the_other_weight_was_changed(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        active = shadowed(deployments, *two)
        assert active.active is not None
        deployments.sagemaker.reweigh(active.endpoint, {"v1": 0.1})
        deployments.sagemaker.settle(active.endpoint)
        found = deployments.sagemaker.describe(active.endpoint)
        assert not found.serves(active.endpoint, active.active)
        deployments.sagemaker.go_back(active.endpoint, found, active.active)
        deployments.sagemaker.settle(active.endpoint)
        assert deployments.sagemaker.describe(active.endpoint).serves(active.endpoint, active.active)

    def test_can_be_rolled_back_to(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shadowed(deployments, *two)
        deployments.active(deployments.model("3"))
        back = deployments.rolling_back.roll_back(DEPLOYER, active.deployment_id, RollbackRequest(revision=1))
        again = deployments.drive(back)
        assert again.active is not None
        assert active.active is not None
        assert again.active.shadow == active.active.shadow
        assert deployments.sagemaker.describe(active.endpoint).shadows == {"v2"}

    def test_is_passed_over_when_the_version_itself_is_to_be_undone(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        one, other = two
        deployments.active(one)
        shadowed(deployments, one, other)
        active = deployments.active(other)
        back = deployments.rolling_back.roll_back(DEPLOYER, active.deployment_id, RollbackRequest())
        assert (back.target.model_id, back.target.shadow) == (one.model_id, None)

    def test_taking_it_down_leaves_nothing(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shadowed(deployments, *two)
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        assert deployments.take_down(active).status is DeploymentStatus.TERMINATED
        assert (deployments.sagemaker.models, deployments.sagemaker.configs) == ({}, {})
        assert deployments.sagemaker.describe(active.endpoint).state is EndpointState.ABSENT
        assert [deployments.again(model).status for model in two] == [ModelStatus.READY] * 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("config", "field"),
        [
            ({"serverless": True}, "shadow"),
            (
                {"variants": [{"model_id": "model-churn-1", "weight": 1}, {"model_id": "model-churn-3", "weight": 1}]},
                "shadow",
            ),
            ({"traffic_split": {"percentage": 50, "target_models": ["model-churn-3"]}}, "shadow"),
        ],
    )
    def test_of_what_sagemaker_has_no_shadow_for(
        self, deployments: Deployments, two: tuple[Model, Model], config: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            deployments.deploy(two[0], shadow={"model_id": two[1].model_id}, **config)
        assert field in {problem.field for problem in refusal.value.problems}
        assert deployments.deploy_machine.started == {}

    def test_of_models_that_can_not_be_one_by_field(self, deployments: Deployments) -> None:
        one, other = deployments.model("1"), deployments.model("2", name="fraud")
        foreign = deployments.model("3", tenant=STRANGER.tenant, name="theirs")
        for wrong in (one, other, foreign):
            with pytest.raises(RefusedValue, match=r"shadow\.model_id"):
                deployments.deploy(one, shadow={"model_id": wrong.model_id})
        broken = deployments.model("4", servable=False, servable_reason="No.")
        with pytest.raises(Conflict, match="can't be served"):
            deployments.deploy(one, shadow={"model_id": broken.model_id})
