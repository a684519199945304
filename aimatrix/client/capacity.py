"""Capacity pools, and why a job waits, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class ImportedPool:
    """What the AWS account allows in one pool.

    Attributes:
        limit: None when the account says nothing of the pool's instance types; its limit stays as it is.
        limit_before: what was set; None without a limit.
        changes: whether the import sets it, or would.
        quotas: the quotas it was made of: ``{"instance_type", "instances", "each"}``.
    """

    name: str
    unit: str
    limit: int | None
    limit_before: int | None
    changes: bool
    quotas: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class AccountImport:
    """What an import of the account's service quotas changed, or would change.

    Attributes:
        batch: EC2's quotas of vCPUs, for setting the stack's Batch parameters.
    """

    pools: Sequence[ImportedPool]
    batch: Sequence[Mapping[str, Any]]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> AccountImport:
        pools = [
            ImportedPool(
                name=each["pool"],
                unit=each.get("unit", ""),
                limit=each.get("limit"),
                limit_before=each.get("limit_before"),
                changes=each["changes"],
                quotas=each.get("quotas") or (),
            )
            for each in document["pools"]
        ]
        return cls(pools, document.get("batch") or (), document)


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
