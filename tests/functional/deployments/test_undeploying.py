"""Taking a deployment down."""

from __future__ import annotations

import pytest

from chalicelib.deployments.deployment import DeploymentStatus
from chalicelib.deployments.gateways import Endpoint, EndpointState
from chalicelib.deployments.planning import EndpointBusy
from chalicelib.errors import Conflict, Forbidden, ModelFailed, NotFound
from chalicelib.models.model import ModelStatus
from tests.functional.deployments.conftest import ADMIN, DEPLOYER, STRANGER, USER, Deployments


class TestUndeploy:
    @pytest.mark.parametrize("times", [1, 3])
    def test_ends_terminated_with_the_model_ready_and_nothing_left(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        deployments.active(deployments.model("1"))
        model = deployments.model("2")
        active = deployments.active(model)
        going = deployments.service.undeploy(DEPLOYER, active.deployment_id)
        assert (going.status, going.answers()) == (DeploymentStatus.INACTIVE, False)
        assert list(deployments.undeploy_machine.started) == [f"{active.deployment_id}-undeploy-1"]
        gone = deployments.take_down(going)
        assert gone.status is DeploymentStatus.TERMINATED
        assert (deployments.again(model).status, deployments.again(model).uses) == (ModelStatus.READY, {})
        left = (deployments.sagemaker.endpoints, deployments.sagemaker.configs, deployments.sagemaker.models)
        assert left == ({}, {}, {})
        assert deployments.service.undeploy(DEPLOYER, active.deployment_id) == gone

    def test_repeats_a_start_that_was_lost_under_the_same_name(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model())
        deployments.undeploy_machine.lost = 1
        with pytest.raises(ConnectionError):
            deployments.service.undeploy(ADMIN, active.deployment_id)
        deployments.service.undeploy(ADMIN, active.deployment_id)
        assert list(deployments.undeploy_machine.started) == [f"{active.deployment_id}-undeploy-1"]

    def test_stays_inactive_when_the_endpoint_can_not_be_deleted_and_tries_again_when_asked(
        self, deployments: Deployments
    ) -> None:
        active = deployments.active(deployments.model())
        going = deployments.service.undeploy(DEPLOYER, active.deployment_id)
        stuck = deployments.take_down(going, delete=False)
        assert stuck.status is DeploymentStatus.INACTIVE
        assert stuck.last_failure is not None
        assert "Rate exceeded" in stuck.last_failure.reason
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        assert list(deployments.undeploy_machine.started)[-1] == f"{active.deployment_id}-undeploy-2"
        assert deployments.take_down(stuck).status is DeploymentStatus.TERMINATED

    def test_takes_a_failed_deployment_down_too(self, deployments: Deployments) -> None:
        deployments.runtime.answers = [ModelFailed("no")]
        failed = deployments.active(deployments.model())
        going = deployments.service.undeploy(DEPLOYER, failed.deployment_id)
        assert deployments.take_down(going).status is DeploymentStatus.TERMINATED

    def test_waits_for_a_revision_that_is_on_its_way(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        with pytest.raises(Conflict, match="being deployed"):
            deployments.service.undeploy(DEPLOYER, deployment.deployment_id)

    def test_is_not_finished_while_the_endpoint_is_going(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model())
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        deployments.sagemaker.endpoints[active.endpoint] = Endpoint(EndpointState.DELETING)
        with pytest.raises(EndpointBusy):
            deployments.finishing.finish_undeploy("acme", active.deployment_id, None)

    def test_needs_the_permission_and_the_tenant(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model())
        with pytest.raises(Forbidden):
            deployments.service.undeploy(USER, active.deployment_id)
        with pytest.raises(NotFound):
            deployments.service.undeploy(STRANGER, active.deployment_id)

    def test_refuses_to_deploy_into_a_place_that_is_being_given_up(self, deployments: Deployments) -> None:
        model = deployments.model()
        active = deployments.active(model)
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        with pytest.raises(Conflict, match="being taken down"):
            deployments.deploy(model)

    def test_a_place_that_was_given_up_is_taken_by_a_new_deployment_that_counts_on(
        self, deployments: Deployments
    ) -> None:
        model = deployments.model()
        active = deployments.active(model)
        deployments.take_down(deployments.service.undeploy(DEPLOYER, active.deployment_id))
        again = deployments.active(model)
        assert again.deployment_id != active.deployment_id
        assert (again.endpoint, again.current.number, again.status) == (active.endpoint, 2, DeploymentStatus.ACTIVE)
        assert deployments.planning.plan_undeploy("acme", again.deployment_id) == {"next": "finish"}
