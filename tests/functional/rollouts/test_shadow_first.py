"""Rollouts whose first step is a shadow step: the new version is judged by copies before it answers anybody."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.invocations import Answer
from chalicelib.errors import InvalidRequest, RefusedValue
from chalicelib.models.model import Model, ModelStatus
from chalicelib.rollouts import views
from chalicelib.rollouts.rollout import Rollout, RolloutStatus
from tests.functional.deployments.conftest import DEPLOYER
from tests.functional.rollouts.conftest import Rollouts

PLAN: dict[str, Any] = {
    "steps": [
        {"shadow": True, "weight": 50.0, "duration": 300, "minimum_samples": 100},
        {"weight": 10.0, "duration": 300, "minimum_samples": 50},
        {"weight": 100.0, "duration": 60, "minimum_samples": 0},
    ],
    "gates": [{"type": "error_rate", "maximum": 0.05}],
}


@pytest.fixture
def old(rollouts: Rollouts) -> Model:
    return rollouts.room.model("1")


@pytest.fixture
def new(rollouts: Rollouts) -> Model:
    return rollouts.room.model("2")


@pytest.fixture
def active(rollouts: Rollouts, old: Model) -> Deployment:
    return rollouts.room.active(old)


@pytest.fixture
def begun(rollouts: Rollouts, active: Deployment, new: Model) -> Rollout:
    """At its shadow step."""
    return rollouts.step(rollouts.start(active, new, **PLAN))


def shadows(rollouts: Rollouts, rollout: Rollout) -> frozenset[str]:
    """As SageMaker has them."""
    found = rollouts.room.sagemaker.describe(rollouts.deployment(rollout).endpoint).shadows
    return frozenset(found)


def end(rollouts: Rollouts, rollout: Rollout) -> Rollout:
    """Turns, and what the deployment's machine does, until the rollout has ended."""
    for _ in range(8):
        if not rollouts.get(rollout).status.is_open:
            break
        rollouts.turn(rollout)
        rollouts.settle(rollout)
    return rollouts.get(rollout)


