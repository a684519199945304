"""What a state machine is to do with a deployment: the first step of deploying, and of taking down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.deployments import plan
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, resource_name
from chalicelib.deployments.gateways import Endpoints, EndpointState
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
    image_of: Callable[[str, bool], str]
    around: Callable[[str], plan.Surroundings]

    def plan(self, tenant: str, deployment_id: str, revision: int) -> dict[str, Any]:
        """
        Returns:
            `next`: `create` or `update` with the requests as `model`, `config` and `endpoint`; `await` when an earlier
            execution has called SageMaker already; `finish` when this revision is not wanted any more.

        Raises:
            EndpointBusy: something else is going on with the endpoint; ask again.
        """
        deployment = self._deployment(tenant, deployment_id)
        if deployment.status is not DeploymentStatus.DEPLOYING or deployment.target.number != revision:
            return {"next": "finish"}
        name = resource_name(deployment.endpoint, revision)
        endpoint = self.endpoints.describe(deployment.endpoint)
        if endpoint.state in {EndpointState.CHANGING, EndpointState.IN_SERVICE} and name in {
            endpoint.config,
            endpoint.coming,
        }:
            return {"next": "await"}
        match endpoint.state:
            case EndpointState.ABSENT:
                following = "create"
            case EndpointState.IN_SERVICE:
                following = "update"
            case EndpointState.FAILED:
                # SageMaker updates only what is in service: a failed endpoint goes, and then a new one comes.
                self.endpoints.delete(deployment.endpoint)
                raise EndpointBusy(f"{deployment.endpoint} had failed and is being deleted")
            case _:
                raise EndpointBusy(f"{deployment.endpoint} is {endpoint.state.value}")
        # An execution that was cut off may have left them; SageMaker refuses to create them twice.
        self.endpoints.delete_revision(name)
        target, model = deployment.target, self._model(deployment)
        image = self.image_of(model.framework, target.gpu_count > 0)
        return {"next": following, **plan.requests(deployment, target, model, image, self.around(deployment.tenant))}

    def plan_undeploy(self, tenant: str, deployment_id: str) -> dict[str, Any]:
        """
        Returns:
            `next`: `delete` with `endpoint_name`, `endpoint_config_names` and `model_names`; `finish` when the
            deployment is not to be taken down.
        """
        deployment = self._deployment(tenant, deployment_id)
        if deployment.status is not DeploymentStatus.INACTIVE:
            return {"next": "finish"}
        return {"next": "delete", **plan.deletions(deployment)}

    def _deployment(self, tenant: str, deployment_id: str) -> Deployment:
        deployment = self.store.get(tenant, deployment_id)
        if deployment is None:
            raise LookupError(f"there is no deployment {deployment_id} of tenant {tenant}")
        return deployment

    def _model(self, deployment: Deployment) -> Model:
        model = self.models.get(deployment.tenant, deployment.target.model_id)
        if model is None:
            raise LookupError(f"there is no model {deployment.target.model_id} of tenant {deployment.tenant}")
        return model
