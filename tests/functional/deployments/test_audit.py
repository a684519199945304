"""What deploying and undeploying leave in the audit log."""

from __future__ import annotations

import pytest

from chalicelib.errors import Conflict
from tests.functional.deployments.conftest import DEPLOYER, Deployments


class TestDeployment:
    def test_says_which_model_where(self, deployments: Deployments) -> None:
        model = deployments.model()
        deployment = deployments.deploy(model)
        (row,) = deployments.log.entries()
        assert (row["action"], row["subject"]) == ("deploy_model", f"deployment/{deployment.deployment_id}")
        assert row["details"] == {"model": model.model_id, "revision": "1", "environment": "staging"}

    def test_asked_for_again_while_on_its_way_is_said_once(self, deployments: Deployments) -> None:
        model = deployments.model()
        assert deployments.deploy(model) == deployments.deploy(model)
        assert len(deployments.log.entries()) == 1

    def test_of_another_version_is_said_again(self, deployments: Deployments) -> None:
        first = deployments.active(deployments.model("1"))
        second = deployments.active(deployments.model("2"))
        assert first.deployment_id == second.deployment_id
        assert [row["details"]["revision"] for row in deployments.log.entries()] == ["1", "2"]

    def test_that_was_refused_is_left_to_the_protocol(self, deployments: Deployments) -> None:
        deployments.deploy(deployments.model("1"))
        with pytest.raises(Conflict):
            deployments.deploy(deployments.model("2"))
        assert len(deployments.log.entries()) == 1


class TestUndeployment:
    def test_is_said_once(self, deployments: Deployments) -> None:
        deployment = deployments.active(deployments.model())
        for _ in range(2):
            deployments.service.undeploy(DEPLOYER, deployment.deployment_id)
        assert deployments.log.told()[1:] == [
            (DEPLOYER.user, "delete_deployment", f"deployment/{deployment.deployment_id}")
        ]
