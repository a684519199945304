"""Rollouts: an open one is driven, or started again.

rollout     execution   →
──────────  ──────────  ──────────────────────────────────────────────
open        running        nothing
            absent         started: same name, same execution
            ended          the next one started: it goes on where it was
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.audit.entry import subject
from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.reconciler.gateways import Driving, Machines
from chalicelib.reconciler.repair import Kind, Repair, why
from chalicelib.rollouts.driving import execution
from chalicelib.rollouts.store import RolloutStore


@dataclass(frozen=True)
class RolloutRepairs:
    store: RolloutStore
    deployments: DeploymentStore
    machines: Machines
    now: Clock

    def look_at(self, deployment: Deployment) -> Iterator[Repair]:
        """Whether a deployment's open rollout is driven."""
        if deployment.rollout is None:
            return
        rollout = self.store.get(deployment.tenant, deployment.deployment_id, deployment.rollout)
        if rollout is None or not rollout.status.is_open:
            return
        name, document = execution(rollout)
        found = self.machines.executions.of(name)
        if found.driving is Driving.RUNNING:
            return
        about = subject("deployment", deployment.deployment_id)
        if found.driving is Driving.ABSENT:
            self.machines.start(name, document)
            yield Repair(Kind.STARTED, deployment.tenant, about, f"no execution drove rollout {rollout.number}")
            return
        again = rollout.driven_again()
        try:
            self.deployments.write(self.store.change(rollout, again, self.now()))
        except StaleDeployment:
            return
        self.machines.start(*execution(again))
        yield Repair(Kind.STARTED, deployment.tenant, about, f"rollout {rollout.number}: {why(found)}")
