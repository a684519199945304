"""The shapes of what comes in. Meaning is checked in `rules.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chalicelib.experiments.metric import MOST_VALUE
from chalicelib.shape import Shape

MAX_VARIANTS = 6
MAX_GUARDRAILS = 5
MAX_SAMPLES = 100_000_000
MAX_LOOKS = 200
MAX_UNITS = 40
"""Exposures or outcomes of single units in a request: what one transaction has room for."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=0, le=MAX_SAMPLES)]
Value = Annotated[float, Field(ge=-MOST_VALUE, le=MOST_VALUE)]
_MOST_SUM = float(MOST_VALUE) * MAX_SAMPLES
Sum = Annotated[float, Field(ge=-_MOST_SUM, le=_MOST_SUM)]
Squares = Annotated[float, Field(ge=0, le=_MOST_SUM * MOST_VALUE)]
Products = Annotated[float, Field(ge=-_MOST_SUM * MOST_VALUE, le=_MOST_SUM * MOST_VALUE)]


class MetricRequest(Shape):
    name: Name
    type: Literal["proportion", "mean", "ratio", "quantile"]
    direction: Literal["increase", "decrease"]
    baseline: Value | None = None
    standard_deviation: Annotated[float, Field(gt=0, le=MOST_VALUE)] | None = None
    covariate: bool = False
    quantile: Annotated[float, Field(ge=0.001, le=0.999)] | None = None
    threshold: Value | None = None
    missing: Literal["zero", "ignored"] | None = None


class GuardrailRequest(MetricRequest):
    max_relative_change: Annotated[float, Field(ge=0, le=100)] = 0.0


class AllocationRequest(Shape):
    """
    Attributes:
        deployment_id: whose requests are split so too; its variants are the experiment's.
    """

    type: Literal["thompson"]
    floor: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    deployment_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None


class ExperimentRequest(Shape):
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    hypothesis: Annotated[str, StringConstraints(max_length=2000)] = ""
    variants: Annotated[list[Name], Field(min_length=2, max_length=MAX_VARIANTS)]
    weights: dict[Name, Annotated[float, Field(gt=0, le=1_000_000)]] | None = None
    assignment_key: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "user_id"
    primary_metric: MetricRequest
    guardrails: Annotated[list[GuardrailRequest], Field(max_length=MAX_GUARDRAILS)] = Field(default_factory=list)
    alpha: Annotated[float, Field(ge=0.0001, le=0.3)] = 0.05
    power: Annotated[float, Field(ge=0.5, le=0.99)] = 0.8
    minimum_effect: Annotated[float, Field(gt=0, le=MOST_VALUE)] | None = None
    minimum_effect_kind: Literal["relative", "absolute"] = "relative"
    looks: Annotated[int, Field(ge=1, le=MAX_LOOKS)] = 20
    max_samples_per_variant: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] | None = None
    method: Literal["group_sequential", "always_valid"] | None = None
    allocation: AllocationRequest | None = None


class CountsRequest(Shape):
    """A batch: sums over units of one variant."""

    variant: Name
    metric: Name
    n: Count
    successes: Count | None = None
    over: Count | None = None
    sum: Sum | None = None
    sum_squares: Squares | None = None
    covariate_sum: Sum | None = None
    covariate_sum_squares: Squares | None = None
    denominator_sum: Sum | None = None
    denominator_sum_squares: Squares | None = None
    product_sum: Products | None = None


class OutcomeRequest(Shape):
    """What came of one unit."""

    key: Key | None = None
    request_id: Key | None = None
    metric: Name
    value: Value
    denominator: Value | None = None
    covariate: Value | None = None


class OutcomesRequest(Shape):
    counts: Annotated[list[CountsRequest], Field(max_length=MAX_VARIANTS * (MAX_GUARDRAILS + 1))] = Field(
        default_factory=list
    )
    outcomes: Annotated[list[OutcomeRequest], Field(max_length=MAX_UNITS)] = Field(default_factory=list)


class ExposureRequest(Shape):
    """That one unit got a variant."""

    variant: Name
    key: Key | None = None
    request_id: Key | None = None


class ExposuresRequest(Shape):
    exposures: Annotated[list[ExposureRequest], Field(min_length=1, max_length=MAX_UNITS)]


class AssignmentsRequest(Shape):
    keys: Annotated[list[Key], Field(min_length=1, max_length=1000)]


class StopRequest(Shape):
    reason: Annotated[str, StringConstraints(max_length=500)] = ""
