"""A run of a policy: what came, the job that learns from it, and what became of its model. Frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum


class RunStatus(Enum):
    GATHERING = "gathering"
    """Objects come, or the job of the run before has not ended."""
    STARTING = "starting"
    """It takes no more objects; a job is being made of it."""
    TRAINING = "training"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Its job failed, or was cancelled."""
    REFUSED = "refused"
    """No job was made of it; `reason` says why."""
    SKIPPED = "skipped"
    """The job of the run before had not ended, and the policy says `skip`."""

    @property
    def is_over(self) -> bool:
        return self not in {RunStatus.GATHERING, RunStatus.STARTING, RunStatus.TRAINING}


class Trigger(Enum):
    UPLOAD = "upload"
    PERSON = "person"


@dataclass(frozen=True)
class DataVersion:
    """The data that a job was given, as it was then: which objects, in which versions.

    Attributes:
        data_id: names it in lineage.
        checksum: SHA-256 of the manifest's lines, in hexadecimal: the same data has the same one.
        manifest: key of the object that lists each object with version, ETag and size.
    """

    data_id: str
    uri: str
    objects: int
    size: int
    checksum: str
    manifest: str


@dataclass(frozen=True)
class Run:
    """`record_version` grows by one with every change of the record.

    Attributes:
        number: the policy's first run is 1.
        user: whose run it is: who set the policy, or who asked for it.
        last_at: when the last object came.
        is_complete: the marker of its set has come.
        look_at: when the word comes, which is on its way, that it is to be looked at.
        begun_at: since when it takes no more objects, and waits for a place in the quota if there is none.
        objects, size: new or changed ones that came for it; known once it takes no more.
        warnings: what the schema check found, in sentences.
        deployment_reason: why its model was, or was not, deployed.
    """

    tenant: str
    policy_id: str
    number: int
    user: str
    trigger: Trigger
    opened_at: datetime
    updated_at: datetime
    last_at: datetime
    status: RunStatus = RunStatus.GATHERING
    record_version: int = 1
    is_complete: bool = False
    look_at: datetime | None = None
    objects: int | None = None
    size: int | None = None
    begun_at: datetime | None = None
    data: DataVersion | None = None
    warnings: tuple[str, ...] = ()
    job_id: str | None = None
    submitted_at: datetime | None = None
    cost_usd: Decimal | None = None
    model_id: str | None = None
    deployment_id: str | None = None
    deployment_reason: str | None = None
    reason: str | None = None
    ended_at: datetime | None = None

    def starting(self, objects: int, size: int, now: datetime) -> Run:
        return replace(self, status=RunStatus.STARTING, objects=objects, size=size, begun_at=now)

    def training(self, job_id: str, data: DataVersion, warnings: tuple[str, ...], now: datetime) -> Run:
        return replace(
            self, status=RunStatus.TRAINING, job_id=job_id, data=data, warnings=warnings, submitted_at=now, reason=None
        )

    def ended(self, status: RunStatus, reason: str | None, now: datetime) -> Run:
        return replace(self, status=status, reason=reason, ended_at=now)
