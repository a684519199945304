"""What a well-formed deployment configuration must also obey. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.deployments.request import DeploymentConfig
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, RefusedValue
from chalicelib.jobs.instances import serving_instance
from chalicelib.jobs.rules import BOUNDS
from chalicelib.models.model import Model, ModelStatus

# Of an endpoint: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariant.html
MAX_VOLUME_GB = 512


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


def check_config(config: DeploymentConfig, model: Model) -> None:
    """Refuse what is well formed and can't be acted on: a setting that is taken is also obeyed.

    Raises:
        RefusedValue: names each such field.
        InvalidRequest: names each bound that is crossed.
    """
    problems = []
    split = config.traffic_split
    if split is not None and split.percentage != 100:
        cure = "Leave traffic_split out, or use 100: an endpoint serves one version at a time."
        problems.append(
            FieldProblem("traffic_split.percentage", f"is {split.percentage}, which can't be acted on", cure)
        )
    if split is not None and set(split.target_models) - {model.model_id}:
        cure = "Leave target_models out, or name the deployed model alone."
        problems.append(
            FieldProblem("traffic_split.target_models", "names other models, which can't be acted on", cure)
        )
    if problems:
        raise RefusedValue.about(*problems)
    _check_bounds(config)
    _check_replicas(config)


def notices(config: Mapping[str, Any]) -> list[str]:
    """What of a configuration is kept but not acted on, said in every answer about the deployment."""
    if config.get("scaling_policy") is None:
        return []
    return ["scaling_policy is recorded; the number of replicas stays as it is until an operator changes it."]


def host(config: DeploymentConfig) -> Host:
    """The cheapest instance type for the limits; a small one without a GPU when there are none.

    Raises:
        InvalidRequest: nothing fits.
    """
    limits = config.resource_limits
    if limits is None:
        instance = serving_instance()
        return Host(instance.name, instance.gpus, None)
    instance = serving_instance(limits.memory_gb, limits.cpu_cores, limits.gpu_count, limits.gpu_type)
    if instance.local_disk_gb is None:
        _check_disk(limits.disk_gb, MAX_VOLUME_GB, "the largest volume of an endpoint")
        return Host(instance.name, instance.gpus, limits.disk_gb)
    _check_disk(limits.disk_gb, instance.local_disk_gb, f"the storage of {instance.name}")
    return Host(instance.name, instance.gpus, None)


def _check_bounds(config: DeploymentConfig) -> None:
    if config.resource_limits is None:
        return
    requirements = config.resource_limits.model_dump()
    problems = [
        FieldProblem(f"resource_limits.{name}", f"is {requirements[name]!s:.40}", f"Use {least} to {most} {unit}.")
        for name, (least, most, unit) in BOUNDS.items()
        if not least <= requirements[name] <= most
    ]
    if problems:
        raise InvalidRequest.about(*problems)


def _check_replicas(config: DeploymentConfig) -> None:
    policy = config.scaling_policy
    if policy is None or "replicas" not in config.model_fields_set:
        return
    if policy.min_replicas <= config.replicas <= policy.max_replicas:
        return
    cure = f"Use {policy.min_replicas} to {policy.max_replicas}, the bounds of scaling_policy."
    raise InvalidRequest.about(FieldProblem("replicas", f"is {config.replicas}", cure))


def _check_disk(wanted: int, most: int, what: str) -> None:
    if wanted > most:
        problem = FieldProblem("resource_limits.disk_gb", f"is {wanted}", f"Use at most {most} GB, {what}.")
        raise InvalidRequest.about(problem)
