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
    """How a model is to be served. What is None is left to the service."""

    environment: str
    replicas: int | None = None
    resource_limits: ResourceRequirements | None = None
    scaling_policy: Mapping[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"environment": self.environment}
        if self.replicas is not None:
            document["replicas"] = self.replicas
        if self.resource_limits is not None:
            document["resource_limits"] = self.resource_limits.to_document()
        if self.scaling_policy is not None:
            document["scaling_policy"] = dict(self.scaling_policy)
        return document


@dataclass(frozen=True)
class Deployment:
    """A model name in one environment, behind one endpoint. A new version of the model raises ``revision``."""

    id: str
    model_id: str
    name: str
    environment: str
    status: str
    endpoint: str | None
    revision: int
    failure_reason: str | None
    created_at: str
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
