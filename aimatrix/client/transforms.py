"""Batch transforms as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OPEN: frozenset[str] = frozenset({"in-progress", "cancelling"})


@dataclass(frozen=True)
class Transform:
    """A model's answers to a dataset.

    Attributes:
        status: ``in-progress``, ``cancelling``; ``completed``, ``failed``, ``cancelled``.
        model: as ``name:version``.
        output: S3 URI of the answers.
        cost_usd: at the list price, once it has ended.
    """

    id: str
    model_id: str
    model: str
    status: str
    failure_reason: str | None
    input: str
    output: str
    created_at: str
    cost_usd: float | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Transform:
        return cls(
            id=document["id"],
            model_id=document["model_id"],
            model=document["model"],
            status=document["status"],
            failure_reason=document.get("failure_reason"),
            input=document["input"],
            output=document["output"],
            created_at=document["created_at"],
            cost_usd=document.get("cost_usd"),
            document=document,
        )

    def is_over(self) -> bool:
        return self.status not in OPEN

    def has_completed(self) -> bool:
        return self.status == "completed"


@dataclass(frozen=True)
class TransformOutput:
    """A file of answers, and an address that gives it for a quarter of an hour."""

    name: str
    uri: str
    size: int
    url: str
