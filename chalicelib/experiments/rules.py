"""What a valid request obeys beyond its shape; each problem names the field and the cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.experiments.experiment import EffectKind, Experiment, Method, Plan
from chalicelib.experiments.metric import (
    MOST_VALUE,
    Counters,
    Direction,
    Metric,
    MetricType,
    Missing,
    exact,
    exact_square,
)
from chalicelib.experiments.planning import needed_samples
from chalicelib.experiments.request import (
    MAX_SAMPLES,
    CountsRequest,
    ExperimentRequest,
    GuardrailRequest,
    MetricRequest,
    OutcomeRequest,
)
from chalicelib.experiments.statistics.effects import LEAST_SAMPLES

_SQUARES = frozenset({"sum_squares", "covariate_sum_squares", "denominator_sum_squares", "product_sum"})
_COUNTS = frozenset({"n", "successes", "over"})
# What sums of floating-point numbers may be off by, as a part of them.
_ROUNDING = 1e-9


def plan(request: ExperimentRequest) -> Plan:
    """
    Raises:
        InvalidRequest: what is wrong, all of it.
    """
    if problems := [*_of_variants(request), *_of_metrics(request), *_of_allocation(request)]:
        raise InvalidRequest.about(*problems)
    found = Plan(
        primary=_metric(request.primary_metric),
        guardrails=tuple(_metric(each) for each in request.guardrails),
        alpha=request.alpha,
        power=request.power,
        minimum_effect=request.minimum_effect,
        minimum_effect_kind=EffectKind(request.minimum_effect_kind),
        looks=request.looks,
        samples=request.max_samples_per_variant or MAX_SAMPLES,
        method=_method(request),
        floor=request.allocation.floor if request.allocation else None,
    )
    if request.max_samples_per_variant is not None:
        return found
    needed = needed_samples(found, len(request.variants))
    if needed is None or needed > MAX_SAMPLES:
        cure = (
            f"Give it, from {LEAST_SAMPLES} to {MAX_SAMPLES:,}, or what it can be reckoned from: minimum_effect, and the "
            "primary metric's baseline (of a mean or ratio its standard_deviation too)."
        )
        raise InvalidRequest.about(FieldProblem("max_samples_per_variant", "is missing", cure))
    return Plan(**{**vars(found), "samples": max(LEAST_SAMPLES, needed)})


def shares(request: ExperimentRequest) -> tuple[float, ...]:
    """What each variant is to get, adding up to 1."""
    weights = request.weights or dict.fromkeys(request.variants, 1.0)
    total = sum(weights.values())
    return tuple(weights[variant] / total for variant in request.variants)


def counters(experiment: Experiment, batch: CountsRequest, field: str) -> Counters:
    """A batch's sums.

    Raises:
        InvalidRequest: it is of no variant or metric of the experiment, or its sums can't be those of any units.
    """
    check_variant(experiment, batch.variant, f"{field}.variant")
    metric = find_metric(experiment, batch.metric, f"{field}.metric")
    given = {
        name: value for name, value in batch.model_dump(exclude={"variant", "metric"}).items() if value is not None
    }
    wanted = metric.counters
    if set(given) != set(wanted):
        missing = [name for name in wanted if name not in given]
        unknown = [name for name in given if name not in wanted]
        said = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}, which it does not count"
        cure = f"Of {metric.name}, a {metric.type.value}, give {', '.join(wanted)}."
        raise InvalidRequest.about(FieldProblem(field, said, cure))
    if problem := _impossible(given):
        raise InvalidRequest.about(
            FieldProblem(f"{field}.{problem[0]}", problem[1], "Give sums over the same n units.")
        )
    return {name: _counted(name, value) for name, value in given.items()}


def unit_counters(experiment: Experiment, outcome: OutcomeRequest, field: str) -> Counters:
    """The sums of one unit.

    Raises:
        InvalidRequest: it is of no metric of the experiment, or not what that metric takes.
    """
    metric = find_metric(experiment, outcome.metric, f"{field}.metric")
    second = {"denominator": outcome.denominator, "covariate": outcome.covariate}
    wanted = "denominator" if metric.type is MetricType.RATIO else "covariate" if metric.covariate else None
    for name, value in second.items():
        if (value is not None) != (name == wanted):
            said, cure = (
                ("is missing", "Add it.") if name == wanted else ("is not counted of this metric", "Remove it.")
            )
            raise InvalidRequest.about(FieldProblem(f"{field}.{name}", said, cure))
    if metric.type is MetricType.PROPORTION and outcome.value not in {0, 1}:
        raise InvalidRequest.about(FieldProblem(f"{field}.value", f"is {outcome.value:g}", "Use 0 or 1."))
    return metric.of_unit(outcome.value, second[wanted] if wanted else None)


def check_variant(experiment: Experiment, name: str, field: str) -> None:
    if name not in experiment.variants:
        cure = f"Use one of {', '.join(experiment.variants)}."
        raise InvalidRequest.about(FieldProblem(field, f"is {name!r}, which the experiment does not have", cure))


def find_metric(experiment: Experiment, name: str, field: str) -> Metric:
    known = {metric.name: metric for metric in experiment.plan.metrics}
    if name not in known:
        cure = f"Use one of {', '.join(known)}."
        raise InvalidRequest.about(FieldProblem(field, f"is {name!r}, which the experiment does not have", cure))
    return known[name]


def _of_variants(request: ExperimentRequest) -> Iterator[FieldProblem]:
    if len(set(request.variants)) < len(request.variants):
        yield FieldProblem("variants", "has a name twice", "Give each variant a name of its own.")
    if request.weights is not None and set(request.weights) != set(request.variants):
        yield FieldProblem("weights", "are not those of the variants", "Give one for each variant, or none at all.")
    most = request.max_samples_per_variant
    if most is not None and most < LEAST_SAMPLES:
        cure = f"Use at least {LEAST_SAMPLES}: with fewer nothing is decided."
        yield FieldProblem("max_samples_per_variant", f"is {most}", cure)


def _of_allocation(request: ExperimentRequest) -> Iterator[FieldProblem]:
    allocation = request.allocation
    if allocation is None:
        return
    if allocation.floor * len(request.variants) > 1:
        cure = f"Use at most {1 / len(request.variants):.3g} with {len(request.variants)} variants."
        yield FieldProblem("allocation.floor", f"is {allocation.floor:g}", cure)
    if request.method == Method.GROUP_SEQUENTIAL.value:
        said = "is group_sequential, whose boundaries do not hold while weights follow the outcomes"
        cure = "Use always_valid with an allocation, or leave it out."
        yield FieldProblem("method", said, cure)
    if request.weights is None or set(request.weights) != set(request.variants):
        return
    if allocation.deployment_id is not None:
        cure = "Leave them out: the deployment's own count."
        yield FieldProblem("weights", "are given beside allocation.deployment_id", cure)
    for variant, share in zip(request.variants, shares(request), strict=True):
        if share < allocation.floor * (1 - _ROUNDING):
            cure = f"Begin with at least {allocation.floor:g} of all, or lower allocation.floor."
            yield FieldProblem(f"weights.{variant}", f"is {share:.3g} of all, less than allocation.floor", cure)


def _method(request: ExperimentRequest) -> Method:
    if request.method is not None:
        return Method(request.method)
    return Method.ALWAYS_VALID if request.allocation else Method.GROUP_SEQUENTIAL


def _of_metrics(request: ExperimentRequest) -> Iterator[FieldProblem]:
    fields: list[tuple[str, MetricRequest]] = [("primary_metric", request.primary_metric)]
    fields += [(f"guardrails.{position}", each) for position, each in enumerate(request.guardrails)]
    seen: set[str] = set()
    for field, metric in fields:
        if metric.name in seen:
            yield FieldProblem(f"{field}.name", f"is {metric.name!r} again", "Give each metric a name of its own.")
        seen.add(metric.name)
        yield from _of_metric(field, metric)


def _of_metric(field: str, metric: MetricRequest) -> Iterator[FieldProblem]:
    is_quantile = metric.type == "quantile"
    for name in ("quantile", "threshold"):
        given = getattr(metric, name) is not None
        if given and not is_quantile:
            yield FieldProblem(f"{field}.{name}", f"is given for a {metric.type}", "Remove it, or use type quantile.")
        if is_quantile and not given:
            cure = "A quantile is watched as the share beyond a fixed threshold: for p95 <= 300 give 0.95 and 300."
            yield FieldProblem(f"{field}.{name}", "is missing", cure)
    if metric.covariate and metric.type != "mean":
        yield FieldProblem(f"{field}.covariate", f"is given for a {metric.type}", "Use it with type mean.")
    if metric.missing == "zero" and (metric.covariate or metric.type not in {"proportion", "mean"}):
        cure = "Use it with a proportion, or with a mean that has no covariate."
        yield FieldProblem(f"{field}.missing", "is zero", cure)
    if metric.baseline is not None and metric.type in {"proportion", "quantile"} and not 0 < metric.baseline < 1:
        yield FieldProblem(f"{field}.baseline", f"is {metric.baseline:g}", "Use a share between 0 and 1.")


def _metric(request: MetricRequest) -> Metric:
    kind = MetricType(request.type)
    default = Missing.ZERO if kind is MetricType.PROPORTION else Missing.IGNORED
    return Metric(
        name=request.name,
        type=kind,
        direction=Direction(request.direction),
        baseline=request.baseline,
        standard_deviation=request.standard_deviation,
        covariate=request.covariate,
        quantile=request.quantile,
        threshold=request.threshold,
        missing=Missing(request.missing) if request.missing else default,
        max_relative_change=request.max_relative_change if isinstance(request, GuardrailRequest) else 0.0,
    )


def _impossible(given: Mapping[str, float]) -> tuple[str, str] | None:
    """Which sum can't be that of any n units, and why."""
    n = given["n"]
    for name in ("successes", "over"):
        if given.get(name, 0) > n:
            return name, f"is {given[name]:,}, more than n"
    for total, squares in (
        ("sum", "sum_squares"),
        ("covariate_sum", "covariate_sum_squares"),
        ("denominator_sum", "denominator_sum_squares"),
    ):
        if total not in given:
            continue
        if abs(given[total]) > n * MOST_VALUE * (1 + _ROUNDING):
            return total, f"is more than {MOST_VALUE:,} per unit: count in another unit"
        if given[squares] > n * float(MOST_VALUE) ** 2 * (1 + _ROUNDING):
            return squares, f"is more than {MOST_VALUE:,} squared per unit: count in another unit"
        # The inequality of Cauchy and Schwarz.
        if given[total] ** 2 > n * given[squares] * (1 + _ROUNDING) + _ROUNDING:
            return squares, f"is too small for a {total} of {given[total]:g}"
    if "product_sum" in given:
        other = given.get("covariate_sum_squares", given.get("denominator_sum_squares", 0))
        if given["product_sum"] ** 2 > given["sum_squares"] * other * (1 + _ROUNDING) + _ROUNDING:
            return "product_sum", "is too large for the sums of squares"
    return None


def _counted(name: str, value: float) -> int | Decimal:
    if name in _COUNTS:
        return int(value)
    return exact_square(value) if name in _SQUARES else exact(value)
