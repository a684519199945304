"""What deployments ask of Step Functions and SageMaker, behind small interfaces. Every call may be repeated.

`describe` is the truth about an endpoint; events are hints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from chalicelib.aws import error_code, is_missing
from chalicelib.deployments.deployment import Revision, model_name, same_shares, same_weights

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

_NOBODY_WAITS = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken"})


@dataclass(frozen=True)
class Waiters:
    """Step Functions tasks that wait with a token."""

    client: SFNClient

    def succeed(self, token: str, result: dict[str, Any]) -> None:
        try:
            self.client.send_task_success(taskToken=token, output=json.dumps(result))
        except self.client.exceptions.ClientError as error:
            _raise_unless_nobody_waits(error)

    def fail(self, token: str, error_name: str, cause: str) -> None:
        try:
            self.client.send_task_failure(taskToken=token, error=error_name, cause=cause)
        except self.client.exceptions.ClientError as error:
            _raise_unless_nobody_waits(error)


def _raise_unless_nobody_waits(error: Exception) -> None:
    # Answered before, or the wait is over: an answer is given once and then comes to nothing.
    if error_code(error) not in _NOBODY_WAITS:
        raise error


class EndpointState(Enum):
    ABSENT = "absent"
    CHANGING = "changing"
    IN_SERVICE = "in-service"
    FAILED = "failed"
    DELETING = "deleting"


_STATES = {
    "Creating": EndpointState.CHANGING,
    "Updating": EndpointState.CHANGING,
    "SystemUpdating": EndpointState.CHANGING,
    "RollingBack": EndpointState.CHANGING,
    "InService": EndpointState.IN_SERVICE,
    "OutOfService": EndpointState.FAILED,
    "Failed": EndpointState.FAILED,
    "UpdateRollbackFailed": EndpointState.FAILED,
    "Deleting": EndpointState.DELETING,
}


@dataclass(frozen=True)
class Endpoint:
    """SageMaker's own view of an endpoint.

    Attributes:
        config: the endpoint configuration that it has.
        coming: the one that it is changing to, where SageMaker tells.
        weights: of its variants, by name, as they are now.
        instances: of its variants, by name, as many as there are to be.
        shadows: the names of the variants that get copies.
    """

    state: EndpointState
    config: str | None = None
    coming: str | None = None
    reason: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)
    shadows: frozenset[str] = frozenset()

    def serves(self, name: str, revision: Revision) -> bool:
        """Whether it is in service with a revision's configuration, and splits the requests as that wants it.

        Args:
            name: the endpoint's.
        """
        is_up = self.state is EndpointState.IN_SERVICE and self.config == revision.resource(name)
        if revision.shadow is None:
            return is_up and not self.shadows and same_shares(self.weights, revision.weights)
        # What a shadow gets is the ratio of two weights: there the production variant's own counts.
        is_shadowed = self.shadows == {revision.shadow.name}
        return is_up and is_shadowed and same_weights(self.weights, revision.weights)


ABSENT = Endpoint(EndpointState.ABSENT)


@dataclass(frozen=True)
class Endpoints:
    client: SageMakerClient

    def describe(self, name: str) -> Endpoint:
        try:
            found = self.client.describe_endpoint(EndpointName=name)
        except self.client.exceptions.ClientError as error:
            if is_missing(error):
                return ABSENT
            raise
        return Endpoint(
            state=_STATES[found["EndpointStatus"]],
            config=found.get("EndpointConfigName"),
            coming=found.get("PendingDeploymentSummary", {}).get("EndpointConfigName"),
            reason=found.get("FailureReason"),
            weights={
                each["VariantName"]: each.get("CurrentWeight", 0.0) for each in found.get("ProductionVariants", [])
            },
            instances={
                each["VariantName"]: each.get("DesiredInstanceCount", 0) for each in found.get("ProductionVariants", [])
            },
            shadows=frozenset(each["VariantName"] for each in found.get("ShadowProductionVariants", [])),
        )

    def go_back(self, name: str, found: Endpoint, revision: Revision) -> None:
        """Let an endpoint that is in service serve a revision that it served before, a step nearer with each call.

        SageMaker takes the weights that the configuration began with; other ones follow when it has taken it.
        """
        config = revision.resource(name)
        if found.config != config:
            self.client.update_endpoint(EndpointName=name, EndpointConfigName=config)
        else:
            self.reweigh(name, revision.weights)

    def reweigh(self, name: str, weights: Mapping[str, float]) -> None:
        """Split the requests of an endpoint that is in service among its variants."""
        wanted: Any = [{"VariantName": variant, "DesiredWeight": weight} for variant, weight in weights.items()]
        self.client.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)

    def delete(self, name: str) -> None:
        """Ask for an endpoint's end; nothing happens when there is none, or it is ending already."""
        try:
            self.client.delete_endpoint(EndpointName=name)
        except self.client.exceptions.ClientError as error:
            if not is_missing(error) and self.describe(name).state is not EndpointState.DELETING:
                raise

    def delete_revision(self, resource: str, models: int) -> None:
        """Delete the endpoint configuration and the models of a revision that no endpoint uses, if they are there."""
        try:
            self.client.delete_endpoint_config(EndpointConfigName=resource)
        except self.client.exceptions.ClientError as error:
            if not is_missing(error):
                raise
        for position in range(models):
            try:
                self.client.delete_model(ModelName=model_name(resource, position))
            except self.client.exceptions.ClientError as error:
                if not is_missing(error):
                    raise
