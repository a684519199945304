"""Retraining policies and their runs as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OPEN: frozenset[str] = frozenset({"gathering", "starting", "training"})
_OF_THE_SERVICE = frozenset({"id", "user_id", "created_at", "updated_at"})


@dataclass(frozen=True)
class RetrainingPolicy:
    """What is uploaded below a prefix trains the next version of a model.

    Attributes:
        user_id: whose jobs they are.
        uri_prefix: S3 URI of what the data's addresses begin with.
        is_watched: uploads start runs; otherwise a person does.
        debounce: a run is due when nothing has come for so long; ISO 8601.
        deploy_to: environment; None: the model is registered, and that is all.
    """

    id: str
    name: str
    user_id: str
    enabled: bool
    uri_prefix: str
    is_watched: bool
    debounce: str
    deploy_to: str | None
    created_at: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RetrainingPolicy:
        return cls(
            id=document["id"],
            name=document["name"],
            user_id=document["user_id"],
            enabled=bool(document["enabled"]),
            uri_prefix=document["source"]["uri_prefix"],
            is_watched=document["source"]["type"] == "s3",
            debounce=document["debounce"],
            deploy_to=(document.get("on_success") or {}).get("deploy_to"),
            created_at=document["created_at"],
            document=document,
        )

    def settings(self) -> dict[str, Any]:
        """What it says, to be changed and set again: the document without what the service adds."""
        return settings_of(self.document)


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What can be set, of a policy as the service shows it."""
    return {name: value for name, value in document.items() if name not in _OF_THE_SERVICE}


@dataclass(frozen=True)
class RunData:
    """The data that a run's job was given, as it was then.

    Attributes:
        checksum: the same for the same objects in the same versions.
        manifest: S3 URI of the list of them, a JSON object a line.
    """

    id: str
    uri: str
    objects: int
    bytes: int
    checksum: str
    manifest: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RunData:
        return cls(
            id=document["id"],
            uri=document["uri"],
            objects=int(document["objects"]),
            bytes=int(document["bytes"]),
            checksum=document["checksum"],
            manifest=document["manifest"],
        )


@dataclass(frozen=True)
class RetrainingRun:
    """What came for a policy, the job that learns from it, and what became of its model.

    Attributes:
        id: its number among the policy's, from 1.
        status: ``gathering``, ``starting``, ``training``; ``succeeded``, ``failed``, ``refused``, ``skipped``.
        trigger: ``upload`` or ``person``.
        reason: why it was refused, skipped or failed, or what it waits for.
        objects, bytes: new or changed ones that came for it; None while it gathers.
        warnings: how the new data differs from the data before, in sentences.
        cost_usd: of its job, once that has ended.
        deployment_reason: why its model was, or was not, deployed.
    """

    id: str
    policy_id: str
    status: str
    trigger: str
    reason: str | None
    objects: int | None
    bytes: int | None
    data: RunData | None
    warnings: tuple[str, ...]
    job_id: str | None
    model_id: str | None
    deployment_id: str | None
    deployment_reason: str | None
    cost_usd: float | None
    opened_at: str
    ended_at: str | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RetrainingRun:
        return cls(
            id=document["id"],
            policy_id=document["policy_id"],
            status=document["status"],
            trigger=document["trigger"],
            reason=document.get("reason"),
            objects=document.get("objects"),
            bytes=document.get("bytes"),
            data=RunData.from_document(document["data"]) if document.get("data") else None,
            warnings=tuple(document.get("warnings") or ()),
            job_id=document.get("job_id"),
            model_id=document.get("model_id"),
            deployment_id=document.get("deployment_id"),
            deployment_reason=document.get("deployment_reason"),
            cost_usd=document.get("cost_usd"),
            opened_at=document["opened_at"],
            ended_at=document.get("ended_at"),
            document=document,
        )

    def is_over(self) -> bool:
        return self.status not in OPEN

    def has_succeeded(self) -> bool:
        return self.status == "succeeded"
