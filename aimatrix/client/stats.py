"""Statistics as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aimatrix.client.jobs import Job


@dataclass(frozen=True)
class ActiveJob:
    """A job that waits or runs, and what it has measured so far.

    Attributes:
        metric_count: points of all its metrics and attempts.
        last_metric_timestamp: the latest time that one of them has; None before there is one.
    """

    job: Job
    metric_count: int
    last_metric_timestamp: str | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ActiveJob:
        last = document.get("last_metric_timestamp")
        return cls(Job.from_document(document), document["metric_count"], last, document)


@dataclass(frozen=True)
class UserStats:
    """What a user may use, and what is used and reserved together. None: no limit.

    Attributes:
        month: of the hours.
        gpu_utilization_percent: hours as a share of the month's limit; None where there is no limit, or it is zero.
    """

    user_id: str
    month: str
    max_concurrent_jobs: int | None
    current_concurrent_jobs: int
    max_gpu_hours_per_month: int | None
    current_gpu_hours_this_month: float
    gpu_utilization_percent: float | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> UserStats:
        return cls(
            user_id=document["user_id"],
            month=document["month"],
            max_concurrent_jobs=document.get("max_concurrent_jobs"),
            current_concurrent_jobs=document["current_concurrent_jobs"],
            max_gpu_hours_per_month=document.get("max_gpu_hours_per_month"),
            current_gpu_hours_this_month=document["current_gpu_hours_this_month"],
            gpu_utilization_percent=document.get("gpu_utilization_percent"),
            document=document,
        )


@dataclass(frozen=True)
class ModelStats:
    """How good a model is, and how many deployments serve it or are about to. None: its metrics do not say."""

    id: str
    name: str
    version: str
    framework: str
    status: str
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1_score: float | None
    deployment_count: int
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ModelStats:
        return cls(
            id=document["id"],
            name=document["name"],
            version=document["version"],
            framework=document["framework"],
            status=document["status"],
            accuracy=document.get("accuracy"),
            precision=document.get("precision"),
            recall=document.get("recall"),
            f1_score=document.get("f1_score"),
            deployment_count=document["deployment_count"],
            document=document,
        )


@dataclass(frozen=True)
class FrameworkStats:
    """What became of the jobs of a framework that were submitted between two days.

    Attributes:
        total_jobs: those that are still open among them, and those that were deleted.
        mean_duration_seconds: from start to end, of those that did both; None before there is one.
        gpu_hours: that were billed.
    """

    framework: str
    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    cancelled_jobs: int
    mean_duration_seconds: float | None
    gpu_hours: float

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FrameworkStats:
        return cls(
            framework=document["framework"],
            total_jobs=document["total_jobs"],
            completed_jobs=document["completed_jobs"],
            failed_jobs=document["failed_jobs"],
            cancelled_jobs=document["cancelled_jobs"],
            mean_duration_seconds=document.get("mean_duration_seconds"),
            gpu_hours=document["gpu_hours"],
        )


@dataclass(frozen=True)
class FrameworkReport:
    """All frameworks over some days, both ``first`` and ``last`` included."""

    first: str
    last: str
    frameworks: tuple[FrameworkStats, ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FrameworkReport:
        found = tuple(FrameworkStats.from_document(each) for each in document["frameworks"])
        return cls(document["from"], document["to"], found, document)
