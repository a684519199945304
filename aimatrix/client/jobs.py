"""Jobs as values: what is sent to submit one, and what the service tells of it.

Every value read from the service keeps its whole document in ``document``: fields that a newer service adds are not
lost, and ``--json`` can print what was really said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal

Framework = Literal["tensorflow", "pytorch", "sklearn", "xgboost", "custom"]
JobStatus = Literal["pending", "running", "completed", "failed", "cancelled"]

FINISHED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True)
class ResourceRequirements:
    """What a job needs; the service picks the cheapest instance type that has it.

    The contract's default is one GPU. This client's is none: a GPU is asked for, not stumbled into.
    """

    gpu_count: int = 0
    gpu_type: str | None = None
    memory_gb: int | None = None
    cpu_cores: int | None = None
    disk_gb: int | None = None

    def to_document(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SecretReference:
    """A secret in AWS Secrets Manager, whose name begins with ``aimatrix/<tenant>/``.

    Attributes:
        json_key: which member of a secret that is a JSON object; the whole text without one.
    """

    secret_arn: str
    json_key: str | None = None

    def to_document(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class JobRequest:
    """Everything that can be said about a job when it is submitted.

    Attributes:
        script_path: s3 URI of the training script.
        dataset_path: s3 URI of one data file, or of the prefix that holds them (ends in ``/``).
        arguments: how the script is called: ``document``, ``script_mode``, or ``auto`` to let the service tell.
        max_runtime_seconds: stop it, with its checkpoint kept, after this time over all attempts.
        max_cost_usd: stop it so before it costs more.
        over_budget: what to do when it doesn't fit under this month's limit on money: ``refuse`` it, or ``shorten`` it.
        metric_definitions: metric name → regular expression with one group, matched against each printed line.
        secret_variables: like ``environment_variables``, but encrypted, never shown again, and hidden in the log.
        max_attempts, retry_on: how often to try, and after which causes of failure; without, the service's own table.
        larger_instance: out of memory, go on on the next larger instance, within ``max_cost_usd`` and the quota.
        other_instance_type, other_backend: without capacity, go on on another instance type, or on Batch.
        spot: run on instances that AWS may take away, at a lower price; a script that keeps checkpoints goes on from them.
        max_wait_seconds: of a spot job, stop it when it takes longer than this with all waits.
        checkpoint_path: s3 URI of a folder for checkpoints; another job with the same one goes on from them.
        expected_runtime_seconds, checkpoint_interval_seconds: what an honest forecast for spot rests on.
    """

    name: str
    framework: str
    script_path: str
    dataset_path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None
    priority: str | None = None
    tags: Sequence[str] = ()
    resource_requirements: ResourceRequirements = ResourceRequirements()
    docker_image: str | None = None
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    secret_variables: Mapping[str, str | SecretReference] = field(default_factory=dict, repr=False)
    backend: str | None = None
    arguments: str | None = None
    max_runtime_seconds: int | None = None
    max_cost_usd: Decimal | None = None
    over_budget: str | None = None
    metric_definitions: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int | None = None
    retry_on: Sequence[str] | None = None
    larger_instance: bool = False
    other_instance_type: bool = False
    other_backend: bool = False
    spot: bool = False
    max_wait_seconds: int | None = None
    expected_runtime_seconds: int | None = None
    checkpoint_interval_seconds: int | None = None
    checkpoint_path: str | None = None

    def to_document(self) -> dict[str, Any]:
        environment = _without_absent(
            docker_image=self.docker_image,
            environment_variables=dict(self.environment_variables) or None,
            secret_variables={
                name: secret if isinstance(secret, str) else secret.to_document()
                for name, secret in self.secret_variables.items()
            }
            or None,
            backend=self.backend,
            arguments=self.arguments,
        )
        config = _without_absent(
            script_path=self.script_path,
            dataset_path=self.dataset_path,
            parameters=dict(self.parameters) or None,
            resource_requirements=self.resource_requirements.to_document(),
            environment=environment or None,
            max_runtime_seconds=self.max_runtime_seconds,
            max_cost_usd=None if self.max_cost_usd is None else float(self.max_cost_usd),
            over_budget=self.over_budget,
            metric_definitions=[{"name": name, "regex": regex} for name, regex in self.metric_definitions.items()]
            or None,
            retry=_without_absent(
                max_attempts=self.max_attempts,
                on=None if self.retry_on is None else list(self.retry_on),
                larger_instance=self.larger_instance or None,
                other_instance_type=self.other_instance_type or None,
                other_backend=self.other_backend or None,
            )
            or None,
            spot=self.spot or None,
            max_wait_seconds=self.max_wait_seconds,
            expected_runtime_seconds=self.expected_runtime_seconds,
            checkpoint_interval_seconds=self.checkpoint_interval_seconds,
            checkpoint_path=self.checkpoint_path,
        )
        return _without_absent(
            name=self.name,
            description=self.description,
            framework=self.framework,
            config=config,
            priority=self.priority,
            tags=list(self.tags) or None,
        )


@dataclass(frozen=True)
class Progress:
    """How far a script says it is; None where it doesn't say."""

    current_epoch: int | None = None
    total_epochs: int | None = None
    current_step: int | None = None
    total_steps: int | None = None
    percentage_complete: float | None = None
    elapsed_time: str | None = None
    remaining_time: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Progress:
        return cls(**{name: document.get(name) for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        parts = []
        if self.current_epoch is not None:
            parts.append(f"epoch {self.current_epoch}" + (f"/{self.total_epochs}" if self.total_epochs else ""))
        if self.current_step is not None:
            parts.append(f"step {self.current_step}" + (f"/{self.total_steps}" if self.total_steps else ""))
        if self.percentage_complete is not None:
            parts.append(f"{self.percentage_complete:.0f} %")
        return " · ".join(parts)


@dataclass(frozen=True)
class Metric:
    """One point of one metric. ``value`` is NaN or infinite where the script logged that."""

    name: str
    value: float
    step: int | None
    epoch: int | None
    timestamp: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Metric:
        return cls(
            name=document["name"],
            value=float(document["value"]),
            step=document.get("step"),
            epoch=document.get("epoch"),
            timestamp=document.get("timestamp", ""),
        )

    def to_document(self) -> dict[str, Any]:
        """As JSON has it: a value that is no number there becomes its name."""
        return {**asdict(self), "value": _json_number(self.value)}


@dataclass(frozen=True)
class Artifact:
    """A file that a job left behind. ``checksum`` is SHA-256 in hex."""

    name: str
    type: str
    path: str
    size_bytes: int
    checksum: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Artifact:
        return cls(
            name=document.get("name", ""),
            type=document.get("type", ""),
            path=document.get("path", ""),
            size_bytes=int(document.get("size_bytes") or 0),
            checksum=document.get("checksum") or "",
        )


@dataclass(frozen=True)
class TimeLimit:
    """How long a job may have its instances, and what says so: ``max_runtime_seconds``, ``max_cost_usd`` or
    ``max_usd_per_month``."""

    seconds: int
    set_by: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TimeLimit:
        return cls(int(document["seconds"]), document.get("set_by", ""))


@dataclass(frozen=True)
class Amounts:
    """What a job takes of a quota, in the units of its limits."""

    gpu_hours: float
    cpu_hours: float
    storage_gb: float
    cost_usd: Decimal

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Amounts:
        return cls(
            gpu_hours=document.get("gpu_hours", 0),
            cpu_hours=document.get("cpu_hours", 0),
            storage_gb=document.get("storage_gb", 0),
            cost_usd=Decimal(str(document.get("cost_usd", 0))),
        )


@dataclass(frozen=True)
class Job:
    """A training job as the service last described it.

    Attributes:
        reserved: the most that it may take, which counts against its user's quota until it has ended.
        used: what it took; None until it has ended.
    """

    job_id: str
    name: str
    status: str
    framework: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    secondary_status: str | None
    cancel_requested_at: str | None
    failure_reason: str | None
    attempts: int
    model_id: str | None
    time_limit: TimeLimit | None
    reserved: Amounts | None
    used: Amounts | None
    progress: Progress
    resource_allocation: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    artifacts: tuple[Artifact, ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Job:
        return cls(
            job_id=document["job_id"],
            name=document["name"],
            status=document["status"],
            framework=document.get("framework", ""),
            created_at=document.get("created_at", ""),
            started_at=document.get("started_at"),
            completed_at=document.get("completed_at"),
            secondary_status=document.get("secondary_status"),
            cancel_requested_at=document.get("cancel_requested_at"),
            failure_reason=document.get("failure_reason"),
            attempts=_count(document.get("attempts")),
            model_id=document.get("model_id"),
            time_limit=TimeLimit.from_document(document["time_limit"]) if document.get("time_limit") else None,
            reserved=Amounts.from_document(document["reserved"]) if document.get("reserved") else None,
            used=Amounts.from_document(document["used"]) if document.get("used") else None,
            progress=Progress.from_document(document.get("progress") or {}),
            resource_allocation=document.get("resource_allocation") or {},
            metrics=tuple(Metric.from_document(each) for each in document.get("metrics") or ()),
            artifacts=tuple(Artifact.from_document(each) for each in document.get("artifacts") or ()),
            document=document,
        )

    def is_finished(self) -> bool:
        return self.status in FINISHED

    def doing(self) -> str:
        """What an open job is at, beside its status: "stopping" once it is being cancelled; may be empty."""
        if self.cancel_requested_at and not self.is_finished():
            return "stopping"
        return self.secondary_status or ""

    def succeeded(self) -> bool:
        return self.status == "completed"


@dataclass(frozen=True)
class LogEntry:
    """One line that the job printed, or that the service said about it."""

    timestamp: str
    level: str
    message: str
    source: str
    context: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LogEntry:
        return cls(
            timestamp=document.get("timestamp", ""),
            level=document.get("level", ""),
            message=document.get("message", ""),
            source=document.get("source", ""),
            context=document.get("context") or {},
        )


@dataclass(frozen=True)
class LogPage:
    """Some lines, where to go on after them, and whether anything can follow."""

    entries: tuple[LogEntry, ...]
    next_cursor: str | None
    ended: bool


@dataclass(frozen=True)
class ExportedFile:
    """
    Attributes:
        path: ``s3://...``.
        url: gives the file without credentials, for fifteen minutes.
    """

    name: str
    path: str
    lines: int
    size_bytes: int
    url: str = field(repr=False)


@dataclass(frozen=True)
class Export:
    """A job's log and metrics as files of JSON lines, gzipped.

    Attributes:
        status: running, completed or failed; none where nobody has asked for one.
        complete: nothing can be added any more: the job had ended, and its log with it.
    """

    status: str
    requested_at: str | None
    complete: bool
    files: tuple[ExportedFile, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Export:
        files = tuple(ExportedFile(**each) for each in document["files"])
        return cls(document["status"], document["requested_at"], document["complete"], files)

    def is_finished(self) -> bool:
        return self.status != "running"


@dataclass(frozen=True)
class StreamPage:
    """Some of what happened to a job, where to go on after it, and whether anything can follow.

    Attributes:
        entries: documents whose ``type`` is ``log``, ``metric``, ``state``, or, as the very last, ``end``.
    """

    entries: tuple[Mapping[str, Any], ...]
    next_cursor: str | None
    ended: bool


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _without_absent(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _count(attempts: object) -> int:
    """A service may tell the number of attempts, or list them."""
    if isinstance(attempts, int):
        return attempts
    return len(attempts) if isinstance(attempts, list) else 0
