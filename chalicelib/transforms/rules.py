"""What a well-formed transform must also obey. Pure."""

from __future__ import annotations

from chalicelib.deployments.rules import check_limits
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.jobs.instances import InstanceType, serving_instance
from chalicelib.transforms.request import TransformRequest
from chalicelib.transforms.transform import Settings

MAX_MB_AT_ONCE = 100
"""https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html, MaxPayloadInMB"""


def settings(request: TransformRequest) -> Settings:
    """
    Raises:
        InvalidRequest: SageMaker would not take them together.
    """
    split = request.split or ("line" if request.content_type == "text/csv" else "none")
    if request.batch_strategy == "single-record" and split == "none":
        cure = "Use split line, or leave it out: a file that is not split is one record."
        raise InvalidRequest.about(FieldProblem("batch_strategy", "is single-record without records", cure))
    at_once = request.max_payload_mb * request.max_concurrent_transforms
    if at_once > MAX_MB_AT_ONCE:
        cure = f"Let both multiply to {MAX_MB_AT_ONCE} at most."
        problem = FieldProblem("max_concurrent_transforms", f"sends {at_once} MB at once with max_payload_mb", cure)
        raise InvalidRequest.about(problem)
    return Settings(
        content_type=request.content_type,
        accept=request.accept or request.content_type,
        split=split,
        batch_strategy=request.batch_strategy,
        max_payload_mb=request.max_payload_mb,
        max_concurrent_transforms=request.max_concurrent_transforms,
    )


def instance(request: TransformRequest) -> InstanceType:
    """The cheapest type that batch transform has for the limits.

    Raises:
        InvalidRequest: a bound is crossed, or nothing fits.
    """
    limits = request.resource_limits
    if limits is None:
        return serving_instance(for_transform=True)
    check_limits(limits)
    return serving_instance(limits.memory_gb, limits.cpu_cores, limits.gpu_count, limits.gpu_type, for_transform=True)
