"""Several versions behind one endpoint: deployed together, weighed anew, and asked by key or by name."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentFilter, DeploymentStatus
from chalicelib.deployments.gateways import EndpointState
from chalicelib.deployments.invocations import Answer, Invocation
from chalicelib.deployments.request import WeightsRequest
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, RefusedValue
from chalicelib.models.model import Model, ModelStatus
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER, Deployments


def split(*pairs: tuple[Model, float]) -> list[dict[str, Any]]:
    return [{"model_id": model.model_id, "weight": weight} for model, weight in pairs]


@pytest.fixture
def two(deployments: Deployments) -> tuple[Model, Model]:
    return deployments.model("1"), deployments.model("2")


def shared(deployments: Deployments, one: Model, other: Model, weight: float = 10) -> Deployment:
    return deployments.active(one, variants=split((one, 100 - weight), (other, weight)))


def weights(deployments: Deployments, deployment: Deployment) -> dict[str, float]:
    """As SageMaker has them."""
    return dict(deployments.sagemaker.describe(deployment.endpoint).weights)


def reweigh(deployments: Deployments, deployment: Deployment, *pairs: tuple[Model, float]) -> Deployment:
    request = WeightsRequest.model_validate({"variants": split(*pairs)})
    return deployments.service.reweigh(DEPLOYER, deployment.deployment_id, request)


class TestGoingBack:
    def test_brings_the_weights_that_were_set_last(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        shared(deployments, *two)
        before = deployments.drive(reweigh(deployments, shared(deployments, *two), (two[0], 30), (two[1], 70)))
        good, bad = deployments.runtime.answers[0], Answer(b"{}", "application/json", "v3")
        deployments.runtime.answers = [bad, good]
        kept = deployments.active(deployments.model("3"))
        assert (kept.status, kept.active) == (DeploymentStatus.ACTIVE, before.active)
        # SageMaker goes back to the weights that the configuration began with.
        assert weights(deployments, kept) == {"v1": 30, "v2": 70}

    def test_other_weights_add_nothing_to_delete(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shared(deployments, *two)
        for weight in range(20, 40):
            active = deployments.drive(reweigh(deployments, active, (two[0], 100 - weight), (two[1], weight)))
        assert active.resources == ((1, 2),)
        active = deployments.service.undeploy(DEPLOYER, active.deployment_id)
        plan = deployments.planning.plan_undeploy("acme", active.deployment_id)
        assert plan["endpoint_config_names"] == [f"{active.endpoint}-1"]
        assert plan["model_names"] == [f"{active.endpoint}-1", f"{active.endpoint}-1-1"]


class TestDeploying:
    def test_two_versions_serves_both_by_their_weights(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        active = shared(deployments, *two)
        assert active.status is DeploymentStatus.ACTIVE
        assert weights(deployments, active) == {"v1": 90, "v2": 10}
        assert len(deployments.sagemaker.models) == 2
        assert [deployments.again(model).status for model in two] == [ModelStatus.DEPLOYED] * 2
        # Each of them has answered its own example.
        asked = [invocation.variant for _, invocation in deployments.runtime.invocations]
        assert asked == ["v1", "v2"]

    def test_a_percentage_is_the_short_form(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        one, other = two
        active = deployments.active(one, traffic_split={"percentage": 75, "target_models": [other.model_id]})
        assert weights(deployments, active) == {"v1": 75, "v2": 25}

    def test_another_version_alone_releases_what_is_served_no_longer(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        shared(deployments, *two)
        active = deployments.active(two[1])
        assert weights(deployments, active) == {"v2": 1}
        assert [deployments.again(model).status for model in two] == [ModelStatus.READY, ModelStatus.DEPLOYED]

    def test_a_variant_that_does_not_predict_changes_nothing(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        one, other = two
        before = deployments.active(one)
        good, bad = deployments.runtime.answers[0], Answer(b"{}", "application/json", "v2")
        deployments.runtime.answers = [good, bad]
        kept = deployments.active(one, variants=split((one, 50), (other, 50)))
        assert kept.status is DeploymentStatus.ACTIVE
        assert kept.active == before.active
        assert kept.last_failure is not None
        assert "no predictions" in kept.last_failure.reason
        assert weights(deployments, kept) == {"v1": 1}
        assert deployments.again(other).status is ModelStatus.READY
        assert deployments.again(one).status is ModelStatus.DEPLOYED

    def test_taking_it_down_leaves_nothing(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shared(deployments, *two)
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        assert deployments.take_down(active).status is DeploymentStatus.TERMINATED
        assert (deployments.sagemaker.models, deployments.sagemaker.configs) == ({}, {})
        assert [deployments.again(model).status for model in two] == [ModelStatus.READY] * 2

    def test_refuses_models_of_others_by_field(self, deployments: Deployments) -> None:
        one, other = deployments.model("1"), deployments.model("2", name="fraud")
        foreign = deployments.model("3", tenant=STRANGER.tenant, name="theirs")
        for wrong in (other, foreign):
            with pytest.raises(RefusedValue, match="variants"):
                deployments.deploy(one, variants=split((one, 1), (wrong, 1)))
        assert deployments.deploy_machine.started == {}

    def test_refuses_a_version_that_cannot_be_served(self, deployments: Deployments) -> None:
        one, other = deployments.model("1"), deployments.model("2", status=ModelStatus.DEPRECATED)
        with pytest.raises(Conflict, match="deprecated"):
            deployments.deploy(one, variants=split((one, 1), (other, 1)))


class TestLists:
    def test_find_an_endpoint_by_every_version_that_it_serves(
        self, deployments: Deployments, two: tuple[Model, Model]
    ) -> None:
        def found(model: Model, environment: str | None = None) -> list[str]:
            wanted = DeploymentFilter(environment, None, model.model_id)
            page = deployments.service.search(USER, wanted, 10, 0, None)
            return [each.deployment_id for each in page.deployments]

        one, other = two
        active = shared(deployments, one, other)
        alone = deployments.active(other, environment="production")
        assert found(one) == [active.deployment_id]
        assert found(other) == [alone.deployment_id, active.deployment_id]
        assert found(other, "staging") == [active.deployment_id]
        deployments.active(one)
        assert found(other) == [alone.deployment_id]
        assert found(one) == [active.deployment_id]

    def test_have_pages(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        one, other = two
        shared(deployments, one, other)
        deployments.active(other, environment="production")
        wanted = DeploymentFilter(None, None, other.model_id)
        first = deployments.service.search(USER, wanted, 1, 0, None)
        assert first.cursor is not None
        rest = deployments.service.search(USER, wanted, 1, 0, first.cursor.encode())
        assert [each.environment for each in (*first.deployments, *rest.deployments)] == ["production", "staging"]


class TestWeights:
    @pytest.mark.parametrize("times", [1, 2])
    def test_are_changed_without_another_configuration(
        self, deployments: Deployments, two: tuple[Model, Model], times: int
    ) -> None:
        one, other = two
        active = shared(deployments, one, other)
        configs = dict(deployments.sagemaker.configs)
        deployments.times = times
        after = deployments.drive(reweigh(deployments, active, (one, 50), (other, 50)))
        assert after.status is DeploymentStatus.ACTIVE
        assert (after.active and after.active.number, weights(deployments, after)) == (2, {"v1": 50, "v2": 50})
        assert after.current.config["variants"] == split((one, 50), (other, 50))
        assert deployments.sagemaker.configs == configs
        again = deployments.drive(reweigh(deployments, after, (one, 0), (other, 1)))
        assert (again.active and again.active.base, weights(deployments, again)) == (1, {"v1": 0, "v2": 1})
        assert ("dora", "change_weights", f"deployment/{active.deployment_id}") in deployments.log.told()

    def test_that_are_so_already_change_nothing(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shared(deployments, *two)
        assert reweigh(deployments, active, (two[0], 9), (two[1], 1)) == active

    def test_of_others_are_refused(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        one, other = two
        active = shared(deployments, one, other)
        for wrong in ([(one, 1.0)], [(one, 1.0), (deployments.model("3"), 1.0)], [(one, 0.0), (other, 0.0)]):
            with pytest.raises(RefusedValue):
                reweigh(deployments, active, *wrong)

    def test_wait_until_the_endpoint_has_settled(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        one, other = two
        active = shared(deployments, one, other)
        begun = reweigh(deployments, active, (one, 50), (other, 50))
        assert reweigh(deployments, active, (one, 50), (other, 50)) == begun
        with pytest.raises(Conflict):
            reweigh(deployments, active, (one, 40), (other, 60))

    def test_changed_from_outside_are_set_back(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shared(deployments, *two)
        deployments.sagemaker.reweigh(active.endpoint, {"v1": 0, "v2": 100})
        deployments.sagemaker.settle(active.endpoint)
        # What a step of a machine does that comes late.
        deployments.finishing.finish(active.tenant, active.deployment_id, 1, None)
        deployments.sagemaker.settle(active.endpoint)
        assert weights(deployments, active) == {"v1": 90, "v2": 10}

    def test_of_a_revision_before_come_back_with_it(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        one, other = two
        weighed = deployments.drive(reweigh(deployments, shared(deployments, one, other), (one, 30), (other, 70)))
        deployments.sagemaker.broken.add(f"{weighed.endpoint}-3")
        kept = deployments.active(deployments.model("3"))
        assert (kept.status, kept.active) == (DeploymentStatus.ACTIVE, weighed.active)
        assert weights(deployments, kept) == {"v1": 30, "v2": 70}


class TestAsking:
    def ask(self, deployments: Deployments, deployment: Deployment, caller: Any = USER, **headers: str) -> str | None:
        invocation = Invocation(b"{}", "application/json", "application/json", **headers)
        deployments.invocations.invoke(caller, deployment.deployment_id, invocation)
        return deployments.runtime.invocations[-1][1].variant

    def test_by_key_gives_the_same_variant_each_time(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        one, other = two
        active = shared(deployments, one, other)
        keys = [f"user-{number}" for number in range(120)]
        before = {key: self.ask(deployments, active, key=key) for key in keys}
        assert 3 < Counter(before.values())["v2"] < 25
        after = deployments.drive(reweigh(deployments, active, (one, 80), (other, 20)))
        moved = {key for key in keys if self.ask(deployments, after, key=key) != before[key]}
        # Only to the variant that gets more now.
        assert {before[key] for key in moved} == {"v1"}
        assert 3 < len(moved) < 30

    def test_without_a_key_leaves_it_to_sagemaker(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        assert self.ask(deployments, shared(deployments, *two)) is None

    def test_for_a_variant_takes_a_permission(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shared(deployments, *two, weight=0)
        assert self.ask(deployments, active, DEPLOYER, variant="v2") == "v2"
        with pytest.raises(Forbidden):
            self.ask(deployments, active, USER, variant="v2")
        with pytest.raises(InvalidRequest, match="X-Variant"):
            self.ask(deployments, active, DEPLOYER, variant="v9")

    @pytest.mark.parametrize("key", ["", "k" * 257])
    def test_by_a_key_of_no_use_is_refused(self, deployments: Deployments, two: tuple[Model, Model], key: str) -> None:
        with pytest.raises(InvalidRequest, match="X-Assignment-Key"):
            self.ask(deployments, shared(deployments, *two), key=key)

    def test_a_place_asks_what_is_deployed_there(self, deployments: Deployments, two: tuple[Model, Model]) -> None:
        active = shared(deployments, *two)
        assert deployments.sagemaker.describe(active.endpoint).state is EndpointState.IN_SERVICE
        invocation = Invocation(b"{}", "application/json", "application/json")
        deployments.invocations.invoke_place(USER, "churn", "staging", invocation)
        assert deployments.runtime.invocations[-1][0] == active.endpoint
