"""Deployments: what is recorded and what stands are compared, and put right from either side.

deployment   execution, endpoint          →
───────────  ───────────────────────────  ──────────────────────────────────────────────────
deploying    running                         nothing
             absent                          started: same name, same execution; as ended, if the machine was deleted
             ended                           settled by what the endpoint says, with the reason
inactive     running                         nothing
             absent                          started
             ended, endpoint there           endpoint deleted; the next sweep ends the deployment
             ended, endpoint gone            terminated
active       endpoint gone, or failed        failed, with the reason
             endpoint serves something else  changed back to the active revision
             its targets are not its policy  set anew
any          has an open rollout             see `rollouts.py`

endpoint     its deployment               →
───────────  ───────────────────────────  ──────────────────────────────────────────────────
             live                            nothing
             ended, or nobody's              deleted, if its tags say that it is this installation's
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.audit.entry import subject
from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, resource_name
from chalicelib.deployments.finishing import Finishing
from chalicelib.deployments.gateways import Endpoints, EndpointState
from chalicelib.deployments.planning import EndpointBusy
from chalicelib.deployments.revising import deploying
from chalicelib.deployments.scaling import Scaling, is_scaled, scaled
from chalicelib.deployments.service import undeploying
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.reconciler.gateways import Driving, Machines, Standing, StandingEndpoints
from chalicelib.reconciler.repair import GRACE, Kind, Repair, why
from chalicelib.reconciler.rollouts import RolloutRepairs


@dataclass(frozen=True)
class DeploymentRepairs:
    """
    Args:
        standing: what endpoints SageMaker has.
        stack: this installation's name, which its endpoints carry as a tag.
    """

    store: DeploymentStore
    deploy: Machines
    undeploy: Machines
    finishing: Finishing
    describing: Endpoints
    scaling: Scaling
    standing: StandingEndpoints
    rollouts: RolloutRepairs
    stack: str
    now: Clock

    def live(self) -> Iterator[Deployment]:
        return self.store.live()

    def endpoints(self) -> dict[str, Standing]:
        """Every endpoint with our prefix, by name."""
        return {each.name: each for each in self.standing.all()}

    def look_at(self, listed: Deployment, endpoint: Standing | None) -> Iterator[Repair]:
        """Whether a live deployment is driven, and has the endpoint that it should have.

        Args:
            endpoint: as it was listed a moment ago, if it was.
        """
        if self.now() - listed.updated_at < GRACE:
            return
        yield from self.rollouts.look_at(listed)
        if listed.status is DeploymentStatus.ACTIVE and not _changed_since(listed, endpoint):
            return
        # The index lags behind the record.
        deployment = self.store.get(listed.tenant, listed.deployment_id)
        if deployment is not None and deployment.record_version == listed.record_version:
            yield from self.look_at_once(deployment)

    def look_at_once(self, deployment: Deployment) -> Iterator[Repair]:
        """The same for one that is known to want a look, as it is recorded now; without its rollout."""
        try:
            match deployment.status:
                case DeploymentStatus.DEPLOYING:
                    yield from self._deploying(deployment)
                case DeploymentStatus.INACTIVE:
                    yield from self._undeploying(deployment)
                case DeploymentStatus.ACTIVE:
                    yield from self._serving(deployment)
        except EndpointBusy as error:
            yield _repair(Kind.STOPPING, deployment, str(error))
        except StaleDeployment:
            return

    def owned(self, endpoint: Standing) -> Iterator[Repair]:
        """Whether an endpoint that no live deployment was listed for has an owner after all."""
        if self.now() - endpoint.created_at < GRACE:
            return
        deployment = self.store.of_endpoint(endpoint.name)
        if deployment is not None and (deployment.is_live or self.now() - deployment.updated_at < GRACE):
            return
        labels = self.standing.labels(endpoint)
        if labels.stack != self.stack or labels.tenant is None or labels.deployment_id is None:
            return
        found = self.describing.describe(endpoint.name)
        if found.state in {EndpointState.ABSENT, EndpointState.DELETING, EndpointState.CHANGING}:
            return
        self.describing.delete(endpoint.name)
        since = max(endpoint.created_at, deployment.updated_at) if deployment else endpoint.created_at
        seconds = max(0, round((self.now() - since).total_seconds()))
        about = subject("deployment", labels.deployment_id)
        yield Repair(Kind.DELETED_ORPHAN, labels.tenant, about, endpoint.name, seconds)

    def _deploying(self, deployment: Deployment) -> Iterator[Repair]:
        name, document = deploying(deployment)
        execution = self.deploy.executions.of(name)
        match execution.driving:
            case Driving.RUNNING:
                return
            case Driving.ABSENT if self.deploy.start(name, document):
                yield _repair(Kind.STARTED, deployment, f"no execution had been started for revision {name}")
            case _:
                reason = why(execution)
                self.finishing.finish(deployment.tenant, deployment.deployment_id, deployment.target.number, reason)
                yield _repair(Kind.FINISHED, deployment, reason)

    def _undeploying(self, deployment: Deployment) -> Iterator[Repair]:
        name, document = undeploying(deployment)
        execution = self.undeploy.executions.of(name)
        match execution.driving:
            case Driving.RUNNING:
                return
            case Driving.ABSENT if self.undeploy.start(name, document):
                yield _repair(Kind.STARTED, deployment, "no execution had been started to take it down")
                return
        endpoint = self.describing.describe(deployment.endpoint)
        if endpoint.state is not EndpointState.ABSENT:
            if endpoint.state is not EndpointState.DELETING:
                self.describing.delete(deployment.endpoint)
            yield _repair(Kind.STOPPING, deployment, f"{deployment.endpoint} is {endpoint.state.value}")
            return
        for number, variants in deployment.resources:
            self.describing.delete_revision(resource_name(deployment.endpoint, number), variants)
        self.finishing.finish_undeploy(deployment.tenant, deployment.deployment_id, None)
        yield _repair(Kind.FINISHED, deployment, "its endpoint is gone")

    def _serving(self, deployment: Deployment) -> Iterator[Repair]:
        active = deployment.active
        if active is None:
            return
        endpoint = self.describing.describe(deployment.endpoint)
        if endpoint.state in {EndpointState.ABSENT, EndpointState.FAILED}:
            reason = endpoint.reason or f"The endpoint {deployment.endpoint} was deleted from outside."
            self.finishing.lose(deployment, reason)
            yield _repair(Kind.LOST, deployment, reason)
        elif endpoint.state is EndpointState.IN_SERVICE and not endpoint.serves(deployment.endpoint, active):
            self.describing.go_back(deployment.endpoint, endpoint, active)
            served = f"{endpoint.config} with the weights {dict(endpoint.weights)}"
            wanted = f"{active.resource(deployment.endpoint)} with {active.weights}"
            yield _repair(Kind.WENT_BACK, deployment, f"it served {served} instead of {wanted}")
        elif is_scaled(active) and endpoint.state is EndpointState.IN_SERVICE:
            variants = scaled(deployment.endpoint, active)
            if not self.scaling.is_applied(variants):
                self.scaling.apply(variants)
                yield _repair(Kind.WENT_BACK, deployment, "auto scaling was not set as its policy says")


def _changed_since(deployment: Deployment, endpoint: Standing | None) -> bool:
    """Whether an endpoint is not as its deployment left it: the record is written after the endpoint's last change."""
    return endpoint is None or endpoint.changed_at > deployment.updated_at


def _repair(kind: Kind, deployment: Deployment, detail: str) -> Repair:
    return Repair(kind, deployment.tenant, subject("deployment", deployment.deployment_id), detail)
