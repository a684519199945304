"""The first step of the machine: the calls to SageMaker, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.deployments.plan import CONTAINER_ENVIRONMENT
from chalicelib.jobs.instances import hosting_type
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore
from chalicelib.transforms.store import TransformStore
from chalicelib.transforms.transform import Transform, TransformStatus

_STRATEGIES = {"multi-record": "MultiRecord", "single-record": "SingleRecord"}
_SPLITS = {"line": "Line", "none": "None"}


@dataclass(frozen=True)
class Planning:
    """
    Args:
        image_of: the inference image for (framework, whether it has a GPU).
        role_of: the tenant's role that reads its data and writes the answers to it.
        output_of: the S3 URI of a key of the artifact store.
    """

    store: TransformStore
    models: ModelStore
    image_of: Callable[[str, bool], str]
    role_of: Callable[[str], str]
    output_of: Callable[[str], str]
    region: str
    stack: str

    def plan(self, tenant: str, transform_id: str) -> dict[str, Any]:
        """
        Returns:
            `next`: `transform` with the requests as `model` and `job`; `finish` when it is not wanted any more.
        """
        transform = self.store.get(tenant, transform_id)
        if transform is None:
            raise LookupError(f"there is no transform {transform_id} of tenant {tenant}")
        if transform.status is not TransformStatus.IN_PROGRESS:
            return {"next": "finish"}
        model = self.models.get(tenant, transform.model_id)
        if model is None:
            raise LookupError(f"there is no model {transform.model_id} of tenant {tenant}")
        return {"next": "transform", "model": self._model(transform, model), "job": self._job(transform)}

    def _model(self, transform: Transform, model: Model) -> dict[str, Any]:
        gpus = hosting_type(transform.instance_type).gpus
        return {
            "ModelName": transform.resource,
            "PrimaryContainer": {
                "Image": self.image_of(model.framework, gpus > 0),
                "ModelDataUrl": model.archive.uri,
                "Environment": {**CONTAINER_ENVIRONMENT, "SAGEMAKER_REGION": self.region},
            },
            "ExecutionRoleArn": self.role_of(transform.tenant),
            "Tags": self._tags(transform),
        }

    def _job(self, transform: Transform) -> dict[str, Any]:
        settings = transform.settings
        return {
            "TransformJobName": transform.resource,
            "ModelName": transform.resource,
            "BatchStrategy": _STRATEGIES[settings.batch_strategy],
            "MaxPayloadInMB": settings.max_payload_mb,
            "MaxConcurrentTransforms": settings.max_concurrent_transforms,
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": transform.source}},
                "ContentType": settings.content_type,
                "SplitType": _SPLITS[settings.split],
            },
            "TransformOutput": {
                "S3OutputPath": self.output_of(transform.output_prefix),
                "Accept": settings.accept,
                "AssembleWith": _SPLITS[settings.split],
            },
            "TransformResources": {
                "InstanceType": transform.instance_type,
                "InstanceCount": transform.instance_count,
            },
            "Tags": self._tags(transform),
        }

    def _tags(self, transform: Transform) -> list[dict[str, str]]:
        values = {
            "aimatrix:stack": self.stack,
            "aimatrix:tenant": transform.tenant,
            "aimatrix:transform-id": transform.transform_id,
            "aimatrix:model-id": transform.model_id,
        }
        return [{"Key": key, "Value": value} for key, value in values.items()]
