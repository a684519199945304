"""The shape of a rollout. Meaning and bounds are checked in `rules.py`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from chalicelib.clock import duration_seconds
from chalicelib.deployments.request import ModelId
from chalicelib.shape import Shape

MAX_STEPS = 20
MAX_GATES = 10
MAX_DIMENSIONS = 10
LONGEST_SECONDS = 7 * 24 * 3600
"""Of a rollout, with all that it may wait: CloudWatch keeps its minutes for 15 days."""


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    seconds = duration_seconds(value)
    if seconds is None:
        raise ValueError(f"is {value[:40]!r}|Use a duration such as PT10M, or seconds.")
    return seconds


Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=0, le=LONGEST_SECONDS)]
"""A length of time: seconds, or an ISO 8601 duration of hours, minutes and seconds."""
Percent = Annotated[float, Field(gt=0, le=100)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]


class TargetRequest(Shape):
    model_id: ModelId


class StepRequest(Shape):
    """
    Attributes:
        shadow: the new version gets copies of so many percent of the requests, and answers nobody. The first step only.
    """

    shadow: bool = False
    weight: Percent
    duration: Seconds = 600
    minimum_samples: Annotated[int, Field(ge=0, le=100_000_000)] = 100


class ErrorRateGate(Shape):
    type: Literal["error_rate"]
    maximum: Annotated[float, Field(ge=0.0001, le=0.9999)]


class LatencyGate(Shape):
    type: Literal["latency"]
    percentile: Annotated[float, Field(ge=50, le=99.99)] = 99.0
    maximum_ms: Annotated[float, Field(ge=0.1, le=60_000)]


class AlarmGate(Shape):
    type: Literal["alarm"]
    alarm: Name


class MetricGate(Shape):
    type: Literal["metric"]
    metric: Name
    dimensions: Annotated[dict[Name, Name], Field(max_length=MAX_DIMENSIONS)] = Field(default_factory=dict)
    statistic: Literal["Average", "Sum", "Minimum", "Maximum"] = "Average"
    maximum: Number | None = None
    minimum: Number | None = None


class ExperimentGate(Shape):
    type: Literal["experiment"]
    experiment_id: ModelId
    promotes: bool = False


class DriftGate(Shape):
    type: Literal["drift"]
    maximum: Annotated[float, Field(ge=0.01, le=0.99)] = 0.1


GateRequest = Annotated[
    ErrorRateGate | LatencyGate | AlarmGate | MetricGate | ExperimentGate | DriftGate, Field(discriminator="type")
]


class Strategy(Shape):
    """The usual plans by their names.

    Attributes:
        type: `all-at-once`; `blue-green`, which keeps the old version up for `bake`; `canary`: one small step, then all;
            `linear`: by `increment` until all; `shadow-first`: a canary after a step as shadow of all requests.
        bake: how long the old version stays up at the end.
        interval: how long each step before that takes.
        weight: of the canary.
        increment: of each linear step.
    """

    type: Literal["all-at-once", "blue-green", "canary", "linear", "shadow-first"]
    bake: Seconds = 600
    interval: Seconds = 600
    weight: Percent = 10.0
    increment: Annotated[float, Field(ge=5, le=100)] = 20.0
    minimum_samples: Annotated[int, Field(ge=0, le=100_000_000)] = 100


class RolloutPlan(Shape):
    """How a version is to take over.

    Attributes:
        steps, strategy: one of them; without both it is the strategy `canary`.
        gates: without any an error rate of at most 0.05; an empty list is none.
        evaluation_seconds: how often the gates are looked at; CloudWatch has a point a minute of what SageMaker serves.
        patience: how long a step may wait for requests beyond its own time.
    """

    steps: Annotated[list[StepRequest], Field(min_length=1, max_length=MAX_STEPS)] | None = None
    strategy: Strategy | None = None
    gates: Annotated[list[GateRequest], Field(max_length=MAX_GATES)] | None = None
    evaluation_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    patience: Seconds = 3600


class RolloutRequest(RolloutPlan):
    to: TargetRequest
