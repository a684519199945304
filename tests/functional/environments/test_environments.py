"""What an environment asks for is asked of everybody who changes what it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.request import RollbackRequest, WeightsRequest
from chalicelib.environments.guard import EnvironmentRefusal
from chalicelib.environments.request import ApprovalRequest, EnvironmentPolicyRequest
from chalicelib.errors import Conflict, Forbidden, NotFound, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.models.model import Model, ModelStatus
from chalicelib.rollouts.request import RolloutRequest
from chalicelib.rollouts.rollout import Rollout
from tests.functional.auto_deployment.conftest import Room
from tests.functional.deployments.conftest import ADMIN, DEPLOYER, STRANGER, USER, Deployments
from tests.functional.rest import Gateway

ERIC = Caller("acme", "eric", frozenset({"MODEL_DEPLOYER"}))
GATE = {"type": "error_rate", "maximum": 0.05}
POLICY = {
    "deployers": ["dora"],
    "approvals": {"required": 1, "approvers": ["alice", "root"]},
    "required_gates": ["error_rate"],
    "change_windows": [{"days": ["monday"], "start": "09:00", "end": "17:00", "time_zone": "Europe/Berlin"}],
}
# The clock of these tests begins on a Sunday, at noon.
SUNDAY = {"days": ["sunday"], "start": "09:00", "end": "17:00"}
MONDAY = {"days": ["monday"], "start": "09:00", "end": "17:00", "time_zone": "Europe/Berlin"}


@pytest.fixture
def places(room: Room) -> Deployments:
    return room.rollouts.room


def ask_for(places: Deployments, environment: str = "staging", **policy: Any) -> None:
    places.environments.set(ADMIN, environment, EnvironmentPolicyRequest.model_validate(policy))


def approve(places: Deployments, model: Model, caller: Caller, **said: Any) -> None:
    request = ApprovalRequest.model_validate({"environment": "staging", **said})
    places.environments.approve(caller, model.model_id, request)


def reweigh(places: Deployments, deployment: Deployment, *pairs: tuple[Model, float]) -> Deployment:
    split = [{"model_id": model.model_id, "weight": weight} for model, weight in pairs]
    request = WeightsRequest.model_validate({"variants": split})
    return places.service.reweigh(DEPLOYER, deployment.deployment_id, request)


def roll_out(room: Room, deployment: Deployment, model: Model, *gates: Any, caller: Caller = DEPLOYER) -> Rollout:
    plan = {"to": {"model_id": model.model_id}, "strategy": {"type": "canary"}, "gates": list(gates)}
    return room.rollouts.service.start(caller, deployment.deployment_id, RolloutRequest.model_validate(plan))


class TestDeployers:
    def test_are_the_only_ones_who_change_anything(self, room: Room, places: Deployments) -> None:
        one, two, three = (places.model(version) for version in "123")
        places.active(two)
        active = places.active(one, variants=[{"model_id": each.model_id, "weight": 1} for each in (one, two)])
        ask_for(places, deployers=["eric"])
        for change in (
            lambda: places.deploy(one),
            lambda: reweigh(places, active, (one, 1), (two, 9)),
            lambda: roll_out(room, active, three, GATE),
            lambda: places.rolling_back.roll_back(DEPLOYER, active.deployment_id, RollbackRequest()),
            lambda: places.service.undeploy(DEPLOYER, active.deployment_id),
        ):
            with pytest.raises(Forbidden, match="eric"):
                change()
        assert places.get(active) == active
        assert places.deploy(one, ERIC).status is DeploymentStatus.DEPLOYING

    def test_of_one_environment_are_not_those_of_another(self, places: Deployments) -> None:
        ask_for(places, "production", deployers=["eric"])
        places.deploy(places.model(), environment="staging")
        with pytest.raises(Forbidden):
            places.deploy(places.model("2"), environment="production")

    def test_are_no_matter_to_another_tenant(self, places: Deployments) -> None:
        ask_for(places, deployers=["eric"])
        model = places.model(tenant=STRANGER.tenant)
        places.deploy(model, STRANGER)


class TestApprovals:
    def test_of_enough_others_let_a_version_in(self, places: Deployments) -> None:
        model = places.model()
        ask_for(places, approvals={"required": 2, "approvers": ["alice", "root", "dora"]})
        with pytest.raises(EnvironmentRefusal, match="0 of the 2 approvals") as refused:
            places.deploy(model)
        assert refused.value.extra == {"environment": "staging", "rule": "approvals"}
        approve(places, model, USER)
        # Who deploys does not count, approver or not.
        approve(places, model, DEPLOYER)
        with pytest.raises(EnvironmentRefusal, match="1 of the 2 approvals that it needs; ask root"):
            places.deploy(model)
        approve(places, model, ADMIN)
        assert places.drive(places.deploy(model)).status is DeploymentStatus.ACTIVE
        assert ("alice", "approve_model", f"model/{model.model_id}") in places.log.told()

    def test_are_each_for_one_version_and_environment(self, places: Deployments) -> None:
        one, two = places.model("1"), places.model("2")
        for environment in ("staging", "production"):
            ask_for(places, environment, approvals={"approvers": ["alice"]})
        approve(places, one, USER)
        for model, environment in ((two, "staging"), (one, "production")):
            with pytest.raises(EnvironmentRefusal):
                places.deploy(model, environment=environment)
        places.deploy(one, environment="staging")

    def test_that_say_no_keep_a_version_out_until_taken_back(self, places: Deployments) -> None:
        model = places.model()
        ask_for(places, approvals={"approvers": ["alice", "root"]})
        approve(places, model, USER)
        approve(places, model, ADMIN, decision="rejected", comment="biased on small farms")
        with pytest.raises(EnvironmentRefusal, match="rejected by root: biased on small farms"):
            places.deploy(model)
        approve(places, model, ADMIN)
        places.deploy(model)

    def test_are_needed_by_whoever_brings_a_version(self, room: Room, places: Deployments) -> None:
        one, two = places.model("1"), places.model("2")
        active = places.active(one)
        ask_for(places, approvals={"approvers": ["alice"]})
        with pytest.raises(EnvironmentRefusal):
            roll_out(room, active, two, GATE)
        split = [{"model_id": each.model_id, "weight": 1} for each in (one, two)]
        with pytest.raises(EnvironmentRefusal, match="Version 2"):
            places.deploy(one, variants=split)
        # What is served already was let in before.
        places.deploy(one, replicas=4)

    def test_of_somebody_who_is_no_approver_any_more_do_not_count(self, places: Deployments) -> None:
        model = places.model()
        ask_for(places, approvals={"approvers": ["alice", "root"]})
        approve(places, model, USER)
        ask_for(places, approvals={"approvers": ["root"]})
        with pytest.raises(EnvironmentRefusal):
            places.deploy(model)

    def test_are_given_by_approvers_where_they_are_asked_for(self, places: Deployments) -> None:
        model = places.model()
        with pytest.raises(RefusedValue, match="no approvals"):
            approve(places, model, USER)
        ask_for(places, approvals={"approvers": ["root"]})
        with pytest.raises(Forbidden, match="root"):
            approve(places, model, USER)
        with pytest.raises(NotFound):
            approve(places, model, replace(STRANGER, user="root"))

    def test_of_a_deprecated_version_are_refused(self, places: Deployments) -> None:
        model = places.model()
        ask_for(places, approvals={"approvers": ["root"]})
        approve(places, model, ADMIN)
        places.models.update(model, replace(model, status=ModelStatus.DEPRECATED), places.clock())
        with pytest.raises(Conflict, match="deprecated"):
            approve(places, model, ADMIN)

    def test_go_with_the_version(self, places: Deployments) -> None:
        model = places.model()
        ask_for(places, approvals={"approvers": ["root"]})
        approve(places, model, ADMIN)
        places.models.delete(places.again(model))
        assert list(places.models.table.all_of(f"acme#{model.model_id}")) == []


class TestRequiredGates:
    def test_leave_the_first_version_and_the_same_versions_alone(self, places: Deployments) -> None:
        model = places.model()
        ask_for(places, required_gates=["error_rate"])
        active = places.active(model)
        assert places.drive(places.deploy(model, replicas=3)).revisions == active.revisions + 1

    def test_make_another_version_take_over_in_a_rollout(self, room: Room, places: Deployments) -> None:
        one, two = places.model("1"), places.model("2")
        active = places.active(one)
        ask_for(places, required_gates=["error_rate", "latency"])
        with pytest.raises(EnvironmentRefusal, match="error_rate, latency") as refused:
            places.deploy(two)
        assert refused.value.extra["rule"] == "required_gates"
        with pytest.raises(RefusedValue, match="none of type latency"):
            roll_out(room, active, two, GATE)
        rollout = roll_out(room, active, two, GATE, {"type": "latency", "maximum_ms": 200})
        with pytest.raises(EnvironmentRefusal):
            room.rollouts.service.promote(DEPLOYER, active.deployment_id, str(rollout.number))
        room.rollouts.service.abort(DEPLOYER, active.deployment_id, str(rollout.number))

    def test_are_not_passed_by_taking_down_what_serves(self, places: Deployments) -> None:
        one, two = places.model("1"), places.model("2")
        active = places.active(one)
        ask_for(places, required_gates=["error_rate"])
        places.take_down(places.service.undeploy(DEPLOYER, active.deployment_id))
        with pytest.raises(EnvironmentRefusal, match="served last"):
            places.deploy(two)
        back = places.active(one)
        places.take_down(places.service.undeploy(DEPLOYER, back.deployment_id))
        # Nor by a deployment that failed in between, nor by making sure that what served can't come back.
        failed = places.deploy(one)
        places.finishing.finish(failed.tenant, failed.deployment_id, failed.revisions, "there was no capacity")
        with pytest.raises(EnvironmentRefusal, match="served last"):
            places.deploy(two)
        last = places.again(one)
        places.models.update(last, replace(last, status=ModelStatus.DEPRECATED), places.clock())
        with pytest.raises(EnvironmentRefusal, match="served last"):
            places.deploy(two)
        # Who sets the policy may begin anew then.
        assert places.drive(places.deploy(two, ADMIN)).current.model_version == "2"

    def test_keep_weights_as_they_are(self, places: Deployments) -> None:
        one, two = places.model("1"), places.model("2")
        active = places.active(one, variants=[{"model_id": each.model_id, "weight": 1} for each in (one, two)])
        ask_for(places, required_gates=["error_rate"])
        with pytest.raises(EnvironmentRefusal):
            reweigh(places, active, (one, 1), (two, 9))

    def test_do_not_hold_up_a_rollback(self, places: Deployments) -> None:
        places.active(places.model("1"))
        active = places.active(places.model("2"))
        ask_for(places, required_gates=["error_rate"], change_windows=[MONDAY], approvals={"approvers": ["alice"]})
        back = places.rolling_back.roll_back(DEPLOYER, active.deployment_id, RollbackRequest())
        assert places.drive(back).current.model_version == "1"


class TestChangeWindows:
    def test_let_changes_through_when_they_are_open(self, places: Deployments) -> None:
        ask_for(places, change_windows=[MONDAY, SUNDAY])
        places.deploy(places.model())

    def test_say_when_the_next_one_opens(self, places: Deployments) -> None:
        active = places.active(places.model("1"))
        ask_for(places, change_windows=[MONDAY])
        changes: list[Callable[[], Any]] = [
            lambda: places.deploy(places.model("2")),
            lambda: places.service.undeploy(DEPLOYER, active.deployment_id),
        ]
        for change in changes:
            with pytest.raises(EnvironmentRefusal, match="opens at 2026-03-02T08:00") as refused:
                change()
            assert refused.value.retry_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
        assert places.get(active).status is DeploymentStatus.ACTIVE


class TestAutoDeployment:
    def test_says_what_the_environment_did_not_allow(self, room: Room, places: Deployments) -> None:
        ask_for(places, approvals={"approvers": ["root"]})
        decision = room.take(room.model())
        assert decision.deployed is False
        assert "0 of the 1 approvals" in decision.reason

    def test_is_done_for_somebody_who_may(self, room: Room, places: Deployments) -> None:
        ask_for(places, deployers=["dora"])
        assert room.take(room.model("1")).deployed is False
        room.set(conditions=[], environment="staging")
        assert room.take(room.model("2")).deployed is True


class TestScalingToZero:
    def test_is_what_development_does_with_what_asks_for_nothing_else(self, places: Deployments) -> None:
        active = places.active(places.model(), environment="development")
        assert active.current.is_serverless
        assert "replicas" not in active.current.config
        assert not places.active(places.model("2")).current.is_serverless

    @pytest.mark.parametrize(
        "asked",
        [
            {"serverless": False},
            {"replicas": 1},
            {"scaling_policy": {}},
            {"resource_limits": {"gpu_count": 1, "gpu_type": "t4"}},
            {"resource_limits": {"gpu_count": 0, "memory_gb": 8}},
            {"variants": [{"model_id": "model-churn-1", "weight": 1}, {"model_id": "model-churn-2", "weight": 1}]},
            {"shadow": {"model_id": "model-churn-2"}},
        ],
    )
    def test_is_not_what_needs_instances(self, places: Deployments, asked: dict[str, Any]) -> None:
        one, _ = places.model("1"), places.model("2")
        assert not places.active(one, environment="development", **asked).current.is_serverless

    def test_can_be_said_of_any_environment_and_unsaid(self, places: Deployments) -> None:
        one, two = places.model("1"), places.model("2")
        ask_for(places, scale_to_zero=True)
        assert places.active(one).current.is_serverless
        ask_for(places, "development", scale_to_zero=False)
        assert not places.active(one, environment="development").current.is_serverless
        # What another policy does not speak of is as at first.
        ask_for(places, deployers=["dora"])
        ask_for(places, "development", deployers=["dora"])
        assert not places.active(two).current.is_serverless
        assert places.active(two, environment="development").current.is_serverless


class TestApi:
    def test_sets_shows_and_clears(self, api: Gateway) -> None:
        path = "/v1/environments/production"
        initial = {"environment": "production", "scale_to_zero": False}
        assert api.send(USER, "GET", path).json == initial
        made = api.send(ADMIN, "PUT", path, POLICY)
        assert (made.status, made.json) == (200, api.send(USER, "GET", path).json)
        assert {**POLICY, "user_id": "root"}.items() <= made.json.items()
        listed = api.send(USER, "GET", "/v1/environments").json["environments"]
        assert [each["environment"] for each in listed] == ["development", "staging", "production"]
        assert listed[2] == made.json
        assert [api.send(ADMIN, "DELETE", path).status for _ in range(2)] == [204, 204]
        assert api.send(USER, "GET", path).json == initial

    def test_keeps_approvals_with_the_version(self, places: Deployments, api: Gateway) -> None:
        path = f"/v1/models/{places.model().model_id}/approvals"
        api.send(ADMIN, "PUT", "/v1/environments/production", POLICY)
        given = api.send(USER, "POST", path, {"environment": "production", "comment": "looked at the receipts"})
        assert given.status == 201
        assert api.send(DEPLOYER, "GET", path).json == {"approvals": [given.json]}
        assert {"user_id": "alice", "decision": "approved"}.items() <= given.json.items()
        assert api.send(STRANGER, "GET", path).status == 404

    def test_is_for_administrators(self, api: Gateway) -> None:
        for caller in (USER, DEPLOYER):
            assert api.send(caller, "PUT", "/v1/environments/production", {}).status == 403
            assert api.send(caller, "DELETE", "/v1/environments/production").status == 403
        assert api.send(ADMIN, "PUT", "/v1/environments/laptop", {}).status == 404

    @pytest.mark.parametrize(
        ("policy", "status", "field"),
        [
            ({"deployers": []}, 400, "deployers"),
            ({"approvals": {"required": 3, "approvers": ["a", "b", "a"]}}, 422, "approvals.required"),
            ({"required_gates": ["vibes"]}, 400, "required_gates.0"),
            ({"change_windows": [{**MONDAY, "days": ["someday"]}]}, 400, "change_windows.0.days.0"),
            ({"change_windows": [{**MONDAY, "time_zone": "Europe/Nowhere"}]}, 400, "change_windows.0.time_zone"),
            ({"change_windows": [{**MONDAY, "start": "9:00"}]}, 400, "change_windows.0.start"),
            ({"change_windows": [{**MONDAY, "start": "22:00", "end": "06:00"}]}, 400, "change_windows.0"),
            ({"windows": []}, 400, "windows"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, api: Gateway, policy: Any, status: int, field: str) -> None:
        answer = api.send(ADMIN, "PUT", "/v1/environments/production", policy)
        assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (status, [field])
