"""Waiting for an endpoint without polling: a task token, and the event that answers it.

    machine: wait with token ─→ note the token ─→ look ─→ settled already? answer
    SageMaker: the endpoint changed ─→ event ─→ look ─→ settled and a token noted? answer

Whichever comes second sees what the first one wrote, so one of them answers; if both do, the second answer comes to
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.gateways import Endpoint, Endpoints, EndpointState, Waiters
from chalicelib.deployments.store import DeploymentStore, Waiter

MAX_CAUSE = 1024
ENDPOINT_FAILED = "EndpointFailed"


@dataclass(frozen=True)
class Waiting:
    store: DeploymentStore
    endpoints: Endpoints
    waiters: Waiters

    def begin(self, tenant: str, deployment_id: str, revision: int, token: str) -> bool:
        """Note who waits for a revision, and answer at once if it is settled; True when answered."""
        deployment = self.store.require(tenant, deployment_id)
        self.store.put_waiter(deployment, revision, token)
        return self._answer(deployment)

    def look(self, endpoint_name: str) -> bool:
        """An endpoint changed: answer who waits for it, if it is settled; True when answered."""
        deployment = self.store.of_endpoint(endpoint_name)
        return deployment is not None and self._answer(deployment)

    def _answer(self, deployment: Deployment) -> bool:
        waiter = self.store.waiter(deployment)
        if waiter is None or waiter.is_answered:
            return False
        endpoint = self.endpoints.describe(deployment.endpoint)
        if endpoint.state is EndpointState.CHANGING:
            return False
        self._send(waiter, deployment, endpoint)
        self.store.answered(deployment, waiter)
        return True

    def _send(self, waiter: Waiter, deployment: Deployment, endpoint: Endpoint) -> None:
        target = deployment.target
        if target.number == waiter.revision and endpoint.serves(deployment.endpoint, target):
            self.waiters.succeed(waiter.token, {"endpoint": deployment.endpoint, "revision": waiter.revision})
            return
        self.waiters.fail(waiter.token, ENDPOINT_FAILED, why_not(endpoint)[:MAX_CAUSE])


def why_not(endpoint: Endpoint) -> str:
    """Why an endpoint that has settled does not serve what was wanted."""
    if endpoint.reason:
        return endpoint.reason
    if endpoint.state is EndpointState.IN_SERVICE:
        return "SageMaker went back to the revision before, without a reason."
    return f"The endpoint is {endpoint.state.value}."
