"""The shape of a deployment's configuration. Meaning and bounds are checked in `rules.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chalicelib.deployments.deployment import MAX_REVISION, MAX_VARIANTS
from chalicelib.jobs.request import ResourceRequirements
from chalicelib.shape import Shape

Environment = Literal["development", "staging", "production"]
Duration = Annotated[str, StringConstraints(max_length=40, pattern=r"^PT(\d+H(\d+M)?(\d+S)?|\d+M(\d+S)?|\d+S)$")]
Percentage = Annotated[int, Field(ge=1, le=100)]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]


class AutoScalingPolicy(Shape):
    """
    Attributes:
        target_cpu_utilization, target_memory_utilization: percent of an instance.
        target_queue_length: requests that an instance has at once, those that wait included.
        target_invocations_per_instance: in a minute; None: not tracked.
    """

    min_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=100)] = 10
    target_cpu_utilization: Percentage = 70
    target_memory_utilization: Percentage = 80
    target_queue_length: Annotated[int, Field(ge=1, le=1000)] = 10
    target_invocations_per_instance: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    scale_up_cooldown: Duration = "PT5M"
    scale_down_cooldown: Duration = "PT5M"


class TrafficSplit(Shape):
    percentage: Annotated[int, Field(ge=0, le=100)] = 100
    target_models: list[ModelId] = Field(default_factory=list, max_length=MAX_VARIANTS)


class VariantRequest(Shape):
    model_id: ModelId
    weight: Weight


class ShadowRequest(Shape):
    """
    Attributes:
        percentage: of the requests, copies of which it gets.
    """

    model_id: ModelId
    percentage: Annotated[float, Field(gt=0, le=100)] = 100.0


class WeightsRequest(Shape):
    """How an endpoint's requests are to be split among the variants that it has."""

    variants: Annotated[list[VariantRequest], Field(min_length=1, max_length=MAX_VARIANTS)]


class RollbackRequest(Shape):
    """
    Attributes:
        revision: which one is to serve again; None: the last one without the version that has most of the requests now.
    """

    revision: Annotated[int, Field(ge=1, le=MAX_REVISION)] | None = None


class DeploymentConfig(Shape):
    environment: Environment
    replicas: Annotated[int, Field(ge=1, le=100)] = 2
    resource_limits: ResourceRequirements | None = None
    scaling_policy: AutoScalingPolicy | None = None
    traffic_split: TrafficSplit | None = None
    serverless: bool | None = None
    variants: Annotated[list[VariantRequest], Field(min_length=1, max_length=MAX_VARIANTS)] | None = None
    shadow: ShadowRequest | None = None
