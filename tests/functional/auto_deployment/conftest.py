"""Auto-deployment over the rooms of deployments and rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.auto_deployment.deploying import AutoDeploying
from chalicelib.auto_deployment.policy import Policy
from chalicelib.auto_deployment.request import PolicyRequest
from chalicelib.auto_deployment.service import PolicyService
from chalicelib.auto_deployment.store import PolicyStore
from chalicelib.identity.caller import Caller
from chalicelib.models.model import AutoDeployment, Model
from tests.functional.deployments.conftest import DEPLOYER
from tests.functional.rollouts.conftest import Rollouts
from tests.functional.rollouts.conftest import deployments as deployments
from tests.functional.rollouts.conftest import dynamodb as dynamodb
from tests.functional.rollouts.conftest import rollouts as rollouts
from tests.functional.rollouts.conftest import validate as validate

GOOD = {"accuracy": 0.95, "precision": 0.9, "recall": 0.85}


@dataclass
class Room:
    rollouts: Rollouts
    policies: PolicyService
    deploying: AutoDeploying

    def set(self, name: str = "*", caller: Caller = DEPLOYER, **policy: Any) -> Policy:
        return self.policies.set(caller, name, PolicyRequest.model_validate(policy))

    def model(self, version: str = "1", **changes: Any) -> Model:
        return self.rollouts.room.model(version, **{"metrics": GOOD, **changes})

    def take(self, model: Model) -> AutoDeployment:
        decision = self.deploying.take(model.tenant, model.model_id)
        assert decision is not None
        assert self.rollouts.room.again(model).auto_deployment == decision
        return decision


@pytest.fixture
def room(rollouts: Rollouts) -> Room:
    deployments = rollouts.room
    policies = PolicyService(PolicyStore(deployments.models.table), deployments.clock, deployments.log.recorder)
    deploying = AutoDeploying(
        deployments.models, policies, deployments.store, deployments.service, rollouts.service, deployments.clock
    )
    return Room(rollouts, policies, deploying)
