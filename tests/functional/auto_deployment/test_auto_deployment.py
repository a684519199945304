"""Which models are deployed by themselves, where to, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.auto_deployment.deploying import PlaceBusy
from chalicelib.deployments.deployment import Deployment
from chalicelib.errors import Forbidden, InvalidRequest, NotFound, RefusedValue
from tests.functional.auto_deployment.conftest import GOOD, Room
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER


def there(room: Room, environment: str = "staging") -> Deployment | None:
    return room.rollouts.room.store.at("acme", "churn", environment)


class TestWithoutAPolicy:
    def test_a_model_above_the_three_bounds_goes_to_staging(self, room: Room) -> None:
        model = room.model()
        decision = room.take(model)
        deployment = there(room)
        assert deployment is not None
        assert (decision.deployed, decision.deployment_id) == (True, deployment.deployment_id)
        assert (deployment.target.model_id, deployment.target.config["replicas"]) == (model.model_id, 1)
        assert deployment.user == "alice"
        assert list(room.rollouts.room.deploy_machine.started) == [f"{deployment.deployment_id}-1"]

    @pytest.mark.parametrize(
        ("metrics", "said"),
        [
            ({**GOOD, "recall": 0.8}, "its recall is 0.8, not above 0.8"),
            ({**GOOD, "accuracy": float("nan")}, "it has no accuracy"),
            ({"accuracy": 0.9}, "it has no precision, and it has no recall"),
            ({}, "it has no accuracy, and it has no precision, and it has no recall"),
        ],
    )
    def test_another_one_stays_and_its_record_says_why(self, room: Room, metrics: Any, said: str) -> None:
        decision = room.take(room.model(metrics=metrics))
        assert (decision.deployed, said in decision.reason, there(room)) == (False, True, None)

    def test_one_that_can_not_be_served_stays(self, room: Room) -> None:
        decision = room.take(room.model(servable=False, servable_reason="It has no inference code."))
        assert "no inference code" in decision.reason


class TestAPolicy:
    def test_of_a_name_counts_before_that_of_all_names(self, room: Room) -> None:
        room.set(enabled=False)
        room.set("churn", conditions=[{"metric": "auc", "above": 0.7}], environment="production", replicas=3)
        model = room.model(metrics={"auc": 0.71})
        assert room.take(model).policy == "churn"
        deployment = there(room, "production")
        assert deployment is not None
        assert (deployment.user, deployment.target.config["replicas"]) == ("dora", 3)
        assert not room.take(room.model("2", name="fraud")).deployed

    def test_for_development_has_no_instances_while_nobody_asks_unless_it_asks_for_them(self, room: Room) -> None:
        room.set("churn", conditions=[], environment="development")
        room.take(room.model())
        idle = there(room, "development")
        assert idle is not None
        assert idle.target.is_serverless
        for name, asked in (
            ("fraud", {"replicas": 2}),
            ("scores", {"rollout": {"strategy": {"type": "canary"}}}),
            ("names", {"scaling_policy": {"min_replicas": 2}}),
        ):
            room.set(name, conditions=[], environment="development", **asked)
            room.take(room.model(name=name))
            deployment = room.rollouts.room.store.at("acme", name, "development")
            assert deployment is not None
            assert not deployment.target.is_serverless, name

    def test_may_bound_from_above(self, room: Room) -> None:
        room.set(conditions=[{"metric": "loss", "below": 0.1}])
        assert not room.take(room.model("1", metrics={"loss": 0.1})).deployed
        assert room.take(room.model("2", metrics={"loss": 0.09})).deployed

    def test_is_set_listed_and_removed(self, room: Room) -> None:
        assert room.policies.get(DEPLOYER, "*").updated_at is None
        policy = room.set("churn", conditions=[])
        assert room.policies.get(DEPLOYER, "churn") == policy
        room.set("anything else", enabled=False)
        page = room.policies.search(DEPLOYER, 1, 0, None)
        assert [each.name for each in page.policies] == ["anything else"]
        assert page.cursor is not None
        rest = room.policies.search(DEPLOYER, 5, 0, page.cursor.encode())
        assert [each.name for each in rest.policies] == ["churn"]
        room.policies.remove(DEPLOYER, "churn")
        with pytest.raises(NotFound):
            room.policies.get(DEPLOYER, "churn")
        with pytest.raises(NotFound):
            room.policies.remove(DEPLOYER, "churn")

    def test_is_a_deployers_to_set_and_its_tenants(self, room: Room) -> None:
        with pytest.raises(Forbidden):
            room.set("churn", USER)
        room.set("churn", STRANGER, enabled=False)
        with pytest.raises(NotFound):
            room.policies.get(DEPLOYER, "churn")
        assert room.take(room.model()).deployed

    @pytest.mark.parametrize(
        "policy",
        [
            {"replicas": 5, "scaling_policy": {"max_replicas": 3}},
            {"rollout": {"steps": [{"weight": 50.0}, {"weight": 10.0}]}},
            {"rollout": {"gates": [{"type": "alarm", "alarm": "theirs"}]}},
        ],
    )
    def test_that_can_not_be_carried_out_is_refused_when_it_is_set(self, room: Room, policy: Any) -> None:
        with pytest.raises((InvalidRequest, RefusedValue)):
            room.set(**policy)


class TestAPlaceThatIsTaken:
    def test_is_updated_at_once_without_a_plan(self, room: Room) -> None:
        room.rollouts.room.active(room.model("1"))
        second = room.model("2")
        assert room.take(second).deployed
        deployment = there(room)
        assert deployment is not None
        assert (deployment.target.number, deployment.target.model_id) == (2, second.model_id)

    def test_is_rolled_on_by_the_policys_plan(self, room: Room) -> None:
        room.set(conditions=[], rollout={"strategy": {"type": "canary", "weight": 5.0}, "gates": []})
        active = room.rollouts.room.active(room.model("1"))
        second = room.model("2")
        assert room.take(second).deployment_id == active.deployment_id
        rollout = room.rollouts.store.get("acme", active.deployment_id, 1)
        assert rollout is not None
        assert (rollout.candidate.model_id, rollout.steps[0].weight) == (second.model_id, 5)

    def test_that_is_busy_is_tried_again(self, room: Room) -> None:
        busy = room.rollouts.room.deploy(room.model("1"))
        second = room.model("2")
        with pytest.raises(PlaceBusy, match="busy with revision 1"):
            room.take(second)
        assert room.rollouts.room.again(second).auto_deployment is None
        room.rollouts.room.drive(busy)
        assert room.take(second).deployed

    def test_by_a_newer_version_is_left_alone(self, room: Room) -> None:
        first = room.model("1")
        room.rollouts.room.active(room.model("2"))
        decision = room.take(first)
        assert (decision.deployed, "Version 2, which is newer" in decision.reason) == (False, True)


class TestRepetition:
    def test_deploys_once_and_says_the_same(self, room: Room) -> None:
        model = room.model()
        first = room.take(model)
        assert room.take(model) == first
        deployment = there(room)
        assert deployment is not None
        assert deployment.revisions == 1

    def test_goes_on_where_the_call_was_lost(self, room: Room) -> None:
        room.rollouts.room.deploy_machine.lost = 1
        model = room.model()
        with pytest.raises(ConnectionError):
            room.take(model)
        decision = room.take(model)
        deployment = there(room)
        assert deployment is not None
        assert (decision.deployment_id, deployment.revisions) == (deployment.deployment_id, 1)

    def test_a_model_that_becomes_ready_again_is_not_deployed_again(self, room: Room) -> None:
        first = room.model("1")
        room.take(first)
        deployment = there(room)
        assert deployment is not None
        room.rollouts.room.drive(deployment)
        second = room.model("2")
        room.take(second)
        deployment = there(room)
        assert deployment is not None
        room.rollouts.room.drive(deployment)
        # It is ready once more, and its event comes once more.
        room.take(first)
        served = there(room)
        assert served is not None
        assert served.current.model_id == second.model_id

    def test_a_model_that_is_gone_is_nobodys(self, room: Room) -> None:
        assert room.deploying.take("acme", "gone") is None
