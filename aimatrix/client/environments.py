"""What environments ask for, and approvals, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EnvironmentPolicy:
    """What an environment asks of those who change what it serves.

    Attributes:
        deployers: users who may; None: everybody who may deploy.
        approvals: how many of the approvers must have approved a version.
        required_gates: types of gates that a rollout must have.
        change_windows: when changes may be made, as the service has them; none: at all times.
        scale_to_zero: a deployment that asks for nothing that needs instances has none while nobody asks.
    """

    environment: str
    deployers: tuple[str, ...] | None
    approvals: int
    approvers: tuple[str, ...]
    required_gates: tuple[str, ...]
    change_windows: tuple[Mapping[str, Any], ...]
    scale_to_zero: bool
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> EnvironmentPolicy:
        deployers, approvals = document.get("deployers"), document.get("approvals") or {}
        return cls(
            environment=document["environment"],
            deployers=tuple(deployers) if deployers is not None else None,
            approvals=int(approvals.get("required", 0)),
            approvers=tuple(approvals.get("approvers", ())),
            required_gates=tuple(document.get("required_gates") or ()),
            change_windows=tuple(document.get("change_windows") or ()),
            scale_to_zero=bool(document.get("scale_to_zero")),
            document=document,
        )


@dataclass(frozen=True)
class Approval:
    """What a user says of a version in an environment: ``approved`` or ``rejected``."""

    environment: str
    user: str
    decision: str
    comment: str | None
    at: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Approval:
        return cls(
            environment=document["environment"],
            user=document["user_id"],
            decision=document["decision"],
            comment=document.get("comment"),
            at=document["at"],
            document=document,
        )
