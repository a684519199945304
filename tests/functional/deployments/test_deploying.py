"""Deploying: what is checked, recorded and started, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.deployments.deployment import DeploymentStatus
from chalicelib.deployments.gateways import Endpoint, EndpointState
from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.planning import EndpointBusy
from chalicelib.errors import Conflict, Forbidden, ModelFailed, NotFound
from chalicelib.models.model import Archive, ModelStatus, Use
from tests.functional.deployments.conftest import STRANGER, USER, Deployments


class TestDeploy:
    def test_records_the_intent_claims_the_model_and_starts_the_machine(self, deployments: Deployments) -> None:
        model = deployments.model()
        deployment = deployments.deploy(model)
        assert deployments.get(deployment) == deployment
        assert (deployment.status, deployment.target.number) == (DeploymentStatus.DEPLOYING, 1)
        assert deployment.target.config == {"environment": "staging", "replicas": 2}
        assert list(deployments.deploy_machine.started) == [f"{deployment.deployment_id}-1"]
        claimed = deployments.again(model)
        assert (claimed.status, claimed.uses) == (ModelStatus.READY, {deployment.deployment_id: Use.CLAIMED})

    @pytest.mark.parametrize("caller", [USER, replace(USER, roles=frozenset({"VIEWER"}))])
    def test_needs_the_permission(self, deployments: Deployments, caller: Any) -> None:
        with pytest.raises(Forbidden, match="models:deploy"):
            deployments.deploy(deployments.model(), caller)

    def test_does_not_know_another_tenants_model(self, deployments: Deployments) -> None:
        model = deployments.model()
        with pytest.raises(NotFound) as theirs:
            deployments.deploy(model, STRANGER)
        with pytest.raises(NotFound) as missing:
            deployments.deploy(replace(model, model_id="none"))
        assert str(theirs.value) == str(missing.value)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"status": ModelStatus.TRAINING}, "is training"),
            ({"status": ModelStatus.DEPRECATED}, "is deprecated"),
            ({"servable": False, "servable_reason": "no inference.py"}, "no inference.py"),
            ({"archive": Archive("s3://artifacts/model.joblib", 1, None)}, r"not a model\.tar\.gz"),
        ],
    )
    def test_refuses_a_model_that_can_not_be_deployed_with_the_reason(
        self, deployments: Deployments, change: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(Conflict, match=reason):
            deployments.deploy(deployments.model(**change))
        assert deployments.deploy_machine.started == {}

    def test_repeats_a_start_that_was_lost_under_the_same_name(self, deployments: Deployments) -> None:
        model = deployments.model()
        deployments.deploy_machine.lost = 1
        with pytest.raises(ConnectionError):
            deployments.deploy(model)
        deployment = deployments.deploy(model)
        assert deployment.target.number == 1
        assert list(deployments.deploy_machine.started) == [f"{deployment.deployment_id}-1"]

    def test_refuses_another_revision_while_one_is_on_its_way(self, deployments: Deployments) -> None:
        first = deployments.deploy(deployments.model("1"))
        second = deployments.model("2")
        with pytest.raises(Conflict, match="busy with revision 1"):
            deployments.deploy(second)
        with pytest.raises(Conflict, match="busy"):
            deployments.deploy(deployments.model("1"), replicas=3)
        assert deployments.again(second).uses == {}
        assert deployments.get(first) == first

    def test_gives_each_name_and_environment_an_endpoint_of_its_own(self, deployments: Deployments) -> None:
        model, other = deployments.model(), deployments.model(name="fraud")
        made = [
            deployments.deploy(model),
            deployments.deploy(model, environment="production"),
            deployments.deploy(other),
        ]
        assert len({deployment.endpoint for deployment in made}) == 3
        assert len({deployment.deployment_id for deployment in made}) == 3

    def test_of_two_at_the_same_moment_one_makes_the_deployment_and_one_finds_it_busy(
        self, deployments: Deployments
    ) -> None:
        first, second = deployments.model("1"), deployments.model("2")

        class Overtaken(type(deployments.store)):  # type: ignore[misc]
            """Between the look at the place and the write, somebody else deploys there."""

            overtaken = False

            def at(self, tenant: str, name: str, environment: str) -> Any:
                found = super().at(tenant, name, environment)
                if not self.overtaken:
                    type(self).overtaken = True
                    deployments.deploy(second)
                return found

        slow = replace(deployments.service, store=Overtaken(deployments.store.table))
        with pytest.raises(Conflict, match="busy"):
            replace(deployments, service=slow).deploy(first)
        assert deployments.again(first).uses == {}
        assert len(deployments.deploy_machine.started) == 1

    def test_does_not_claim_a_model_that_is_deprecated_at_the_same_moment(self, deployments: Deployments) -> None:
        model = deployments.model()

        class Overtaken(type(deployments.store)):  # type: ignore[misc]
            def at(self, tenant: str, name: str, environment: str) -> Any:
                current = deployments.again(model)
                if current.status is ModelStatus.READY:
                    deployments.models.update(current, current.become(ModelStatus.DEPRECATED), deployments.clock())
                return super().at(tenant, name, environment)

        slow = replace(deployments.service, store=Overtaken(deployments.store.table))
        with pytest.raises(Conflict, match="is deprecated"):
            replace(deployments, service=slow).deploy(model)


@pytest.mark.parametrize("times", [1, 3])
class TestMachine:
    """Every step once, and every step three times: the record ends the same."""

    def test_ends_active_with_the_model_deployed(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        model = deployments.model()
        deployment = deployments.active(model, replicas=1)
        assert (deployment.status, deployment.active) == (DeploymentStatus.ACTIVE, deployment.target)
        assert deployment.evidence == "The endpoint answered the model's input example with 2 prediction(s)."
        served = deployments.again(model)
        assert (served.status, served.uses) == (ModelStatus.DEPLOYED, {deployment.deployment_id: Use.SERVED})
        assert served.deployment_config == {"environment": "staging", "replicas": 1}
        assert deployments.sagemaker.endpoints[deployment.endpoint].config == f"{deployment.endpoint}-1"

    def test_updates_in_place_and_lets_go_of_the_version_before(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        old, new = deployments.model("1"), deployments.model("2")
        first = deployments.active(old)
        second = deployments.active(new)
        assert (second.deployment_id, second.endpoint) == (first.deployment_id, first.endpoint)
        assert (second.status, second.current.number, second.current.model_id) == (
            DeploymentStatus.ACTIVE,
            2,
            new.model_id,
        )
        assert (deployments.again(old).status, deployments.again(old).uses) == (ModelStatus.READY, {})
        assert deployments.again(new).status is ModelStatus.DEPLOYED
        variants = deployments.sagemaker.configs[f"{first.endpoint}-2"]["ProductionVariants"]
        assert [variant["VariantName"] for variant in variants] == ["v2"]

    def test_fails_with_sagemakers_reason_and_leaves_nothing_running(
        self, deployments: Deployments, times: int
    ) -> None:
        deployments.times = times
        model = deployments.model()
        deployment = deployments.deploy(model)
        deployments.sagemaker.broken.add(f"{deployment.endpoint}-1")
        failed = deployments.drive(deployment)
        assert (failed.status, failed.failure_reason) == (
            DeploymentStatus.FAILED,
            "The container did not pass the ping.",
        )
        assert (deployments.again(model).status, deployments.again(model).uses) == (ModelStatus.READY, {})
        assert deployments.sagemaker.endpoints == {}

    def test_goes_on_with_the_revision_before_when_an_update_fails(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        old, new = deployments.model("1"), deployments.model("2")
        before = deployments.active(old)
        deployments.sagemaker.broken.add(f"{before.endpoint}-2")
        after = deployments.active(new)
        assert (after.status, after.active, after.current.model_id) == (
            DeploymentStatus.ACTIVE,
            before.active,
            old.model_id,
        )
        assert after.last_failure is not None
        assert (after.last_failure.revision, after.last_failure.model_id) == (2, new.model_id)
        assert (deployments.again(old).status, deployments.again(new).status) == (
            ModelStatus.DEPLOYED,
            ModelStatus.READY,
        )
        assert deployments.again(new).uses == {}

    def test_takes_an_update_back_that_does_not_predict(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        old, new = deployments.model("1"), deployments.model("2")
        before = deployments.active(old)
        deployments.runtime.answers = [ModelFailed("The model failed: no such feature")]
        after = deployments.active(new)
        assert (after.status, after.active) == (DeploymentStatus.ACTIVE, before.active)
        assert after.last_failure is not None
        assert "no such feature" in after.last_failure.reason
        assert deployments.sagemaker.endpoints[before.endpoint].config == f"{before.endpoint}-1"

    def test_is_not_settled_before_the_endpoint_serves_the_revision_before_again(
        self, deployments: Deployments, times: int
    ) -> None:
        deployments.times = times
        before = deployments.active(deployments.model("1"))
        after = deployments.deploy(deployments.model("2"))
        deployments.sagemaker.carry_out(deployments.planning.plan("acme", after.deployment_id, 2))
        deployments.sagemaker.settle(before.endpoint)
        for _ in range(times + 1):
            with pytest.raises(EndpointBusy):
                deployments.finishing.finish("acme", after.deployment_id, 2, "The model failed.")
        assert deployments.get(after).status is DeploymentStatus.DEPLOYING
        deployments.sagemaker.settle(before.endpoint)
        deployments.finishing.finish("acme", after.deployment_id, 2, "The model failed.")
        assert deployments.get(after).active == before.active

    def test_keeps_nothing_of_superseded_revisions_in_sagemaker(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        first = deployments.active(deployments.model("1"))
        deployments.sagemaker.broken.add(f"{first.endpoint}-2")
        deployments.active(deployments.model("2"))
        last = deployments.active(deployments.model("3"))
        assert list(deployments.sagemaker.configs) == [f"{first.endpoint}-3"]
        assert list(deployments.sagemaker.models) == [f"{first.endpoint}-3"]
        assert last.resources == ((3, 1),)

    def test_fails_and_deletes_a_first_endpoint_that_does_not_predict(
        self, deployments: Deployments, times: int
    ) -> None:
        deployments.times = times
        deployments.runtime.answers = [Answer(b'{"predictions": [1]}', "application/json", "v1")]
        failed = deployments.active(deployments.model())
        assert failed.status is DeploymentStatus.FAILED
        assert failed.failure_reason == "The model's input example has 2 row(s), and the answer 1 prediction(s)."
        assert deployments.sagemaker.endpoints == {}

    def test_deploys_again_after_a_failure_on_the_same_record(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        model = deployments.model()
        deployment = deployments.deploy(model)
        deployments.sagemaker.broken.add(f"{deployment.endpoint}-1")
        deployments.drive(deployment)
        again = deployments.active(model)
        assert (again.deployment_id, again.status, again.current.number) == (
            deployment.deployment_id,
            DeploymentStatus.ACTIVE,
            2,
        )
        assert again.failure_reason is None

    def test_keeps_the_model_deployed_while_its_own_next_revision_fails(
        self, deployments: Deployments, times: int
    ) -> None:
        deployments.times = times
        model = deployments.model()
        before = deployments.active(model)
        deployments.sagemaker.broken.add(f"{before.endpoint}-2")
        after = deployments.active(model, replicas=5)
        assert (after.status, after.current.config["replicas"]) == (DeploymentStatus.ACTIVE, 2)
        assert deployments.again(model).status is ModelStatus.DEPLOYED

    def test_is_failed_when_the_whole_endpoint_is_lost_in_an_update(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        old, new = deployments.model("1"), deployments.model("2")
        before = deployments.active(old)
        updating = deployments.deploy(new)
        deployments.sagemaker.endpoints[before.endpoint] = Endpoint(
            EndpointState.FAILED, "x", reason="UpdateRollbackFailed"
        )
        for _ in range(times):
            deployments.finishing.finish("acme", updating.deployment_id, 2, "UpdateRollbackFailed")
        failed = deployments.get(updating)
        assert (failed.status, failed.active) == (DeploymentStatus.FAILED, None)
        assert [deployments.again(model).status for model in (old, new)] == [ModelStatus.READY, ModelStatus.READY]
        assert not failed.answers()
