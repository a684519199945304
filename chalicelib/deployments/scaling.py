"""Auto scaling of a deployment's variants by Application Auto Scaling: what is asked for, as data, and asking for it.

A scaled deployment has a scalable target for each variant, with one target-tracking policy for each thing that is tracked:
SageMaker adds instances when one of them is above its target, and removes some when all are below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from chalicelib.aws import error_code
from chalicelib.clock import duration_seconds
from chalicelib.deployments.deployment import Revision
from chalicelib.jobs.instances import hosting_type

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient

NAMESPACE: Final = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_METRICS = "/aws/sagemaker/Endpoints"
_MISSING = "ObjectNotFoundException"
_RECENT = 20


@dataclass(frozen=True)
class ScaledVariant:
    """A scalable target, and its policies by name.

    Attributes:
        policies: TargetTrackingScalingPolicyConfiguration of each.
    """

    resource: str
    minimum: int
    maximum: int
    policies: Mapping[str, Mapping[str, Any]]


def is_scaled(revision: Revision) -> bool:
    return revision.config.get("scaling_policy") is not None


def instances(revision: Revision, running: Iterable[int]) -> int:
    """How many instances each variant of a revision begins with: no fewer than it would take over from.

    Args:
        running: of the variants that the endpoint has now.
    """
    wanted = int(revision.config.get("replicas", 0))
    policy = revision.config.get("scaling_policy")
    if policy is None:
        return wanted
    return int(max(policy["min_replicas"], min(policy["max_replicas"], max([wanted, *running]))))


def scaled(endpoint: str, revision: Revision) -> list[ScaledVariant]:
    """What a revision asks for; nothing without a scaling policy."""
    policy = revision.config.get("scaling_policy")
    if policy is None:
        return []
    # SageMaker's CPUUtilization is 100 for each vCPU that is busy:
    # https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
    vcpus = hosting_type(revision.instance_type).vcpu
    cooldowns = {
        "ScaleOutCooldown": duration_seconds(policy["scale_up_cooldown"]) or 0,
        "ScaleInCooldown": duration_seconds(policy["scale_down_cooldown"]) or 0,
    }
    return [
        ScaledVariant(
            resource=f"endpoint/{endpoint}/variant/{variant.name}",
            minimum=policy["min_replicas"],
            maximum=policy["max_replicas"],
            policies={
                name: {**configuration, **cooldowns}
                for name, configuration in _tracked(policy, endpoint, variant.name, vcpus).items()
            },
        )
        for variant in revision.variants
    ]


def _tracked(policy: Mapping[str, Any], endpoint: str, variant: str, vcpus: int) -> dict[str, dict[str, Any]]:
    found = {
        "cpu": _utilization("CPUUtilization", policy["target_cpu_utilization"] * vcpus, endpoint, variant),
        "memory": _utilization("MemoryUtilization", policy["target_memory_utilization"], endpoint, variant),
    }
    predefined = {
        "invocations": ("target_invocations_per_instance", "SageMakerVariantInvocationsPerInstance"),
        "queue": ("target_queue_length", "SageMakerVariantConcurrentRequestsPerModelHighResolution"),
    }
    for name, (field, metric) in predefined.items():
        if (target := policy.get(field)) is not None:
            specification = {"PredefinedMetricType": metric}
            found[name] = {"TargetValue": float(target), "PredefinedMetricSpecification": specification}
    return found


def _utilization(metric: str, target: float, endpoint: str, variant: str) -> dict[str, Any]:
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    specification = {
        "MetricName": metric,
        "Namespace": _METRICS,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Statistic": "Average",
        "Unit": "Percent",
    }
    return {"TargetValue": float(target), "CustomizedMetricSpecification": specification}


@dataclass(frozen=True)
class Scaling:
    """What Application Auto Scaling does for our endpoints. Every call may be repeated."""

    client: ApplicationAutoScalingClient

    def apply(self, variants: Sequence[ScaledVariant]) -> None:
        for variant in variants:
            target: Any = _target(variant.resource)
            self.client.register_scalable_target(**target, MinCapacity=variant.minimum, MaxCapacity=variant.maximum)
            for name, configuration in variant.policies.items():
                tracking: Any = {"TargetTrackingScalingPolicyConfiguration": configuration}
                self.client.put_scaling_policy(
                    **target, PolicyName=name, PolicyType="TargetTrackingScaling", **tracking
                )

    def is_applied(self, variants: Sequence[ScaledVariant]) -> bool:
        """Whether the targets are there, with their bounds and policies."""
        found = self.client.describe_scalable_targets(
            ServiceNamespace=NAMESPACE, ResourceIds=[variant.resource for variant in variants]
        )
        there = {each["ResourceId"]: (each["MinCapacity"], each["MaxCapacity"]) for each in found["ScalableTargets"]}
        wanted = {variant.resource: (variant.minimum, variant.maximum) for variant in variants}
        return there == wanted and all(self._tracks(variant) for variant in variants)

    def _tracks(self, variant: ScaledVariant) -> bool:
        target: Any = _target(variant.resource)
        found = self.client.describe_scaling_policies(**target)["ScalingPolicies"]
        values = {
            each["PolicyName"]: each.get("TargetTrackingScalingPolicyConfiguration", {}).get("TargetValue")
            for each in found
        }
        return values == {name: configuration["TargetValue"] for name, configuration in variant.policies.items()}

    def forget(self, endpoint: str, revision: Revision) -> None:
        """Its instances stay as many as they are; SageMaker changes no variant that is scaled."""
        for variant in revision.variants:
            target: Any = _target(f"endpoint/{endpoint}/variant/{variant.name}")
            try:
                self.client.deregister_scalable_target(**target)
            except self.client.exceptions.ClientError as error:
                if error_code(error) != _MISSING:
                    raise

    def activities(self, endpoint: str, revision: Revision) -> list[dict[str, Any]]:
        """What was done lately for each variant, the latest first."""
        found: list[dict[str, Any]] = []
        for variant in revision.variants:
            target: Any = _target(f"endpoint/{endpoint}/variant/{variant.name}")
            answer = self.client.describe_scaling_activities(**target, MaxResults=_RECENT)
            found += [{**each, "variant": variant.name} for each in answer["ScalingActivities"]]
        return sorted(found, key=lambda each: each["StartTime"], reverse=True)[:_RECENT]


def _target(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": NAMESPACE, "ResourceId": resource, "ScalableDimension": DIMENSION}
