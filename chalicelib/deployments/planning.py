"""What a state machine is to do with a deployment: the first step of deploying, and of taking down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.deployments import plan
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision, resource_name
from chalicelib.deployments.gateways import Endpoint, Endpoints, EndpointState
from chalicelib.deployments.scaling import Scaling, is_scaled
from chalicelib.deployments.store import DeploymentStore
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore


class EndpointBusy(Exception):
    """The endpoint is changing or going, so nothing can be done with it yet: try again."""


@dataclass(frozen=True)
class Planning:
    """
    Args:
        image_of: the inference image for (framework, whether it has a GPU).
        around: what the installation gives to an endpoint of a tenant.
    """

    store: DeploymentStore
    models: ModelStore
    endpoints: Endpoints
    scaling: Scaling
    image_of: Callable[[str, bool], str]
    around: Callable[[str], plan.Surroundings]

    def plan(self, tenant: str, deployment_id: str, revision: int) -> dict[str, Any]:
        """
        Returns:
            `next`: `create` or `update` with the requests as `models`, `config` and `endpoint`; `await` when SageMaker
            has been called already, by an earlier execution or for other weights; `finish` when this revision is not
            wanted any more.

        Raises:
            EndpointBusy: something else is going on with the endpoint; ask again.
        """
        deployment = self.store.require(tenant, deployment_id)
        if deployment.status is not DeploymentStatus.DEPLOYING or deployment.target.number != revision:
            return {"next": "finish"}
        target = deployment.target
        name = target.resource(deployment.endpoint)
        endpoint = self.endpoints.describe(deployment.endpoint)
        if target.base is not None:
            return self._reweigh(deployment, endpoint)
        if endpoint.state in {EndpointState.CHANGING, EndpointState.IN_SERVICE} and name in {
            endpoint.config,
            endpoint.coming,
        }:
            return {"next": "await"}
        match endpoint.state:
            case EndpointState.ABSENT:
                following = "create"
            case EndpointState.IN_SERVICE if deployment.active and _needs_another(deployment.active, target):
                self.endpoints.delete(deployment.endpoint)
                raise EndpointBusy(
                    f"{deployment.endpoint} is serverless, and is deleted to be made anew with instances"
                )
            case EndpointState.IN_SERVICE:
                following = "update"
            case EndpointState.FAILED:
                # SageMaker updates only what is in service: a failed endpoint goes, and then a new one comes.
                self.endpoints.delete(deployment.endpoint)
                raise EndpointBusy(f"{deployment.endpoint} had failed and is being deleted")
            case _:
                raise EndpointBusy(f"{deployment.endpoint} is {endpoint.state.value}")
        # An execution that was cut off may have left them; SageMaker refuses to create them twice. The others are of
        # revisions that failed.
        for number, count in (*deployment.superseded(), (target.own, len(target.hosted))):
            self.endpoints.delete_revision(resource_name(deployment.endpoint, number), count)
        if deployment.active and is_scaled(deployment.active):
            # It gets its targets again when it is known what serves.
            self.scaling.forget(deployment.endpoint, deployment.active)
        models = [self._model(deployment.tenant, variant.model_id) for variant in target.hosted]
        around = self.around(deployment.tenant)
        served = [(model, self.image_of(model.framework, target.gpu_count > 0)) for model in models]
        return {"next": following, **plan.requests(deployment, target, served, around, endpoint.instances.values())}

    def _reweigh(self, deployment: Deployment, endpoint: Endpoint) -> dict[str, Any]:
        """Ask for other weights of what is served already; whoever waits next sees whether they are there."""
        target = deployment.target
        right = target.resource(deployment.endpoint)
        is_ours = endpoint.config == right and endpoint.coming in {None, right}
        if endpoint.state is EndpointState.CHANGING:
            # To these weights, if an earlier execution has asked for them; or auto scaling adds an instance, or SageMaker
            # updates the system. It does not say which: once it has settled that is seen.
            raise EndpointBusy(f"{deployment.endpoint} is changing")
        if endpoint.state is EndpointState.IN_SERVICE and is_ours and not endpoint.serves(deployment.endpoint, target):
            self.endpoints.reweigh(deployment.endpoint, target.weights)
        return {"next": "await"}

    def plan_undeploy(self, tenant: str, deployment_id: str) -> dict[str, Any]:
        """
        Returns:
            `next`: `delete` with `endpoint_name`, `endpoint_config_names` and `model_names`; `finish` when the
            deployment is not to be taken down.
        """
        deployment = self.store.require(tenant, deployment_id)
        if deployment.status is not DeploymentStatus.INACTIVE:
            return {"next": "finish"}
        if deployment.active and is_scaled(deployment.active):
            self.scaling.forget(deployment.endpoint, deployment.active)
        return {"next": "delete", **plan.deletions(deployment)}

    def _model(self, tenant: str, model_id: str) -> Model:
        model = self.models.get(tenant, model_id)
        if model is None:
            raise LookupError(f"there is no model {model_id} of tenant {tenant}")
        return model


def _needs_another(active: Revision, target: Revision) -> bool:
    """SageMaker makes a serverless endpoint of one with instances, and never the other way round:
    https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-update.html
    """
    return active.is_serverless and not target.is_serverless
