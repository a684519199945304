"""What a deployment has served is kept, and can serve again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.request import RollbackRequest, WeightsRequest
from chalicelib.deployments.routes import rooms
from chalicelib.errors import Conflict, Forbidden, NotFound, RefusedValue
from chalicelib.models.model import ModelStatus
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER, Deployments
from tests.functional.rest import Gateway


@pytest.fixture
def api(deployments: Deployments) -> Gateway:
    platform: Any = SimpleNamespace(rolling_back=deployments.rolling_back)
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))


def roll_back(deployments: Deployments, deployment: Deployment, revision: int | None = None) -> Deployment:
    request = RollbackRequest(revision=revision)
    return deployments.rolling_back.roll_back(DEPLOYER, deployment.deployment_id, request)


def reweigh(deployments: Deployments, deployment: Deployment, **weights: float) -> Deployment:
    split = [{"model_id": f"model-churn-{version[1:]}", "weight": weight} for version, weight in weights.items()]
    request = WeightsRequest.model_validate({"variants": split})
    return deployments.drive(deployments.service.reweigh(DEPLOYER, deployment.deployment_id, request))


def told(deployments: Deployments, deployment: Deployment) -> list[tuple[int, str, str]]:
    page = deployments.rolling_back.revisions(USER, deployment.deployment_id, 10, 0, None)
    return [(each.revision.number, each.revision.model_version, each.outcome.value) for each in page.revisions]


def fail_next(deployments: Deployments) -> Deployment:
    """A third version comes up and does not predict."""
    good = deployments.runtime.answers[0]
    deployments.runtime.answers = [Answer(b"{}", "application/json", "v3")]
    kept = deployments.active(deployments.model("3"))
    deployments.runtime.answers = [good]
    return kept


class TestHistory:
    @pytest.mark.parametrize("times", [1, 2])
    def test_has_each_revision_once_with_its_outcome(self, deployments: Deployments, times: int) -> None:
        deployments.times = times
        for version in "12":
            deployments.active(deployments.model(version))
        kept = fail_next(deployments)
        assert told(deployments, kept) == [(3, "3", "failed"), (2, "2", "active"), (1, "1", "active")]
        (failed, *_) = deployments.rolling_back.revisions(USER, kept.deployment_id, 1, 0, None).revisions
        assert (failed.user, failed.reason) == ("dora", kept.last_failure and kept.last_failure.reason)

    def test_of_a_first_revision_that_failed_says_why(self, deployments: Deployments) -> None:
        deployments.runtime.answers = [Answer(b"{}", "application/json", "v1")]
        failed = deployments.active(deployments.model())
        assert failed.status is DeploymentStatus.FAILED
        (past,) = deployments.rolling_back.revisions(USER, failed.deployment_id, 10, 0, None).revisions
        assert past.reason == failed.failure_reason

    def test_is_a_list_with_pages(self, deployments: Deployments, api: Gateway) -> None:
        for version in "123":
            active = deployments.active(deployments.model(version))
        path = f"/v1/deployments/{active.deployment_id}/revisions"
        first = api.send(USER, "GET", f"{path}?limit=2").json
        rest = api.send(USER, "GET", f"{path}?limit=2&cursor={first['next_cursor']}").json
        assert [each["revision"] for each in first["revisions"] + rest["revisions"]] == [3, 2, 1]
        assert rest["revisions"][0]["config"] == {"environment": "staging", "replicas": 2}
        assert rest["revisions"][0]["variants"][0]["percentage"] == 100

    def test_is_nobody_elses(self, deployments: Deployments, api: Gateway) -> None:
        active = deployments.active(deployments.model())
        for method, path in (("GET", "revisions"), ("POST", "rollback")):
            assert api.send(STRANGER, method, f"/v1/deployments/{active.deployment_id}/{path}").status == 404


class TestRollingBack:
    @pytest.mark.parametrize("times", [1, 2])
    def test_brings_back_what_was_there_before(self, deployments: Deployments, times: int) -> None:
        one, two = deployments.model("1"), deployments.model("2")
        deployments.active(one, replicas=3)
        active = deployments.active(two)
        deployments.times = times
        back = deployments.drive(roll_back(deployments, active))
        assert back.status is DeploymentStatus.ACTIVE
        assert back.active is not None
        assert (back.active.number, back.active.model_id, back.active.config["replicas"]) == (3, one.model_id, 3)
        assert [deployments.again(model).status for model in (one, two)] == [ModelStatus.DEPLOYED, ModelStatus.READY]
        assert ("dora", "roll_back_deployment", f"deployment/{active.deployment_id}") in deployments.log.told()
        assert told(deployments, back)[0] == (3, "1", "active")

    def test_can_be_rolled_back(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"))
        active = deployments.active(deployments.model("2"))
        back = deployments.drive(roll_back(deployments, active))
        assert deployments.drive(roll_back(deployments, back)).current.model_version == "2"

    def test_passes_over_the_steps_of_a_rollout_and_over_what_failed(self, deployments: Deployments) -> None:
        one, two = deployments.model("1"), deployments.model("2")
        deployments.active(one)
        split = [{"model_id": one.model_id, "weight": 95}, {"model_id": two.model_id, "weight": 5}]
        active = deployments.active(one, variants=split)
        active = reweigh(deployments, active, v1=40, v2=60)
        fail_next(deployments)
        back = deployments.drive(roll_back(deployments, active))
        assert [(each.model_version, each.weight) for each in back.current.variants] == [("1", 1.0)]

    def test_to_other_weights_builds_nothing(self, deployments: Deployments) -> None:
        one, two = deployments.model("1"), deployments.model("2")
        split = [{"model_id": one.model_id, "weight": 95}, {"model_id": two.model_id, "weight": 5}]
        active = deployments.active(one, variants=split)
        active = reweigh(deployments, active, v1=40, v2=60)
        configs = dict(deployments.sagemaker.configs)
        back = deployments.drive(roll_back(deployments, active, 1))
        assert (back.revisions, back.current.base, back.current.weights) == (3, 1, {"v1": 95, "v2": 5})
        assert deployments.sagemaker.configs == configs

    def test_of_what_has_failed_brings_back_what_served_last(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model("1"))
        lost = deployments.finishing.lose(active, "The endpoint was deleted from outside.")
        deployments.sagemaker.delete(lost.endpoint)
        assert deployments.drive(roll_back(deployments, lost)).status is DeploymentStatus.ACTIVE

    def test_that_does_not_predict_any_more_changes_nothing(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"))
        active = deployments.active(deployments.model("2"))
        good, bad = deployments.runtime.answers[0], Answer(b"{}", "application/json", "v1")
        deployments.runtime.answers = [bad, good]
        kept = deployments.drive(roll_back(deployments, active))
        assert kept.current.model_version == "2"
        assert kept.last_failure is not None

    def test_asked_for_twice_is_one_revision(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"))
        active = deployments.active(deployments.model("2"))
        begun = roll_back(deployments, active)
        again = roll_back(deployments, active)
        assert (begun.target, again.record_version) == (again.target, begun.record_version)
        assert len(deployments.log.told()) == 3

    def test_to_what_serves_already_changes_nothing(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model("1"))
        assert roll_back(deployments, active, 1) == active


class TestRefusals:
    def test_of_a_revision_that_never_answered_name_the_field(self, deployments: Deployments, api: Gateway) -> None:
        deployments.active(deployments.model("1"))
        kept = fail_next(deployments)
        path = f"/v1/deployments/{kept.deployment_id}/rollback"
        for revision, said in ((2, "never answered"), (7, "has not settled")):
            with pytest.raises(RefusedValue, match=said):
                roll_back(deployments, kept, revision)
            answer = api.send(DEPLOYER, "POST", path, {"revision": revision})
            assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, ["revision"])
        assert api.send(DEPLOYER, "POST", path, {"revision": 0}).status == 400

    def test_where_nothing_served_before(self, deployments: Deployments) -> None:
        with pytest.raises(Conflict, match="without version 1"):
            roll_back(deployments, deployments.active(deployments.model("1")))

    def test_of_a_version_that_has_been_deprecated(self, deployments: Deployments) -> None:
        one = deployments.model("1")
        deployments.active(one)
        active = deployments.active(deployments.model("2"))
        free = deployments.again(one)
        gone = replace(free, status=ModelStatus.DEPRECATED)
        deployments.models.table.write(deployments.models.change(free, gone, deployments.clock()))
        with pytest.raises(Conflict, match="deprecated"):
            roll_back(deployments, active)

    def test_while_another_revision_is_on_its_way(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"))
        active = deployments.active(deployments.model("2"))
        deployments.deploy(deployments.model("3"))
        with pytest.raises(Conflict, match="busy with revision 3"):
            roll_back(deployments, active)

    def test_of_what_is_being_taken_down(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model("1"))
        deployments.service.undeploy(DEPLOYER, active.deployment_id)
        with pytest.raises(Conflict, match="inactive"):
            roll_back(deployments, active, 1)

    def test_without_the_permission_or_in_another_tenant(self, deployments: Deployments) -> None:
        active = deployments.active(deployments.model("1"))
        for caller, error in ((USER, Forbidden), (STRANGER, NotFound)):
            with pytest.raises(error):
                deployments.rolling_back.roll_back(caller, active.deployment_id, RollbackRequest())
