"""Rollouts under the reconciler: an open one is driven, whatever became of its execution."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment
from chalicelib.models.model import Model
from chalicelib.reconciler.gateways import Driving, Execution, Machines
from chalicelib.reconciler.repair import Kind
from chalicelib.reconciler.rollouts import RolloutRepairs
from chalicelib.rollouts.rollout import Rollout
from tests.functional.deployments.conftest import DEPLOYER
from tests.functional.reconciler.test_deployments import FakeExecutions
from tests.functional.rollouts.conftest import Rollouts


@pytest.fixture
def executions() -> FakeExecutions:
    return FakeExecutions()


@pytest.fixture
def repairs(rollouts: Rollouts, executions: FakeExecutions) -> RolloutRepairs:
    fakes: Any = (rollouts.machine, executions)
    return RolloutRepairs(rollouts.store, rollouts.room.store, Machines(*fakes), rollouts.room.clock)


@pytest.fixture
def started(rollouts: Rollouts) -> Rollout:
    active: Deployment = rollouts.room.active(rollouts.room.model("1"))
    new: Model = rollouts.room.model("2")
    return rollouts.start(active, new)


def kinds(repairs: RolloutRepairs, rollouts: Rollouts, rollout: Rollout) -> list[Kind]:
    return [repair.kind for repair in repairs.look_at(rollouts.deployment(rollout))]


class TestAnOpenRollout:
    def test_that_is_driven_is_left_alone(self, rollouts: Rollouts, repairs: RolloutRepairs, started: Rollout) -> None:
        assert kinds(repairs, rollouts, started) == []

    def test_whose_start_was_lost_is_started_under_its_name(
        self, rollouts: Rollouts, repairs: RolloutRepairs, executions: FakeExecutions, started: Rollout
    ) -> None:
        name = f"{started.deployment_id}-rollout-1-1"
        rollouts.machine.started.clear()
        executions.states[name] = Execution(Driving.ABSENT)
        assert kinds(repairs, rollouts, started) == [Kind.STARTED]
        assert list(rollouts.machine.started) == [name]
        assert rollouts.get(started) == started

    @pytest.mark.parametrize("ended", [Driving.ABORTED, Driving.FAILED, Driving.TIMED_OUT, Driving.SUCCEEDED])
    def test_whose_execution_has_ended_goes_on_under_the_next_name(
        self,
        rollouts: Rollouts,
        repairs: RolloutRepairs,
        executions: FakeExecutions,
        started: Rollout,
        ended: Driving,
    ) -> None:
        executions.states[f"{started.deployment_id}-rollout-1-1"] = Execution(ended, "Operator: tidying")
        assert kinds(repairs, rollouts, started) == [Kind.STARTED]
        assert list(rollouts.machine.started)[-1] == f"{started.deployment_id}-rollout-1-2"
        assert kinds(repairs, rollouts, started) == []


class TestAnEndedRollout:
    def test_wants_no_execution(
        self, rollouts: Rollouts, repairs: RolloutRepairs, executions: FakeExecutions, started: Rollout
    ) -> None:
        executions.states[f"{started.deployment_id}-rollout-1-1"] = Execution(Driving.SUCCEEDED)
        rollouts.service.abort(DEPLOYER, started.deployment_id, "1")
        assert kinds(repairs, rollouts, started) == []
