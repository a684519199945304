"""Rollouts as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OPEN: frozenset[str] = frozenset({"running", "paused", "rolling-back"})


@dataclass(frozen=True)
class RolloutStep:
    """
    Attributes:
        weight: the new version's part of the requests, in percent.
        shadow: it gets copies of so many, and answers nobody.
        duration: ISO 8601.
        status: ``ahead``, ``beginning``, ``running``, ``passed``, ``stopped`` or ``left-out``.
        samples: requests that the new version has answered in it; None before it has begun.
    """

    weight: float
    duration: str
    minimum_samples: int
    status: str
    samples: int | None
    shadow: bool = False


@dataclass(frozen=True)
class RolloutGate:
    """
    Attributes:
        gate: in words.
        finding: ``passed``, ``waiting``, ``breached`` or ``promotes``; None before it was looked at.
        reason: why, with numbers.
    """

    gate: str
    finding: str | None
    reason: str | None


@dataclass(frozen=True)
class Rollout:
    """Another version takes over from what a deployment serves, step by step.

    Attributes:
        id: its number among the deployment's.
        status: ``running``, ``paused``, ``rolling-back``; ``succeeded``, ``rolled-back``, ``inconclusive``, ``aborted``,
            ``failed``, ``overtaken``.
        step: the present one, counted from 1.
    """

    id: str
    deployment_id: str
    status: str
    reason: str | None
    model_id: str
    model_version: str
    step: int
    steps: tuple[RolloutStep, ...]
    gates: tuple[RolloutGate, ...]
    created_at: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Rollout:
        return cls(
            id=document["id"],
            deployment_id=document["deployment_id"],
            status=document["status"],
            reason=document.get("reason"),
            model_id=document["to"]["model_id"],
            model_version=document["to"]["model_version"],
            step=int(document["step"]),
            steps=tuple(
                RolloutStep(
                    float(each["weight"]),
                    each["duration"],
                    int(each["minimum_samples"]),
                    each["status"],
                    each.get("samples"),
                    bool(each.get("shadow")),
                )
                for each in document["steps"]
            ),
            gates=tuple(
                RolloutGate(each["gate"], each.get("finding"), each.get("reason")) for each in document["gates"]
            ),
            created_at=document["created_at"],
            document=document,
        )

    def is_over(self) -> bool:
        return self.status not in OPEN

    def has_succeeded(self) -> bool:
        return self.status == "succeeded"
