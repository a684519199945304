"""A rollout whose new version answers otherwise than the old one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.captures.capturing import Capturing, Exchange
from chalicelib.deployments.deployment import DataCapture, Deployment
from chalicelib.errors import RefusedValue
from chalicelib.rollouts.rollout import Finding, Rollout, RolloutStatus
from tests.functional.rollouts.conftest import Rollouts

GATES = [{"type": "drift", "maximum": 0.2}]
PLAN: dict[str, Any] = {
    "steps": [
        {"weight": 50.0, "duration": 60, "minimum_samples": 0},
        {"weight": 100.0, "duration": 60, "minimum_samples": 0},
    ],
    "gates": GATES,
    "patience": 600,
}


@pytest.fixture
def captured(rollouts: Rollouts) -> Deployment:
    """Serves the first version, and all requests are captured."""
    active = rollouts.room.active(rollouts.room.model("1"))
    return rollouts.room.store.update(active, replace(active, capture=DataCapture(100.0)), rollouts.room.clock.moment)


def answer(rollouts: Rollouts, rollout: Rollout, variant: str, *values: float) -> None:
    """So many requests are answered, and captured."""
    objects: Any = rollouts.objects
    for value in values:
        body = json.dumps({"predictions": [value]}).encode()
        number = f"{len(rollouts.objects.stored):06d}"
        Capturing(objects, rollouts.room.clock, lambda number=number: number, lambda _least, _most: 0.0).keep(  # type: ignore[misc]
            rollouts.deployment(rollout), Exchange(b"{}", "", body, "application/json", variant, "r")
        )


def many(value: float, count: int = 200) -> list[float]:
    return [value + number / count for number in range(count)]


class TestAVersion:
    def test_that_answers_otherwise_is_rolled_back_with_the_numbers(
        self, rollouts: Rollouts, captured: Deployment
    ) -> None:
        begun = rollouts.step(rollouts.start(captured, rollouts.room.model("2"), **PLAN))
        rollouts.later(10)
        answer(rollouts, begun, "v1", *many(0.0))
        answer(rollouts, begun, "v2", *many(5.0))
        rollouts.turn(begun)
        back = rollouts.get(begun)
        assert (back.status, back.ending) == (RolloutStatus.ROLLING_BACK, RolloutStatus.ROLLED_BACK)
        assert back.reason is not None
        assert "At 50 %: drift <= 0.2 was breached. 0.0% of the new version's answers are at most 0.995" in back.reason
        rollouts.settle(begun)
        assert rollouts.weights(begun) == {"v1": 100, "v2": 0}

    def test_that_answers_alike_goes_on_and_is_compared_with_what_the_old_one_said_before_its_requests_went(
        self, rollouts: Rollouts, captured: Deployment
    ) -> None:
        begun = rollouts.step(rollouts.start(captured, rollouts.room.model("2"), **PLAN))
        answer(rollouts, begun, "v1", *many(0.0))
        answer(rollouts, begun, "v2", *many(0.01))
        rollouts.later(61)
        last = rollouts.step(begun)
        assert last.step == 1
        rollouts.later(61)
        rollouts.turn(last, 2)
        assert [each.finding for each in rollouts.get(last).judgements] == [Finding.PASSED]
        assert rollouts.get(last).is_promoting

    def test_whose_answers_nobody_captured_ends_inconclusive(self, rollouts: Rollouts, captured: Deployment) -> None:
        begun = rollouts.step(rollouts.start(captured, rollouts.room.model("2"), **PLAN))
        answer(rollouts, begun, "v1", *many(0.0))
        rollouts.later(700)
        rollouts.turn(begun)
        back = rollouts.get(begun)
        assert back.ending is RolloutStatus.INCONCLUSIVE
        assert back.reason is not None
        assert "0 answers of the new version and 200 of the old one were captured" in back.reason

    def test_is_not_compared_while_it_is_a_shadow(self, rollouts: Rollouts, captured: Deployment) -> None:
        shadow = {"shadow": True, "weight": 100.0, "duration": 60, "minimum_samples": 0}
        plan = {**PLAN, "steps": [shadow, *PLAN["steps"]]}
        begun = rollouts.step(rollouts.start(captured, rollouts.room.model("2"), **plan))
        rollouts.later(61)
        rollouts.turn(begun)
        after = rollouts.get(begun)
        assert (after.step, after.judgements) == (1, ())


def test_without_captures_the_gate_is_refused_when_the_rollout_is_asked_for(rollouts: Rollouts) -> None:
    active = rollouts.room.active(rollouts.room.model("1"))
    with pytest.raises(RefusedValue) as refused:
        rollouts.start(active, rollouts.room.model("2"), **PLAN)
    assert [problem.field for problem in refused.value.problems] == ["gates.0"]
