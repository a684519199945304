"""The shape of a policy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from chalicelib.deployments.request import AutoScalingPolicy, Environment
from chalicelib.jobs.request import ResourceRequirements
from chalicelib.rollouts.request import RolloutPlan
from chalicelib.shape import Shape

MAX_CONDITIONS = 20

Metric = Annotated[str, StringConstraints(min_length=1, max_length=250)]
Bound = Annotated[float, Field(ge=-1e15, le=1e15)]


class ConditionRequest(Shape):
    metric: Metric
    above: Bound | None = None
    below: Bound | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> ConditionRequest:
        if self.above is None and self.below is None:
            raise ValueError("has no bound|Give above, below, or both.")
        return self


class PolicyRequest(Shape):
    """
    Attributes:
        conditions: all of them have to hold; without any every model is deployed.
        replicas: None: one, or none while nobody asks where the environment has it so.
        rollout: how the model takes over from what is deployed already; without it at once.
    """

    enabled: bool = True
    conditions: Annotated[list[ConditionRequest], Field(max_length=MAX_CONDITIONS)] = Field(default_factory=list)
    environment: Environment = "staging"
    replicas: Annotated[int, Field(ge=1, le=100)] | None = None
    resource_limits: ResourceRequirements | None = None
    scaling_policy: AutoScalingPolicy | None = None
    rollout: RolloutPlan | None = None
