"""The calls to SageMaker that make a revision serve, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.deployments.deployment import Deployment, Revision, resource_name, variant_name
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
    deployment: Deployment, revision: Revision, model: Model, image: str, around: Surroundings
) -> dict[str, Any]:
    """Arguments of CreateModel, CreateEndpointConfig and CreateEndpoint (or UpdateEndpoint, which takes no tags)."""
    name = resource_name(deployment.endpoint, revision.number)
    tags = _tags(deployment, revision, around.stack)
    variant: dict[str, Any] = {
        "VariantName": variant_name(revision.model_version),
        "ModelName": name,
        "InitialInstanceCount": int(revision.config["replicas"]),
        "InstanceType": revision.instance_type,
        "InitialVariantWeight": 1.0,
    }
    if revision.volume_gb is not None:
        variant["VolumeSizeInGB"] = revision.volume_gb
    return {
        "model": {
            "ModelName": name,
            "PrimaryContainer": {
                "Image": image,
                "ModelDataUrl": model.archive.uri,
                "Environment": {**CONTAINER_ENVIRONMENT, "SAGEMAKER_REGION": around.region},
            },
            "ExecutionRoleArn": around.serving_role_arn,
            "Tags": tags,
        },
        "config": {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags},
        "endpoint": {"EndpointName": deployment.endpoint, "EndpointConfigName": name, "Tags": tags},
    }


def deletions(deployment: Deployment) -> dict[str, Any]:
    """The endpoint, and what all of its revisions may have left."""
    numbers = range(deployment.first_revision, deployment.revisions + 1)
    names = [resource_name(deployment.endpoint, number) for number in numbers]
    return {"endpoint_name": deployment.endpoint, "endpoint_config_names": names, "model_names": names}


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
