"""The rollouts room over the deployments room: the same moto, the same SageMaker in memory, traffic as the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.captures.answers import CapturedAnswers
from chalicelib.deployments.deployment import Deployment
from chalicelib.identity.caller import Caller
from chalicelib.models.model import Model
from chalicelib.rollouts.driving import Driving, Reader
from chalicelib.rollouts.request import RolloutRequest
from chalicelib.rollouts.rollout import Gate, Rollout
from chalicelib.rollouts.service import RolloutService
from chalicelib.rollouts.store import RolloutStore
from chalicelib.rollouts.traffic import Served
from tests.functional.captures.conftest import FakeObjects
from tests.functional.deployments.conftest import DEPLOYER, Deployments
from tests.functional.deployments.conftest import deployments as deployments
from tests.functional.deployments.conftest import dynamodb as dynamodb
from tests.functional.deployments.conftest import validate as validate
from tests.functional.deployments.fakes import FakeMachine


@dataclass
class FakeTraffic:
    """What CloudWatch has counted of the new version, all told."""

    requests: int = 0
    errors: int = 0
    slow: dict[Gate, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def served(self, endpoint: str, variant: str, since: datetime, until: datetime, gates: Sequence[Gate]) -> Served:
        return Served(self.requests, self.errors, self.slow)

    def values(self, namespace: str, since: datetime, until: datetime, gates: Sequence[Gate]) -> dict[Gate, None]:
        return dict.fromkeys(gates)

    def alarms(self, gates: Sequence[Gate]) -> dict[Gate, str | None]:
        return {gate: self.states.get(gate.name or "") for gate in gates}


class NoExperiments:
    def get(self, tenant: str, experiment_id: str) -> None:
        return None


@dataclass
class Rollouts:
    room: Deployments
    store: RolloutStore
    traffic: FakeTraffic
    objects: FakeObjects
    machine: FakeMachine
    driving: Driving
    service: RolloutService

    def start(self, deployment: Deployment, model: Model, caller: Caller = DEPLOYER, **plan: Any) -> Rollout:
        document = {"to": {"model_id": model.model_id}, **plan}
        return self.service.start(caller, deployment.deployment_id, RolloutRequest.model_validate(document))

    def turn(self, rollout: Rollout, times: int = 1) -> int | None:
        """What the machine does: a turn, and whatever machine that has started."""
        seconds = None
        for _ in range(times):
            seconds = self.driving.turn("acme", rollout.deployment_id, rollout.number)
        return seconds

    def settle(self, rollout: Rollout) -> Deployment:
        """The deployment's own machine runs to its end."""
        return self.room.drive(self.deployment(rollout))

    def step(self, rollout: Rollout) -> Rollout:
        """Ask for the next weights, let the endpoint take them, and begin counting."""
        self.turn(rollout)
        self.settle(rollout)
        self.turn(rollout)
        return self.get(rollout)

    def later(self, seconds: float) -> None:
        self.room.clock.moment += timedelta(seconds=seconds)

    def get(self, rollout: Rollout) -> Rollout:
        found = self.store.get("acme", rollout.deployment_id, rollout.number)
        assert found is not None
        return found

    def deployment(self, rollout: Rollout) -> Deployment:
        found = self.room.store.get("acme", rollout.deployment_id)
        assert found is not None
        return found

    def weights(self, rollout: Rollout) -> dict[str, float]:
        """As SageMaker has them."""
        return dict(self.room.sagemaker.describe(self.deployment(rollout).endpoint).weights)


@pytest.fixture
def rollouts(deployments: Deployments) -> Rollouts:
    traffic: Any = FakeTraffic()
    machine: Any = FakeMachine()
    sagemaker: Any = deployments.sagemaker
    experiments: Callable[[], Any] = NoExperiments
    objects = FakeObjects()
    store = RolloutStore(deployments.store.table)
    driving = Driving(
        store=store,
        deployments=deployments.store,
        revising=deployments.revising,
        machine=machine,
        reader=lambda: Reader(traffic, sagemaker, experiments, lambda: CapturedAnswers(objects), deployments.clock),
        now=deployments.clock,
        audit=deployments.log.recorder,
    )
    service = RolloutService(
        store=store,
        deployments=deployments.store,
        models=deployments.models,
        driving=driving,
        guard=deployments.guard,
        now=deployments.clock,
        audit=deployments.log.recorder,
    )
    return Rollouts(deployments, store, traffic, objects, machine, driving, service)
