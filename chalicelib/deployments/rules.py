"""What a well-formed deployment configuration must also obey. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.deployments.deployment import Variant, variant_name
from chalicelib.deployments.request import DeploymentConfig, VariantRequest
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, RefusedValue
from chalicelib.jobs.instances import serving_instance
from chalicelib.jobs.request import ResourceRequirements
from chalicelib.jobs.rules import BOUNDS
from chalicelib.models.model import Model, ModelStatus

# Of an endpoint: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariant.html
MAX_VOLUME_GB = 512

SERVERLESS = "serverless"
"""In the place of an instance type."""
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariantServerlessConfig.html
SERVERLESS_MB = (1024, 2048, 3072, 4096, 5120, 6144)
SERVERLESS_CONCURRENCY = 5
_DEFAULT_SERVERLESS_MB = 2048


@dataclass(frozen=True)
class Host:
    """What one replica runs on."""

    instance_type: str
    gpu_count: int
    volume_gb: int | None


def check_model(model: Model) -> None:
    """
    Raises:
        Conflict: the model's state does not allow it to be deployed.
    """
    if model.status not in {ModelStatus.READY, ModelStatus.DEPLOYED}:
        raise Conflict(f"The model is {model.status.value}: only a ready or deployed model can be deployed.")
    if not model.servable:
        raise Conflict(f"The model can't be served: {model.servable_reason}")
    if not model.archive.is_deployable:
        raise Conflict("The model can't be served: its artifact is not a model.tar.gz.")


def check_config(config: DeploymentConfig) -> None:
    """
    Raises:
        InvalidRequest: names each bound that is crossed.
    """
    if config.resource_limits is not None:
        check_limits(config.resource_limits)
    _check_serverless(config)
    _check_shadow(config)
    _check_replicas(config)


def weights(config: DeploymentConfig, model_id: str) -> dict[str, float]:
    """What part of the requests each model gets, the deployed one first.

    Raises:
        RefusedValue: names the field that can't be acted on.
    """
    if config.variants is not None and config.traffic_split is not None:
        cure = "Use variants; traffic_split is its short form for even parts."
        raise RefusedValue.about(FieldProblem("traffic_split", "is given beside variants", cure))
    if config.variants is not None:
        return split_of(config.variants, "variants", model_id)
    if config.traffic_split is None:
        return {model_id: 1.0}
    percentage = config.traffic_split.percentage
    others = [each for each in dict.fromkeys(config.traffic_split.target_models) if each != model_id]
    if percentage == 100 and others:
        cure = "Use less than 100, or name the deployed model alone."
        raise RefusedValue.about(FieldProblem("traffic_split.percentage", "leaves nothing for the other models", cure))
    if percentage < 100 and not others:
        cure = f"Name the models that get the other {100 - percentage} %, or use 100."
        raise RefusedValue.about(FieldProblem("traffic_split.target_models", "names nobody for the rest", cure))
    return {model_id: float(percentage), **dict.fromkeys(others, (100 - percentage) / max(1, len(others)))}


def split_of(variants: Sequence[VariantRequest], field: str, first: str) -> dict[str, float]:
    """Weights by model, that of `first` in the first place.

    Raises:
        RefusedValue: a model comes twice, `first` is missing, or nobody gets anything.
    """
    found = {each.model_id: each.weight for each in variants}
    if len(found) < len(variants):
        raise RefusedValue.about(FieldProblem(field, "names a model twice", "Give each model one weight."))
    if first not in found:
        cure = f"Give {first}, the deployed model, a weight; 0 is one."
        raise RefusedValue.about(FieldProblem(field, "does not name the deployed model", cure))
    if not any(found.values()):
        raise RefusedValue.about(FieldProblem(field, "has no weight above 0", "Give one model a weight."))
    return {first: found.pop(first), **found}


def variants(models: Sequence[Model], split: Mapping[str, float]) -> tuple[Variant, ...]:
    """Models behind one endpoint, the deployed one first.

    Args:
        models: those that `split` names.

    Raises:
        RefusedValue: one of them is another model's version.
        Conflict: one of them can't be served now.
    """
    by_id = {model.model_id: model for model in models}
    found: list[Variant] = []
    for model_id, weight in split.items():
        found.append(_beside(by_id[model_id], found, weight, models[0].name, "variants"))
    return tuple(found)


def shadow(models: Sequence[Model], config: DeploymentConfig, variants: Sequence[Variant]) -> Variant | None:
    """The version that gets copies of the requests to `variants`. Raises as `variants`, and:

    RefusedValue: it is the one that serves.
    """
    if config.shadow is None:
        return None
    wanted, field = config.shadow, "shadow.model_id"
    if wanted.model_id == variants[0].model_id:
        cure = "Name another version, or leave shadow out."
        raise RefusedValue.about(FieldProblem(field, "is the version that serves", cure))
    model = next(model for model in models if model.model_id == wanted.model_id)
    return _beside(model, variants, wanted.percentage, models[0].name, field)


def _beside(model: Model, variants: Sequence[Variant], weight: float, deployed: str, field: str) -> Variant:
    if model.name != deployed:
        said = f"names a version of {model.name}, not of {deployed}"
        cure = "An endpoint serves the versions of one model. Deploy the other one by itself."
        raise RefusedValue.about(FieldProblem(field, said, cure))
    check_model(model)
    return Variant(variant_name(model.version, variants), model.model_id, model.version, weight)


def serverless_memory(config: Mapping[str, Any]) -> int:
    """MB of a serverless endpoint: the least that SageMaker has for what is asked for."""
    asked = (config.get("resource_limits") or {}).get("memory_gb")
    return next(size for size in SERVERLESS_MB if size >= (asked * 1024 if asked else _DEFAULT_SERVERLESS_MB))


def host(config: DeploymentConfig) -> Host:
    """The cheapest instance type for the limits; a small one without a GPU when there are none.

    Raises:
        InvalidRequest: nothing fits.
    """
    limits = config.resource_limits
    if config.serverless:
        return Host(SERVERLESS, 0, None)
    if limits is None:
        instance = serving_instance()
        return Host(instance.name, instance.gpus, None)
    instance = serving_instance(limits.memory_gb, limits.cpu_cores, limits.gpu_count, limits.gpu_type)
    if instance.local_disk_gb is None:
        _check_disk(limits.disk_gb, MAX_VOLUME_GB, "the largest volume of an endpoint")
        return Host(instance.name, instance.gpus, limits.disk_gb)
    _check_disk(limits.disk_gb, instance.local_disk_gb, f"the storage of {instance.name}")
    return Host(instance.name, instance.gpus, None)


def check_limits(limits: ResourceRequirements) -> None:
    """
    Raises:
        InvalidRequest: names each bound that is crossed.
    """
    requirements = limits.model_dump()
    problems = [
        FieldProblem(f"resource_limits.{name}", f"is {requirements[name]!s:.40}", f"Use {least} to {most} {unit}.")
        for name, (least, most, unit) in BOUNDS.items()
        if not least <= requirements[name] <= most
    ]
    if problems:
        raise InvalidRequest.about(*problems)


def may_be_serverless(config: DeploymentConfig) -> bool:
    """Whether it asks for nothing that needs instances, and does not speak of `serverless` itself."""
    return config.serverless is None and not _need_instances(config)


def _need_instances(config: DeploymentConfig) -> list[str]:
    """The fields that ask for what https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html excludes."""
    limits = config.resource_limits
    asked = {
        "replicas": "replicas" in config.model_fields_set,
        "scaling_policy": config.scaling_policy is not None,
        "variants": len(config.variants or ()) > 1,
        "shadow": config.shadow is not None,
        "traffic_split": config.traffic_split is not None and config.traffic_split.percentage < 100,
        "resource_limits.gpu_count": limits is not None and limits.gpu_count > 0,
        "resource_limits.memory_gb": limits is not None and limits.memory_gb * 1024 > SERVERLESS_MB[-1],
    }
    return [field for field, is_asked in asked.items() if is_asked]


def _check_serverless(config: DeploymentConfig) -> None:
    if not config.serverless:
        return
    cure = f"Leave it out (a GPU: 0, memory: {SERVERLESS_MB[-1] // 1024} GB at most), or serverless."
    problems = [FieldProblem(field, "is not for a serverless endpoint", cure) for field in _need_instances(config)]
    if problems:
        raise InvalidRequest.about(*problems)


def _check_shadow(config: DeploymentConfig) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html"""
    is_split = config.traffic_split is not None and config.traffic_split.percentage < 100
    if config.shadow is not None and (is_split or len(config.variants or ()) > 1):
        cure = "Leave it out, or serve one version alone: SageMaker copies the requests of no more."
        raise InvalidRequest.about(FieldProblem("shadow", "is given beside several versions", cure))


def _check_replicas(config: DeploymentConfig) -> None:
    policy = config.scaling_policy
    if policy is None:
        return
    if policy.max_replicas < policy.min_replicas:
        cure = f"Use {policy.min_replicas} or more, or lower min_replicas."
        raise InvalidRequest.about(
            FieldProblem("scaling_policy.max_replicas", f"is {policy.max_replicas}, below min_replicas", cure)
        )
    if "replicas" not in config.model_fields_set:
        return
    if policy.min_replicas <= config.replicas <= policy.max_replicas:
        return
    cure = f"Use {policy.min_replicas} to {policy.max_replicas}, the bounds of scaling_policy."
    raise InvalidRequest.about(FieldProblem("replicas", f"is {config.replicas}", cure))


def _check_disk(wanted: int, most: int, what: str) -> None:
    if wanted > most:
        problem = FieldProblem("resource_limits.disk_gb", f"is {wanted}", f"Use at most {most} GB, {what}.")
        raise InvalidRequest.about(problem)
