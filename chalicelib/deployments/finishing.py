"""The one way into a settled status, whatever happened. What SageMaker says of the endpoint decides."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Failure, resource_name
from chalicelib.deployments.gateways import Endpoint, Endpoints, EndpointState
from chalicelib.deployments.history import RevisionHistory
from chalicelib.deployments.planning import EndpointBusy
from chalicelib.deployments.reasons import explained
from chalicelib.deployments.scaling import Scaling, scaled
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.deployments.waiting import why_not
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore
from chalicelib.table import Write

MAX_REASON = 1024


@dataclass(frozen=True)
class Finishing:
    store: DeploymentStore
    models: ModelStore
    endpoints: Endpoints
    scaling: Scaling
    history: RevisionHistory
    now: Clock

    def finish(self, tenant: str, deployment_id: str, revision: int, error: str | None) -> Deployment:
        """Settle a revision: active and its model deployed, or failed; in one transaction. A settled one stays as it is.

        A revision that fails after the endpoint took it (its smoke test failed) is taken back: the endpoint goes back to
        the revision before, and only when SageMaker says that it serves that one is the failure recorded. Where there is
        none, the endpoint is deleted.

        Raises:
            EndpointBusy: the endpoint is still changing, or going back, so there is nothing to record yet.
        """
        while True:
            deployment = self.store.require(tenant, deployment_id)
            endpoint = self.endpoints.describe(deployment.endpoint)
            if deployment.status is not DeploymentStatus.DEPLOYING or deployment.target.number != revision:
                self._tidy(deployment, endpoint)
                return deployment
            if endpoint.state is EndpointState.CHANGING:
                raise EndpointBusy(f"{deployment.endpoint} is still changing")
            is_success = error is None and endpoint.serves(deployment.endpoint, deployment.target)
            if not is_success:
                self._go_back(deployment, endpoint)
            after, writes = self._settled(deployment, endpoint, error, is_success=is_success)
            past = self.history.settled(deployment, after, self.now())
            needless = after.superseded() if after.status is DeploymentStatus.ACTIVE else deployment.superseded()
            for number, models in needless:
                self.endpoints.delete_revision(resource_name(deployment.endpoint, number), models)
            try:
                settled = self.store.update(deployment, after.without(needless), self.now(), past, *writes)
            except StaleDeployment:
                continue
            self._tidy(settled, endpoint)
            return settled

    def finish_undeploy(self, tenant: str, deployment_id: str, error: str | None) -> Deployment:
        """Settle a deployment that was to be taken down: terminated once its endpoint is gone, and its model released.

        An endpoint that could not be deleted leaves the deployment inactive, with the failure; deleting it again
        tries again.

        Raises:
            EndpointBusy: the endpoint is still going.
        """
        while True:
            deployment = self.store.require(tenant, deployment_id)
            if deployment.status is not DeploymentStatus.INACTIVE:
                return deployment
            endpoint = self.endpoints.describe(deployment.endpoint)
            if endpoint.state is EndpointState.DELETING:
                raise EndpointBusy(f"{deployment.endpoint} is still being deleted")
            if endpoint.state is EndpointState.ABSENT:
                after, writes = deployment.terminated(), self._released(deployment, self._models_of(deployment))
            else:
                reason = error or f"The endpoint is still {endpoint.state.value}."
                after, writes = replace(deployment, last_failure=Failure(self.now(), reason[:MAX_REASON])), ()
            try:
                return self.store.update(deployment, after, self.now(), *writes)
            except StaleDeployment:
                continue

    def lose(self, deployment: Deployment, reason: str) -> Deployment:
        """An active deployment has no endpoint any more: failed, and its models released.

        Raises:
            StaleDeployment: somebody else changed the record; look again.
        """
        writes = self._released(deployment, self._models_of(deployment))
        return self.store.update(deployment, deployment.failed(reason[:MAX_REASON]), self.now(), *writes)

    def _go_back(self, deployment: Deployment, endpoint: Endpoint) -> None:
        """
        Raises:
            EndpointBusy: the endpoint does not serve the active revision yet; it has been told to.
        """
        active = deployment.active
        is_up = endpoint.state is EndpointState.IN_SERVICE
        if active and is_up and not endpoint.serves(deployment.endpoint, active):
            self.endpoints.go_back(deployment.endpoint, endpoint, active)
            raise EndpointBusy(f"{deployment.endpoint} is going back to revision {active.number}")

    def _settled(
        self, deployment: Deployment, endpoint: Endpoint, error: str | None, *, is_success: bool
    ) -> tuple[Deployment, tuple[Write, ...]]:
        target, active, me = deployment.target, deployment.active, deployment.deployment_id
        is_up = endpoint.state is EndpointState.IN_SERVICE
        models = self._models_of(deployment)
        if is_success:
            ids = {variant.model_id for variant in target.hosted}
            served = (
                self.models.change(model, model.served_by(me, target.config), self.now())
                for key, model in models.items()
                if key in ids
            )
            replaced = {key: model for key, model in models.items() if key not in ids}
            return deployment.activated(self.now()), (*served, *self._released(deployment, replaced))
        reason = explained(error or why_not(endpoint), target, is_update=active is not None)[:MAX_REASON]
        if active is None or not is_up:
            return deployment.failed(reason), self._released(deployment, models)
        unclaimed = ((model, model.unclaimed_by(me)) for model in models.values())
        writes = tuple(self.models.change(before, after, self.now()) for before, after in unclaimed if before != after)
        return deployment.kept(reason, self.now()), writes

    def _tidy(self, deployment: Deployment, endpoint: Endpoint) -> None:
        """Make the endpoint agree with a settled record. It comes after the record: what is lost here is done again."""
        if deployment.status is DeploymentStatus.FAILED:
            self._remove(deployment, endpoint)
        active = deployment.active
        if deployment.status is not DeploymentStatus.ACTIVE or active is None:
            return
        if endpoint.serves(deployment.endpoint, active):
            self.scaling.apply(scaled(deployment.endpoint, active))
        elif endpoint.state is EndpointState.IN_SERVICE:
            self.endpoints.go_back(deployment.endpoint, endpoint, active)

    def _remove(self, deployment: Deployment, endpoint: Endpoint) -> None:
        """Nothing of a failed deployment stays in SageMaker. A configuration may go once its endpoint is going."""
        if endpoint.state in {EndpointState.IN_SERVICE, EndpointState.FAILED}:
            self.endpoints.delete(deployment.endpoint)
        for number, models in deployment.resources:
            self.endpoints.delete_revision(resource_name(deployment.endpoint, number), models)

    def _models_of(self, deployment: Deployment) -> dict[str, Model]:
        """The models that the deployment's revisions are of, by id."""
        revisions = [revision for revision in (deployment.target, deployment.active) if revision]
        wanted = dict.fromkeys(variant.model_id for revision in revisions for variant in revision.hosted)
        found = (self.models.get(deployment.tenant, model_id) for model_id in wanted)
        return {model.model_id: model for model in found if model}

    def _released(self, deployment: Deployment, models: dict[str, Model]) -> tuple[Write, ...]:
        me = deployment.deployment_id
        used = (model for model in models.values() if me in model.uses)
        return tuple(self.models.change(model, model.released_by(me), self.now()) for model in used)
