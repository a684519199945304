"""What is registered: scalable targets, their policies, and what has been done for them; in the emulator's store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localcloud.compute.errors import ApiError, ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.operations import Document
from localcloud.compute.scaling.tracking import Bounds, Tracked

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TARGET, POLICY, ACTIVITY = "scalable-target", "scaling-policy", "scaling-activity"
KEPT_ACTIVITIES = 100
"""Of a target."""

_RESOURCE = re.compile(r"endpoint/(?P<endpoint>[A-Za-z0-9-]{1,63})/variant/(?P<variant>[A-Za-z0-9-]{1,63})")
INVOCATIONS, CONCURRENT, CPU, MEMORY = "invocations", "concurrent", "cpu", "memory"
_PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": INVOCATIONS,
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": CONCURRENT,
}
_CUSTOM = {"CPUUtilization": CPU, "MemoryUtilization": MEMORY}
_CUSTOM_NAMESPACE = "/aws/sagemaker/Endpoints"
_DEFAULT_COOLDOWN = 300


@dataclass(frozen=True)
class Resource:
    """A variant of an endpoint."""

    endpoint: str
    variant: str

    @classmethod
    def of(cls, params: Document) -> Resource:
        """
        Raises:
            ValidationFailed: it is none that can be scaled here.
        """
        if params["ServiceNamespace"] != NAMESPACE or params.get("ScalableDimension", DIMENSION) != DIMENSION:
            raise ValidationFailed("Unsupported service namespace, resource type or scalable dimension")
        return cls.parse(params["ResourceId"])

    @classmethod
    def parse(cls, text: str) -> Resource:
        found = _RESOURCE.fullmatch(text)
        if found is None:
            raise ValidationFailed(f"Unsupported resource ID: {text[:200]}")
        return cls(found["endpoint"], found["variant"])

    @property
    def id(self) -> str:
        return f"endpoint/{self.endpoint}/variant/{self.variant}"

    @property
    def key(self) -> str:
        return self.id.lower()


class Targets:
    def __init__(self, host: Host) -> None:
        self._host = host

    def find(self, resource: Resource) -> Document | None:
        return self._host.store.get(TARGET, resource.key)

    def all(self) -> list[Document]:
        return [document for _, document in self._host.store.scan(TARGET)]

    def register(self, resource: Resource, params: Document, arn: str) -> Document:
        """A new one, or another capacity of one that is there.

        Raises:
            ValidationFailed: a capacity is missing, or the two don't go together.
        """
        before = self.find(resource)
        least = params.get("MinCapacity", before and before["MinCapacity"])
        most = params.get("MaxCapacity", before and before["MaxCapacity"])
        if least is None or most is None:
            raise ValidationFailed("Both MinCapacity and MaxCapacity must be specified for a new scalable target")
        if least < 1:
            raise ValidationFailed("Minimum capacity of a production variant must be at least 1")
        if most < least:
            raise ValidationFailed("Maximum capacity cannot be less than minimum capacity")
        document = {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource.id,
            "ScalableDimension": DIMENSION,
            "MinCapacity": least,
            "MaxCapacity": most,
            "RoleARN": self._role,
            "CreationTime": before["CreationTime"] if before else self._host.now(),
            "ScalableTargetARN": before["ScalableTargetARN"] if before else arn,
        }
        self._host.store.put(TARGET, resource.key, document)
        return document

    def deregister(self, resource: Resource) -> None:
        """With its policies. What has been done for it is told as before, until there is too much of it."""
        for policy in self.policies(resource):
            self._host.store.delete(POLICY, _policy_key(resource, policy["PolicyName"]))
        self._host.store.delete(TARGET, resource.key)

    def put_policy(self, resource: Resource, params: Document, arn: str) -> Document:
        before = self._host.store.get(POLICY, _policy_key(resource, params["PolicyName"]))
        document = {
            "PolicyARN": before["PolicyARN"] if before else arn,
            "PolicyName": params["PolicyName"],
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource.id,
            "ScalableDimension": DIMENSION,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": params["TargetTrackingScalingPolicyConfiguration"],
            "CreationTime": before["CreationTime"] if before else self._host.now(),
        }
        tracked(document)
        self._host.store.put(POLICY, _policy_key(resource, params["PolicyName"]), document)
        return document

    def delete_policy(self, resource: Resource, name: str) -> bool:
        return self._host.store.delete(POLICY, _policy_key(resource, name))

    def policies(self, resource: Resource | None = None) -> list[Document]:
        found = (document for _, document in self._host.store.scan(POLICY))
        return [each for each in found if resource is None or each["ResourceId"].lower() == resource.key]

    def note(self, activity: Document) -> None:
        self._host.store.put(ACTIVITY, activity["ActivityId"], activity)
        of_this = [each for each in self.activities() if each["ResourceId"] == activity["ResourceId"]]
        for old in of_this[KEPT_ACTIVITIES:]:
            self._host.store.delete(ACTIVITY, old["ActivityId"])

    def activities(self) -> Iterator[Document]:
        """The latest first."""
        return (document for _, document in self._host.store.scan(ACTIVITY, newest_first=True))

    @property
    def _role(self) -> str:
        service = "sagemaker.application-autoscaling.amazonaws.com"
        name = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        return f"arn:aws:iam::{self._host.settings.account}:role/aws-service-role/{service}/{name}"


def bounds(target: Document) -> Bounds:
    return Bounds(target["MinCapacity"], target["MaxCapacity"])


def tracked(policy: Document) -> Tracked:
    """
    Raises:
        ValidationFailed: it tracks nothing that is measured here.
    """
    configuration: dict[str, Any] = policy["TargetTrackingScalingPolicyConfiguration"]
    predefined, custom = (configuration.get(f"{kind}MetricSpecification") for kind in ("Predefined", "Customized"))
    if (predefined is None) == (custom is None):
        raise ValidationFailed("Either a predefined or a customized metric specification must be given")
    if configuration["TargetValue"] <= 0:
        raise ValidationFailed("TargetValue must be greater than 0")
    metric = _PREDEFINED.get(predefined["PredefinedMetricType"]) if predefined else _custom(policy, custom or {})
    if metric is None:
        raise ValidationFailed("The metric is not supported by the compute emulator for a variant of an endpoint.")
    return Tracked(
        name=policy["PolicyName"],
        metric=metric,
        target=float(configuration["TargetValue"]),
        out_cooldown=configuration.get("ScaleOutCooldown", _DEFAULT_COOLDOWN),
        in_cooldown=configuration.get("ScaleInCooldown", _DEFAULT_COOLDOWN),
        may_remove=not configuration.get("DisableScaleIn", False),
    )


def _custom(policy: Document, custom: Document) -> str | None:
    """Of its own variant: another's load would say nothing of how many instances this one needs."""
    resource = Resource.parse(policy["ResourceId"])
    own = {"EndpointName": resource.endpoint, "VariantName": resource.variant}
    of = {each["Name"]: each["Value"] for each in custom.get("Dimensions", ())}
    is_own = of == own and custom.get("Namespace") == _CUSTOM_NAMESPACE and custom.get("Statistic") == "Average"
    return _CUSTOM.get(custom.get("MetricName", "")) if is_own else None


def not_registered(resource: Resource) -> ApiError:
    said = (
        f"No scalable target found for service namespace: {NAMESPACE}, resource ID: {resource.id}, "
        f"scalable dimension: {DIMENSION}"
    )
    return ApiError("ObjectNotFoundException", said)


def _policy_key(resource: Resource, name: str) -> str:
    return f"{resource.key}#{name}"
