"""Rollouts from the first step to every end, each turn taken as the machine takes it."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.gateways import EndpointState
from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.request import WeightsRequest
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound, RefusedValue
from chalicelib.models.model import Model, ModelStatus
from chalicelib.rollouts.driving import TURNS
from chalicelib.rollouts.rollout import Rollout, RolloutStatus
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER
from tests.functional.rollouts.conftest import Rollouts

PLAN: dict[str, Any] = {
    "steps": [
        {"weight": 10.0, "duration": "PT5M", "minimum_samples": 100},
        {"weight": 50.0, "duration": 600, "minimum_samples": 100},
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
    """At its first step."""
    return rollouts.step(rollouts.start(active, new, **PLAN))


class TestStarting:
    def test_records_the_plan_and_starts_the_machine(self, rollouts: Rollouts, active: Deployment, new: Model) -> None:
        rollout = rollouts.start(active, new, **PLAN)
        assert rollouts.get(rollout) == rollout
        assert [(step.weight, step.seconds) for step in rollout.steps] == [(10, 300), (50, 600), (100, 60)]
        name, document = f"{active.deployment_id}-rollout-1-1", {"deployment_id": active.deployment_id, "rollout": 1}
        assert rollouts.machine.started == {name: {"tenant": "acme", **document}}
        assert rollouts.deployment(rollout).rollout == 1

    def test_asked_for_again_is_the_same_one_and_its_machine_is_started(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        rollouts.machine.lost = 1
        with pytest.raises(ConnectionError):
            rollouts.start(active, new, **PLAN)
        again = rollouts.start(active, new, **PLAN)
        assert again.number == 1
        assert list(rollouts.machine.started) == [f"{active.deployment_id}-rollout-1-1"]

    @pytest.mark.parametrize(
        ("strategy", "steps"),
        [
            ({"type": "all-at-once"}, [(100, 0)]),
            ({"type": "blue-green", "bake": "PT1H"}, [(100, 3600)]),
            ({"type": "canary", "weight": 5.0, "interval": 60, "bake": 90}, [(5, 60), (100, 90)]),
            ({"type": "linear", "increment": 40.0, "interval": 60, "bake": 0}, [(40, 60), (80, 60), (100, 0)]),
            (None, [(10, 600), (100, 600)]),
        ],
    )
    def test_a_strategy_stands_for_steps(
        self, rollouts: Rollouts, active: Deployment, new: Model, strategy: Any, steps: list[Any]
    ) -> None:
        rollout = rollouts.start(active, new, **({"strategy": strategy} if strategy else {}))
        assert [(step.weight, step.seconds) for step in rollout.steps] == steps

    @pytest.mark.parametrize(
        ("plan", "field"),
        [
            ({"steps": [{"weight": 50.0}, {"weight": 20.0}]}, "steps.1.weight"),
            ({"steps": [{"weight": 50.0, "duration": 500_000}] * 1 + [{"weight": 60.0, "duration": 500_000}]}, "steps"),
            ({"evaluation_seconds": 1, "patience": 30_000}, "evaluation_seconds"),
            ({"steps": [{"weight": 50.0}], "strategy": {"type": "canary"}}, "strategy"),
            ({"gates": [{"type": "metric", "metric": "orders"}]}, "gates.0"),
            ({"gates": [{"type": "alarm", "alarm": "umbrella-cpu"}]}, "gates.0.alarm"),
        ],
    )
    def test_a_plan_that_makes_no_sense_is_refused_by_field(
        self, rollouts: Rollouts, active: Deployment, new: Model, plan: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            rollouts.start(active, new, **plan)
        assert [problem.field for problem in refusal.value.problems] == [field]

    @pytest.mark.parametrize(
        ("gate", "field"),
        [
            ({"type": "alarm", "alarm": "acme-chekcout"}, "gates.1.alarm"),
            ({"type": "experiment", "experiment_id": "nobodys"}, "gates.1.experiment_id"),
        ],
    )
    def test_a_gate_that_watches_what_is_not_there_is_refused_by_field(
        self, rollouts: Rollouts, active: Deployment, new: Model, gate: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(RefusedValue) as refusal:
            rollouts.start(active, new, gates=[{"type": "error_rate", "maximum": 0.05}, gate])
        assert [problem.field for problem in refusal.value.problems] == [field]
        assert rollouts.machine.started == {}

    def test_needs_a_version_of_the_same_model(self, rollouts: Rollouts, active: Deployment) -> None:
        with pytest.raises(RefusedValue, match=r"to\.model_id"):
            rollouts.start(active, rollouts.room.model("1", name="fraud"))
        with pytest.raises(RefusedValue, match=r"to\.model_id"):
            rollouts.start(active, rollouts.room.model("9", tenant="umbrella", model_id="theirs"))

    def test_needs_one_that_is_not_served_yet_and_can_be(
        self, rollouts: Rollouts, active: Deployment, old: Model
    ) -> None:
        with pytest.raises(Conflict, match="serves version 1 already"):
            rollouts.start(active, old)
        with pytest.raises(Conflict, match="can't be served"):
            rollouts.start(active, rollouts.room.model("2", servable=False, servable_reason="No."))

    def test_needs_an_active_deployment_and_the_permission(
        self, rollouts: Rollouts, active: Deployment, old: Model, new: Model
    ) -> None:
        with pytest.raises(Forbidden):
            rollouts.start(active, new, USER)
        with pytest.raises(NotFound):
            rollouts.start(active, new, STRANGER)
        deploying = rollouts.room.deploy(old, replicas=3)
        with pytest.raises(Conflict, match="busy with revision 2"):
            rollouts.start(deploying, new)


class TestAStep:
    def test_brings_the_new_version_up_beside_the_old_one(
        self, rollouts: Rollouts, begun: Rollout, old: Model, new: Model
    ) -> None:
        assert rollouts.weights(begun) == {"v1": 90, "v2": 10}
        assert begun.passage is not None
        assert [rollouts.room.again(model).status for model in (old, new)] == [ModelStatus.DEPLOYED] * 2

    def test_ends_when_its_time_and_its_requests_are_there(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.traffic.requests = 150
        assert rollouts.turn(begun) == 60
        assert rollouts.get(begun).step == 0
        rollouts.later(300)
        rollouts.turn(begun)
        rollouts.settle(begun)
        assert rollouts.weights(begun) == {"v1": 50, "v2": 50}
        second = rollouts.step(begun)
        assert second.step == 1
        assert second.passages[0].samples == 150

    def test_counts_its_own_requests_only(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.traffic.requests = 150
        rollouts.later(300)
        rollouts.step(begun)
        rollouts.later(600)
        rollouts.turn(begun)
        waiting = rollouts.get(begun)
        assert (waiting.step, waiting.passages[1].samples) == (1, 0)

    def test_without_requests_waits_and_is_inconclusive_in_the_end(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.later(300)
        assert rollouts.turn(begun) == 60
        assert rollouts.get(begun).status is RolloutStatus.RUNNING
        rollouts.later(3600)
        rollouts.turn(begun)
        back = rollouts.get(begun)
        assert (back.status, back.ending) == (RolloutStatus.ROLLING_BACK, RolloutStatus.INCONCLUSIVE)
        assert "0 of 100 requests have come" in (back.reason or "")
        assert ended(rollouts, begun).status is RolloutStatus.INCONCLUSIVE

    def test_whose_gate_can_not_be_judged_is_inconclusive_too(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        gates = [{"type": "alarm", "alarm": "acme-checkout"}]
        rollouts.traffic.states["acme-checkout"] = "INSUFFICIENT_DATA"
        begun = rollouts.step(rollouts.start(active, new, **{**PLAN, "gates": gates}))
        rollouts.traffic.requests = 500
        rollouts.later(300 + 3600)
        rollouts.turn(begun)
        assert rollouts.get(begun).ending is RolloutStatus.INCONCLUSIVE
        assert "acme-checkout has too little data" in (rollouts.get(begun).reason or "")

    def test_whose_alarm_is_taken_away_is_inconclusive_too(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        gates = [{"type": "alarm", "alarm": "acme-checkout"}]
        rollouts.traffic.states["acme-checkout"] = "OK"
        begun = rollouts.step(rollouts.start(active, new, **{**PLAN, "gates": gates}))
        rollouts.traffic.states.clear()
        rollouts.traffic.requests = 500
        rollouts.later(300 + 3600)
        rollouts.turn(begun)
        assert "no alarm acme-checkout" in (rollouts.get(begun).reason or "")

    def test_after_the_last_one_the_new_version_is_alone(
        self, rollouts: Rollouts, begun: Rollout, old: Model, new: Model
    ) -> None:
        done = passed(rollouts, begun)
        assert (done.status, done.reason) == (RolloutStatus.SUCCEEDED, "Every step passed.")
        assert rollouts.weights(begun) == {"v2": 1}
        deployment = rollouts.deployment(begun)
        assert (deployment.rollout, deployment.current.model_id) == (None, new.model_id)
        assert [rollouts.room.again(model).status for model in (old, new)] == [ModelStatus.READY, ModelStatus.DEPLOYED]
        assert len(rollouts.room.sagemaker.configs) == 1


class TestABreachedGate:
    def test_brings_the_old_weights_back_at_once_and_then_the_old_version_alone(
        self, rollouts: Rollouts, begun: Rollout, old: Model, new: Model
    ) -> None:
        rollouts.traffic.requests, rollouts.traffic.errors = 40, 20
        rollouts.turn(begun)
        rollouts.settle(begun)
        assert rollouts.weights(begun) == {"v1": 100, "v2": 0}
        assert rollouts.get(begun).restored_at is None
        done = ended(rollouts, begun)
        assert done.status is RolloutStatus.ROLLED_BACK
        assert done.reason == (
            "At 10 %: error rate <= 0.05 was breached. 20 of 40 requests (50.00%) failed; 0.05 of them may, and that is "
            "surely more."
        )
        assert done.breached_at is not None
        assert done.restored_at is not None
        assert done.breached_at < done.restored_at
        assert rollouts.weights(begun) == {"v1": 1}
        assert [rollouts.room.again(model).status for model in (old, new)] == [ModelStatus.DEPLOYED, ModelStatus.READY]
        assert rollouts.deployment(begun).rollout is None

    def test_while_it_is_paused_too(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.service.pause(DEPLOYER, begun.deployment_id, "1")
        rollouts.traffic.requests, rollouts.traffic.errors = 40, 20
        rollouts.turn(begun)
        assert rollouts.get(begun).status is RolloutStatus.ROLLING_BACK

    def test_goes_back_again_when_sagemaker_does_not_take_the_weights(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.traffic.requests, rollouts.traffic.errors = 40, 20
        rollouts.turn(begun)
        deployment = rollouts.deployment(begun)
        number = deployment.target.number
        rollouts.room.finishing.finish("acme", begun.deployment_id, number, "SageMaker: internal error")
        assert rollouts.weights(begun) == {"v1": 90, "v2": 10}
        done = ended(rollouts, begun)
        assert done.status is RolloutStatus.ROLLED_BACK
        assert rollouts.weights(begun) == {"v1": 1}


class TestAVersionThatCanNotBeServed:
    def test_fails_with_the_reason_and_the_old_one_goes_on(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        rollout = rollouts.start(active, new, **PLAN)
        rollouts.turn(rollout)
        rollouts.room.sagemaker.broken.add(f"{active.endpoint}-2")
        rollouts.settle(rollout)
        rollouts.turn(rollout)
        done = rollouts.get(rollout)
        assert done.status is RolloutStatus.FAILED
        assert "could not be served" in (done.reason or "")
        assert rollouts.weights(rollout) == {"v1": 1}

    def test_that_does_not_predict_fails_with_its_own_words(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        good = rollouts.room.runtime.answers[0]
        rollouts.room.runtime.answers = [good, Answer(b"{}", "application/json", "v2")]
        rollout = rollouts.start(active, new, **PLAN)
        rollouts.turn(rollout)
        rollouts.settle(rollout)
        rollouts.turn(rollout)
        assert "no predictions" in (rollouts.get(rollout).reason or "")
        assert rollouts.weights(rollout) == {"v1": 1}

    def test_that_was_deprecated_before_its_turn_fails(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        rollout = rollouts.start(active, new, **PLAN)
        gone = new.become(ModelStatus.DEPRECATED)
        rollouts.room.models.update(new, gone, rollouts.room.clock())
        rollouts.turn(rollout)
        done = rollouts.get(rollout)
        assert (done.status, rollouts.deployment(rollout).rollout) == (RolloutStatus.FAILED, None)
        assert "deprecated" in (done.reason or "")


class TestByHand:
    def test_a_paused_one_goes_no_further_until_it_is_resumed(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.service.pause(DEPLOYER, begun.deployment_id, "1")
        rollouts.traffic.requests = 500
        rollouts.later(900)
        assert rollouts.turn(begun, times=3) == 60
        assert rollouts.get(begun).step == 0
        rollouts.service.resume(DEPLOYER, begun.deployment_id, "1")
        rollouts.turn(begun)
        assert rollouts.get(begun).step == 1

    def test_an_aborted_one_has_the_old_weights_back_without_waiting_for_the_machine(
        self, rollouts: Rollouts, begun: Rollout
    ) -> None:
        rollouts.service.abort(DEPLOYER, begun.deployment_id, "1")
        rollouts.settle(begun)
        assert rollouts.weights(begun) == {"v1": 100, "v2": 0}
        done = ended(rollouts, begun)
        assert (done.status, done.reason) == (RolloutStatus.ABORTED, "Aborted by dora.")

    def test_an_abort_while_the_first_step_comes_up_waits_for_it(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        rollout = rollouts.start(active, new, **PLAN)
        rollouts.turn(rollout)
        rollouts.service.abort(DEPLOYER, rollout.deployment_id, "1")
        rollouts.settle(rollout)
        assert ended(rollouts, rollout).status is RolloutStatus.ABORTED
        assert rollouts.weights(rollout) == {"v1": 1}

    def test_an_abort_before_anything_was_done_ends_it(
        self, rollouts: Rollouts, active: Deployment, new: Model
    ) -> None:
        rollout = rollouts.start(active, new, **PLAN)
        assert rollouts.service.abort(DEPLOYER, rollout.deployment_id, "1").status is RolloutStatus.ABORTED

    def test_a_promoted_one_leaves_the_other_steps_out(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.service.promote(DEPLOYER, begun.deployment_id, "1")
        rollouts.settle(begun)
        rollouts.turn(begun)
        done = rollouts.get(begun)
        assert (done.status, done.reason) == (RolloutStatus.SUCCEEDED, "Promoted by dora.")
        assert rollouts.weights(begun) == {"v2": 1}

    def test_an_abort_while_the_new_version_becomes_alone_brings_the_old_one_up_again(
        self, rollouts: Rollouts, begun: Rollout
    ) -> None:
        rollouts.service.promote(DEPLOYER, begun.deployment_id, "1")
        rollouts.service.abort(DEPLOYER, begun.deployment_id, "1")
        rollouts.settle(begun)
        assert rollouts.weights(begun) == {"v2": 1}
        assert ended(rollouts, begun).status is RolloutStatus.ABORTED
        assert rollouts.weights(begun) == {"v1": 1}

    def test_what_has_ended_is_left_alone(self, rollouts: Rollouts, begun: Rollout) -> None:
        passed(rollouts, begun)
        with pytest.raises(Conflict, match="succeeded"):
            rollouts.service.abort(DEPLOYER, begun.deployment_id, "1")
        assert rollouts.turn(begun) is None

    @pytest.mark.parametrize("number", ["2", "0", "-1", "x", "9" * 30, "١"])
    def test_what_is_not_there_is_not_found(self, rollouts: Rollouts, begun: Rollout, number: str) -> None:
        with pytest.raises(NotFound):
            rollouts.service.get(DEPLOYER, begun.deployment_id, number)


class TestOvertaking:
    def test_another_rollout_begins_from_what_was_served_before(self, rollouts: Rollouts, begun: Rollout) -> None:
        third = rollouts.room.model("3")
        another = rollouts.start(rollouts.deployment(begun), third, **PLAN)
        overtaken = rollouts.get(begun)
        assert (overtaken.status, another.number) == (RolloutStatus.OVERTAKEN, 2)
        assert rollouts.turn(begun) is None
        rollouts.step(another)
        assert rollouts.weights(another) == {"v1": 90, "v3": 10}

    def test_weights_by_hand_count(self, rollouts: Rollouts, begun: Rollout, old: Model, new: Model) -> None:
        weights = [{"model_id": old.model_id, "weight": 30.0}, {"model_id": new.model_id, "weight": 70.0}]
        request = WeightsRequest.model_validate({"variants": weights})
        rollouts.room.service.reweigh(DEPLOYER, begun.deployment_id, request)
        assert rollouts.turn(begun) is None
        assert rollouts.get(begun).status is RolloutStatus.OVERTAKEN
        rollouts.settle(begun)
        assert rollouts.weights(begun) == {"v1": 30, "v2": 70}

    def test_so_does_taking_the_deployment_down(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.room.service.undeploy(DEPLOYER, begun.deployment_id)
        assert rollouts.turn(begun) is None
        assert rollouts.get(begun).status is RolloutStatus.OVERTAKEN


class TestAnEndpointThatOthersChanged:
    def test_is_set_right_and_the_step_begins_anew(self, rollouts: Rollouts, begun: Rollout) -> None:
        endpoint = rollouts.deployment(begun).endpoint
        rollouts.room.sagemaker.reweigh(endpoint, {"v1": 0, "v2": 100})
        rollouts.room.sagemaker.settle(endpoint)
        rollouts.traffic.requests = 500
        rollouts.later(300)
        rollouts.turn(begun)
        assert rollouts.get(begun).passage is None
        assert rollouts.room.sagemaker.describe(endpoint).state is EndpointState.CHANGING
        rollouts.turn(begun)
        assert rollouts.get(begun).passage is None
        rollouts.room.sagemaker.settle(endpoint)
        rollouts.turn(begun)
        again = rollouts.get(begun)
        assert (again.step, again.passage is not None) == (0, True)
        assert rollouts.weights(begun) == {"v1": 90, "v2": 10}

    def test_that_was_deleted_ends_it(self, rollouts: Rollouts, begun: Rollout) -> None:
        deployment = rollouts.deployment(begun)
        rollouts.room.sagemaker.delete(deployment.endpoint)
        assert rollouts.turn(begun) is not None
        rollouts.room.finishing.lose(deployment, "The endpoint was deleted from outside.")
        rollouts.turn(begun)
        done = rollouts.get(begun)
        assert done.status is RolloutStatus.FAILED
        assert "deleted from outside" in (done.reason or "")


class TestTheMachine:
    def test_hands_over_to_another_execution_before_its_history_is_full(
        self, rollouts: Rollouts, begun: Rollout
    ) -> None:
        assert rollouts.driving.turn("acme", begun.deployment_id, 1, TURNS) is None
        assert list(rollouts.machine.started)[-1] == f"{begun.deployment_id}-rollout-1-2"
        assert rollouts.turn(begun) == 60

    def test_takes_a_turn_twice_without_harm(self, rollouts: Rollouts, active: Deployment, new: Model) -> None:
        rollout = rollouts.start(active, new, **PLAN)
        rollouts.turn(rollout, times=3)
        assert rollouts.deployment(rollout).revisions == 2
        rollouts.settle(rollout)
        rollouts.turn(rollout, times=2)
        looked_at = rollouts.get(rollout)
        rollouts.turn(rollout, times=3)
        assert rollouts.get(rollout) == looked_at

    def test_counts_that_were_lost_do_not_stop_a_step(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.traffic.requests = 150
        rollouts.later(300)
        rollouts.step(begun)
        rollouts.traffic.requests = 120
        rollouts.later(600)
        rollouts.turn(begun)
        assert rollouts.get(begun).step == 2


class TestLists:
    def test_show_the_newest_first_page_by_page(self, rollouts: Rollouts, begun: Rollout) -> None:
        rollouts.start(rollouts.deployment(begun), rollouts.room.model("3"))
        first = rollouts.service.search(DEPLOYER, begun.deployment_id, 1, 0, None)
        assert [each.number for each in first.rollouts] == [2]
        assert first.cursor is not None
        rest = rollouts.service.search(DEPLOYER, begun.deployment_id, 5, 0, first.cursor.encode())
        assert [each.number for each in rest.rollouts] == [1]

    def test_are_of_the_callers_tenant(self, rollouts: Rollouts, begun: Rollout) -> None:
        with pytest.raises(NotFound):
            rollouts.service.search(STRANGER, begun.deployment_id, 1, 0, None)


def passed(rollouts: Rollouts, begun: Rollout) -> Rollout:
    """Every step with enough requests, to the end."""
    for _ in begun.steps:
        rollouts.traffic.requests += 200
        rollouts.later(601)
        rollouts.step(begun)
    return rollouts.get(begun)


def ended(rollouts: Rollouts, rollout: Rollout) -> Rollout:
    """Turns until there is nothing more to do."""
    for _ in range(10):
        if rollouts.deployment(rollout).status is DeploymentStatus.DEPLOYING:
            rollouts.settle(rollout)
        if rollouts.turn(rollout) is None:
            return rollouts.get(rollout)
    raise AssertionError(f"the rollout did not end: {rollouts.get(rollout)}")
