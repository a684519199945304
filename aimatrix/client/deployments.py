"""Deployments as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aimatrix.client.jobs import ResourceRequirements

Environment = Literal["development", "staging", "production"]
DeploymentStatus = Literal["deploying", "active", "inactive", "failed", "terminated"]

SETTLED: frozenset[str] = frozenset({"active", "inactive", "failed", "terminated"})


@dataclass(frozen=True)
class DeploymentConfig:
    """How a model is to be served. What is None is left to the service.

    Attributes:
        variants: weight by model id, to serve several versions at once; the deployed one among them.
        serverless: without instances while nobody asks; nothing is paid for then.
        shadow: id of a version that gets copies of the requests and answers nobody.
        shadow_percentage: of the requests that it gets.
    """

    environment: str
    replicas: int | None = None
    resource_limits: ResourceRequirements | None = None
    scaling_policy: Mapping[str, Any] | None = None
    variants: Mapping[str, float] | None = None
    serverless: bool | None = None
    shadow: str | None = None
    shadow_percentage: float = 100.0

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"environment": self.environment}
        if self.replicas is not None:
            document["replicas"] = self.replicas
        if self.resource_limits is not None:
            document["resource_limits"] = self.resource_limits.to_document()
        if self.scaling_policy is not None:
            document["scaling_policy"] = dict(self.scaling_policy)
        if self.serverless is not None:
            document["serverless"] = self.serverless
        if self.variants is not None:
            document["variants"] = weighed(self.variants)
        if self.shadow is not None:
            document["shadow"] = {"model_id": self.shadow, "percentage": self.shadow_percentage}
        return document


def weighed(weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Weights by model id, as the service takes them."""
    return [{"model_id": model_id, "weight": weight} for model_id, weight in weights.items()]


@dataclass(frozen=True)
class Variant:
    """One version behind an endpoint.

    Attributes:
        name: as answers name it (``X-Variant``).
        percentage: of the requests that name neither a variant nor a key.
    """

    name: str
    model_id: str
    model_version: str
    weight: float
    percentage: float


@dataclass(frozen=True)
class Shadow:
    """A version that gets copies of the requests and answers nobody.

    Attributes:
        percentage: of the requests.
    """

    name: str
    model_id: str
    model_version: str
    percentage: float


@dataclass(frozen=True)
class Deployment:
    """A model name in one environment, behind one endpoint. Another version, or other weights, raise ``revision``.

    Attributes:
        variants: what is served, or about to be, the deployed version first.
        shadow: what gets copies of its requests.
    """

    id: str
    model_id: str
    name: str
    environment: str
    status: str
    endpoint: str | None
    revision: int
    failure_reason: str | None
    created_at: str
    variants: tuple[Variant, ...]
    shadow: Shadow | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Deployment:
        return cls(
            id=document["id"],
            model_id=document.get("model_id", ""),
            name=document.get("name", ""),
            environment=document.get("environment", ""),
            status=document.get("status", ""),
            endpoint=document.get("endpoint"),
            revision=int(document.get("revision") or 0),
            failure_reason=document.get("failure_reason"),
            created_at=document.get("created_at", ""),
            variants=tuple(_variant(each) for each in document.get("variants") or ()),
            shadow=_shadow(document.get("shadow")),
            document=document,
        )

    @property
    def reference(self) -> str:
        """``name@environment``, the form that people write."""
        return f"{self.name}@{self.environment}"

    def is_settled(self) -> bool:
        return self.status in SETTLED

    def is_active(self) -> bool:
        return self.status == "active"

    def is_down(self) -> bool:
        return self.status == "terminated"


@dataclass(frozen=True)
class Revision:
    """A revision of a deployment that has settled.

    Attributes:
        outcome: ``active`` where it answered, ``failed`` where it never did.
        reason: why it failed.
    """

    number: int
    model_id: str
    model_version: str
    variants: tuple[Variant, ...]
    outcome: str
    reason: str | None
    user: str
    settled_at: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Revision:
        return cls(
            number=int(document["revision"]),
            model_id=document["model_id"],
            model_version=document["model_version"],
            variants=tuple(_variant(each) for each in document.get("variants") or ()),
            outcome=document["outcome"],
            reason=document.get("reason"),
            user=document.get("user_id", ""),
            settled_at=document["settled_at"],
            document=document,
        )


def _shadow(document: Mapping[str, Any] | None) -> Shadow | None:
    if document is None:
        return None
    return Shadow(
        name=document["name"],
        model_id=document["model_id"],
        model_version=document["model_version"],
        percentage=float(document["percentage"]),
    )


def _variant(document: Mapping[str, Any]) -> Variant:
    return Variant(
        name=document["name"],
        model_id=document["model_id"],
        model_version=document["model_version"],
        weight=float(document["weight"]),
        percentage=float(document["percentage"]),
    )
