"""Capacity pools, and why a job waits, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pool:
    """How much of one kind of machine may be in use at once.

    Attributes:
        name: ``sagemaker/v100`` and the like; ``sagemaker/cpu`` counts vCPUs, all others GPUs.
        limit: None when it was taken away and jobs that it held have not all ended.
        waiting: how many jobs wait, by priority.
    """

    name: str
    unit: str
    limit: int | None
    in_use: int
    waiting: Mapping[str, int]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Pool:
        return cls(
            name=document["pool"],
            unit=document.get("unit", ""),
            limit=document.get("limit"),
            in_use=document.get("in_use", 0),
            waiting=document.get("waiting") or {},
            document=document,
        )


@dataclass(frozen=True)
class QueuePlace:
    """Where a job stands, and why.

    Attributes:
        state: ``waiting``, ``admitted``, ``running`` or ``finished``.
        position: in the line, the first is 1; None when it does not stand in one.
        is_exact: whether nobody else goes before; there may be more.
        expected_start: if nobody else comes; None when it is not known.
        basis: what the expected start rests on, or why there is none.
    """

    job_id: str
    state: str
    reason: str
    position: int | None
    is_exact: bool
    expected_start: str | None
    basis: str | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> QueuePlace:
        return cls(
            job_id=document["job_id"],
            state=document["state"],
            reason=document.get("reason", ""),
            position=document.get("position"),
            is_exact=document.get("jobs_ahead_is_exact", False),
            expected_start=document.get("expected_start"),
            basis=document.get("expected_start_basis"),
            document=document,
        )
