"""The calls to SageMaker that make a revision serve, as data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.deployments.deployment import Deployment, Revision, Variant, model_name, resource_name
from chalicelib.deployments.rules import SERVERLESS_CONCURRENCY, serverless_memory
from chalicelib.deployments.scaling import instances
from chalicelib.models.model import Model

# What AWS's inference images are told, as the SageMaker SDK tells them: which module has model_fn and the like, and
# where in the unpacked archive it lies. https://github.com/aws/sagemaker-inference-toolkit
CONTAINER_ENVIRONMENT: Mapping[str, str] = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
}


@dataclass(frozen=True)
class Surroundings:
    """What an installation gives to an endpoint of a tenant."""

    serving_role_arn: str
    region: str
    stack: str


def requests(
    deployment: Deployment,
    revision: Revision,
    models: Sequence[tuple[Model, str]],
    around: Surroundings,
    running: Iterable[int] = (),
) -> dict[str, Any]:
    """Arguments of CreateModel for each variant, CreateEndpointConfig and CreateEndpoint (or UpdateEndpoint, without tags).

    Args:
        models: with the image of each, in the order of what the revision hosts.
        running: how many instances the variants of the endpoint have now.
    """
    count = instances(revision, running)
    name = revision.resource(deployment.endpoint)
    tags = _tags(deployment, revision, around.stack)
    variants = [
        _variant(revision, variant, model_name(name, position), count)
        for position, variant in enumerate(revision.variants)
    ]
    return {
        "models": [
            {
                "ModelName": model_name(name, position),
                "PrimaryContainer": {
                    "Image": image,
                    "ModelDataUrl": model.archive.uri,
                    "Environment": {**CONTAINER_ENVIRONMENT, "SAGEMAKER_REGION": around.region},
                },
                "ExecutionRoleArn": around.serving_role_arn,
                "Tags": tags,
            }
            for position, (model, image) in enumerate(models)
        ],
        "config": {
            "EndpointConfigName": name,
            "ProductionVariants": variants,
            **_shadows(revision, model_name(name, len(variants)), count),
            "Tags": tags,
        },
        "endpoint": {"EndpointName": deployment.endpoint, "EndpointConfigName": name, "Tags": tags},
    }


def _shadows(revision: Revision, model: str, count: int) -> dict[str, Any]:
    """A shadow gets as large a part of the requests as its weight is of the production variant's."""
    if revision.shadow is None:
        return {}
    weight = revision.variants[0].weight * revision.shadow.weight / 100
    return {"ShadowProductionVariants": [_variant(revision, replace(revision.shadow, weight=weight), model, count)]}


def _variant(revision: Revision, variant: Variant, model: str, count: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "VariantName": variant.name,
        "ModelName": model,
        "InitialVariantWeight": variant.weight,
    }
    if revision.is_serverless:
        memory = serverless_memory(revision.config)
        return {**document, "ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": SERVERLESS_CONCURRENCY}}
    document |= {"InitialInstanceCount": count, "InstanceType": revision.instance_type}
    if revision.volume_gb is not None:
        document["VolumeSizeInGB"] = revision.volume_gb
    return document


def deletions(deployment: Deployment) -> dict[str, Any]:
    """The endpoint, and what its revisions may have left."""
    named = [(resource_name(deployment.endpoint, number), models) for number, models in deployment.resources]
    return {
        "endpoint_name": deployment.endpoint,
        "endpoint_config_names": [name for name, _ in named],
        "model_names": [model_name(name, position) for name, models in named for position in range(models)],
    }


def _tags(deployment: Deployment, revision: Revision, stack: str) -> list[dict[str, str]]:
    values = {
        "aimatrix:stack": stack,
        "aimatrix:tenant": deployment.tenant,
        "aimatrix:deployment-id": deployment.deployment_id,
        "aimatrix:revision": str(revision.number),
        "aimatrix:model-id": revision.model_id,
        "aimatrix:environment": deployment.environment,
    }
    return [{"Key": key, "Value": value} for key, value in values.items()]