class TestTheShadowStep:
    def test_gives_the_new_version_copies_and_nobody_its_answers(
        self, rollouts: Rollouts, begun: Rollout, old: Model, new: Model
    ) -> None:
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 1}, frozenset({"v2"}))
        assert begun.passage is not None
        assert [rollouts.room.again(model).status for model in (old, new)] == [ModelStatus.DEPLOYED] * 2
        first = views.document(begun)["steps"][0]
        assert (first["shadow"], first["weight"], first["status"]) == (True, 50, "running")

    def test_that_passes_is_followed_by_requests_and_what_they_add_is_counted_by_itself(
        self, rollouts: Rollouts, begun: Rollout
    ) -> None:
        rollouts.traffic.requests = 120
        rollouts.later(301)
        live = rollouts.step(begun)
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 90, "v2": 10}, frozenset())
        assert live.passage is not None
        assert (live.step, live.passage.samples, live.passage.requests_before) == (1, 0, 120)
        rollouts.traffic.requests = 180
        rollouts.later(301)
        rollouts.step(begun)
        assert rollouts.weights(begun) == {"v1": 0, "v2": 100}
        rollouts.later(61)
        done = end(rollouts, begun)
        assert done.status is RolloutStatus.SUCCEEDED
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v2": 1}, frozenset())

    def test_that_is_breached_ends_it_before_anybody_was_answered(
        self, rollouts: Rollouts, begun: Rollout, new: Model
    ) -> None:
        rollouts.traffic.requests, rollouts.traffic.errors = 200, 100
        rollouts.later(60)
        rollouts.turn(begun)
        back = rollouts.get(begun)
        assert back.status is RolloutStatus.ROLLING_BACK
        assert "At 50 % as shadow: error rate <= 0.05 was breached" in (back.reason or "")
        # The old version has answered all the while.
        assert back.restored_at is not None
        done = end(rollouts, begun)
        assert done.status is RolloutStatus.ROLLED_BACK
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 1}, frozenset())
        assert rollouts.room.again(new).status is ModelStatus.READY
        assert rollouts.deployment(begun).rollout is None

    def test_without_traffic_waits_and_is_then_inconclusive(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.later(400)
        rollouts.turn(begun)
        assert rollouts.get(begun).status is RolloutStatus.RUNNING
        rollouts.later(3600)
        assert end(rollouts, begun).status is RolloutStatus.INCONCLUSIVE
        assert shadows(rollouts, begun) == frozenset()

    def test_can_be_aborted_by_hand(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.service.abort(DEPLOYER, begun.deployment_id, "1")
        rollouts.settle(begun)
        assert end(rollouts, begun).status is RolloutStatus.ABORTED
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 1}, frozenset())

    def test_can_be_promoted_by_hand(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.service.promote(DEPLOYER, begun.deployment_id, "1")
        rollouts.settle(begun)
        assert end(rollouts, begun).status is RolloutStatus.SUCCEEDED
        assert rollouts.weights(begun) == {"v2": 1}


class TestFailures:
    def test_a_shadow_that_does_not_come_up_fails_it(self, rollouts: Rollouts, active: Deployment, new: Model) -> None:
        rollouts.room.sagemaker.broken.add(f"{active.endpoint}-2")
        rollout = rollouts.start(active, new, **PLAN)
        done = end(rollouts, rollout)
        assert done.status is RolloutStatus.FAILED
        assert "could not be served" in (done.reason or "")
        assert rollouts.weights(rollout) == {"v1": 1}

    def test_a_version_that_does_not_predict_when_it_is_to_answer_is_taken_back(
        self, rollouts: Rollouts, begun: Rollout, new: Model
    ) -> None:
        rollouts.traffic.requests = 120
        rollouts.later(301)
        good, bad = rollouts.room.runtime.answers[0], Answer(b"{}", "application/json", "v2")
        rollouts.room.runtime.answers = [good, bad, good]
        rollouts.turn(begun)
        rollouts.settle(begun)
        done = end(rollouts, begun)
        assert done.status is RolloutStatus.FAILED
        assert "no predictions" in (done.reason or "")
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 1}, frozenset())
        assert rollouts.room.again(new).status is ModelStatus.READY

    def test_old_variants_that_do_not_come_up_alone_leave_the_shadow_and_say_so(
        self, rollouts: Rollouts, begun: Rollout
    ) -> None:
        deployment = rollouts.deployment(begun)
        rollouts.room.sagemaker.broken.add(f"{deployment.endpoint}-{deployment.revisions + 1}")
        rollouts.service.abort(DEPLOYER, begun.deployment_id, "1")
        rollouts.settle(begun)
        done = end(rollouts, begun)
        assert done.status is RolloutStatus.ABORTED
        assert "still up, as shadow" in (done.reason or "")

    def test_another_rollout_takes_its_place_and_its_shadow(self, rollouts: Rollouts, begun: Rollout) -> None:
        third = rollouts.room.model("3")
        rollout = rollouts.start(rollouts.deployment(begun), third, **PLAN)
        rollouts.step(rollout)
        assert rollouts.get(begun).status is RolloutStatus.OVERTAKEN
        assert shadows(rollouts, rollout) == {"v3"}

    def test_one_that_overtook_it_and_fails_leaves_what_was_there_before_both(
        self, rollouts: Rollouts, begun: Rollout
    ) -> None:
        deployment = rollouts.deployment(begun)
        rollouts.room.sagemaker.broken.add(f"{deployment.endpoint}-{deployment.revisions + 1}")
        rollout = rollouts.start(deployment, rollouts.room.model("3"), **PLAN)
        done = end(rollouts, rollout)
        assert (done.status, "could not be served" in (done.reason or "")) == (RolloutStatus.FAILED, True)
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 1}, frozenset())

    def test_one_that_overtook_it_and_is_aborted_at_once_does_too(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollout = rollouts.start(rollouts.deployment(begun), rollouts.room.model("3"), **PLAN)
        rollouts.service.abort(DEPLOYER, begun.deployment_id, str(rollout.number))
        rollouts.settle(rollout)
        assert end(rollouts, rollout).status is RolloutStatus.ABORTED
        assert (rollouts.weights(begun), shadows(rollouts, begun)) == ({"v1": 1}, frozenset())

    def test_aborted_before_it_touched_anything_leaves_a_shadow_that_was_deployed_by_hand(
        self, rollouts: Rollouts, old: Model, new: Model
    ) -> None:
        active = rollouts.room.active(old, shadow={"model_id": new.model_id})
        rollout = rollouts.start(active, new, **PLAN)
        rollouts.service.abort(DEPLOYER, active.deployment_id, "1")
        assert end(rollouts, rollout).status is RolloutStatus.ABORTED
        assert shadows(rollouts, rollout) == {"v2"}


class TestThePlan:
    def test_has_a_name(self, rollouts: Rollouts, active: Deployment, new: Model) -> None:
        strategy = {"type": "shadow-first", "interval": 60, "weight": 5.0, "bake": 90}
        rollout = rollouts.start(active, new, strategy=strategy)
        found = [(step.shadow, step.weight, step.seconds) for step in rollout.steps]
        assert found == [(True, 100, 60), (False, 5, 60), (False, 100, 90)]

    @pytest.mark.parametrize(
        "steps",
        [
            [{"weight": 50.0}, {"shadow": True, "weight": 100.0}],
            [{"shadow": True, "weight": 50.0}, {"shadow": True, "weight": 100.0}],
        ],
    )
    def test_has_its_shadow_step_first(
        self, rollouts: Rollouts, active: Deployment, new: Model, steps: list[dict[str, Any]]
    ) -> None:
        with pytest.raises(InvalidRequest, match=r"steps\.1\.shadow"):
            rollouts.start(active, new, steps=steps)

    def test_has_none_where_several_versions_serve(self, rollouts: Rollouts, old: Model, new: Model) -> None:
        both = [{"model_id": model.model_id, "weight": 1} for model in (old, new)]
        active = rollouts.room.active(old, variants=both)
        with pytest.raises(RefusedValue, match="begin with a shadow"):
            rollouts.start(active, rollouts.room.model("3"), **PLAN)
