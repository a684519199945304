"""A training job and its attempts: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from chalicelib.costs.estimate import Estimate
from chalicelib.quotas.quota import Amounts, Reservation


class JobStatus(Enum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Terminal states absorb: nothing leaves them."""
        return self in _FINISHED


_FINISHED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class Backend(Enum):
    SAGEMAKER = "sagemaker"
    BATCH = "batch"


@dataclass(frozen=True)
class Allocation:
    """What a job runs on, and what that costs.

    Attributes:
        price_per_hour_usd: of one instance; on spot with the discount taken off.
        discount_percent: what spot takes off the price on demand, where it takes it off the price and not off the time.
        disk_price_per_hour_usd: of its disk; nothing where the disk comes with the instance.
    """

    backend: Backend
    instance_type: str
    instance_count: int
    gpu_count: int
    gpu_type: str | None
    cpu_cores: int
    memory_gb: int
    disk_gb: int
    price_per_hour_usd: Decimal
    price_source: str
    price_date: str
    disk_price_per_hour_usd: Decimal = Decimal(0)
    discount_percent: Decimal = Decimal(0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "backend": self.backend.value,
            "instance_type": self.instance_type,
            "instance_count": self.instance_count,
            "gpu_count": self.gpu_count,
            "gpu_type": self.gpu_type,
            "cpu_cores": self.cpu_cores,
            "memory_gb": self.memory_gb,
            "disk_gb": self.disk_gb,
            "price_per_hour_usd": float(self.price_per_hour_usd),
            "price_source": self.price_source,
            "price_date": self.price_date,
            "disk_price_per_hour_usd": float(self.disk_price_per_hour_usd),
            **({"discount_percent": float(self.discount_percent)} if self.discount_percent else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Allocation:
        money = ("price_per_hour_usd", "disk_price_per_hour_usd", "discount_percent")
        prices = {name: Decimal(str(values.get(name, 0))) for name in money}
        return cls(**{**values, "backend": Backend(values["backend"]), **prices})


@dataclass(frozen=True)
class Progress:
    """How far a script says it is."""

    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    percent: float | None = None

    def percentage(self) -> float | None:
        """0 to 100: what the script said itself, else steps, else epochs."""
        if self.percent is not None:
            return min(100.0, max(0.0, self.percent))
        for done, of in ((self.step, self.steps), (self.epoch, self.epochs)):
            if done is not None and of:
                return min(100.0, max(0.0, 100.0 * done / of))
        return None

    def updated(self, later: Progress) -> Progress:
        """With what a later report says; what it does not mention stays."""
        changes = {name: value for name, value in vars(later).items() if value is not None}
        if "percent" not in changes and ({"step", "epoch"} & set(changes)):
            changes["percent"] = None
        return replace(self, **changes)


@dataclass(frozen=True)
class Run:
    """The MLflow run that belongs to a job."""

    experiment_id: str
    run_id: str


@dataclass(frozen=True)
class Checkpointing:
    """What the agent has seen of a job's checkpoints.

    Attributes:
        count: how often something newer was seen; several within five seconds are one.
        files, size_bytes: what lay in the directory then.
    """

    first_at: datetime
    last_at: datetime
    count: int
    files: int
    size_bytes: int

    def seen(self, at: datetime, files: int, size_bytes: int) -> Checkpointing:
        """With one more; the same when it is none, as a line is that comes twice."""
        return Checkpointing(self.first_at, at, self.count + 1, files, size_bytes) if at > self.last_at else self

    @property
    def intervals(self) -> int:
        """How many there were between the first and the last."""
        return self.count - 1

    @property
    def seconds(self) -> float:
        """From the first to the last."""
        return (self.last_at - self.first_at).total_seconds()

    def interval_seconds(self) -> float | None:
        """The mean time from one to the next; None before there are three."""
        return self.seconds / self.intervals if self.count >= 3 else None


@dataclass(frozen=True)
class Report:
    """What the script has said of itself so far. Kept apart from the job's record: it changes often and decides nothing."""

    progress: Progress = field(default_factory=Progress)
    run: Run | None = None
    exit_reason: str | None = None
    checkpointing: Checkpointing | None = None


@dataclass(frozen=True)
class TimeLimit:
    """How long a job may have its instances, over all attempts, and which limit says so.

    Attributes:
        set_by: `max_runtime_seconds`, `max_cost_usd` or `max_usd_per_month`.
    """

    seconds: int
    set_by: str = "max_runtime_seconds"


@dataclass(frozen=True)
class Job:
    """One training job as recorded. `version` grows by one with every change of the record.

    Attributes:
        reservation: what it holds of its owner's and its tenant's quota until it ends.
        used: what it took, once it has ended.
        estimate: how long it was expected to take when it was submitted.
        pool: the capacity pool that it has a place in; see `chalicelib/capacity/`.
        waiting_reason: while it waits for capacity, what for.
        checkpoints_overdue_since: while no checkpoint comes although one should have.
    """

    tenant: str
    job_id: str
    user: str
    name: str
    framework: str
    config: Mapping[str, Any]
    allocation: Allocation
    created_at: datetime
    updated_at: datetime
    time_limit: TimeLimit
    reservation: Reservation
    status: JobStatus = JobStatus.PENDING
    version: int = 1
    description: str | None = None
    priority: str = "medium"
    tags: tuple[str, ...] = ()
    estimate: Estimate = field(default_factory=Estimate)
    attempts: int = 0
    secondary_status: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    failure_reason: str | None = None
    model_id: str | None = None
    artifacts: tuple[Mapping[str, Any], ...] = ()
    artifacts_total: int = 0
    used: Amounts | None = None
    pool: str | None = None
    waiting_reason: str | None = None
    checkpoints_overdue_since: datetime | None = None

    @property
    def backend(self) -> Backend:
        return self.allocation.backend

    @property
    def estimated_seconds(self) -> int:
        return self.estimate.expected

    def allocation_of(self, attempt: Attempt) -> Allocation:
        """What an attempt runs on: a later one may have moved to another instance type or backend."""
        return attempt.allocation or self.allocation

    def elapsed_seconds(self, now: datetime) -> float | None:
        if self.started_at is None:
            return None
        return max(0.0, ((self.completed_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True)
class Attempt:
    """One try at running a job on a backend.

    Attributes:
        token: random; the agent proves with it that a structured log line is of this attempt.
        queue: ARN of the Batch queue that it is submitted to; None where it goes to SageMaker at once.
        backend_id: the SageMaker training job's name, or the Batch job's id once it is known.
        cause: why it did not complete, a value of `causes.Cause`; `reason` says it in words.
        started_at, ended_at: when it got its instance and gave it back, as the backend says.
        training_seconds: how long it had its instance, as the backend counts it. None until it has ended.
        billable_seconds: what AWS bills of that; less on spot.
        interruptions: how often it lost a spot instance and went on, on another, by itself.
        allocation: what it runs on; None in records from before attempts could differ: the job's.
    """

    tenant: str
    job_id: str
    number: int
    token: str
    backend: Backend
    planned_at: datetime
    queue: str | None = None
    backend_id: str | None = None
    log_stream: str | None = None
    reason: str | None = None
    cause: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    training_seconds: int | None = None
    billable_seconds: int | None = None
    interruptions: int = 0
    allocation: Allocation | None = None

    @property
    def name(self) -> str:
        return attempt_name(self.job_id, self.number)


def attempt_name(job_id: str, number: int) -> str:
    """What an attempt is called on its backend: deterministic, so that asking twice makes one."""
    return f"aimatrix-{job_id}-{number}"


def parse_attempt_name(name: str) -> tuple[str, int] | None:
    """Job id and number of an attempt, or None for a name that is not ours."""
    prefix, _, rest = name.partition("-")
    job_id, _, number = rest.rpartition("-")
    if prefix != "aimatrix" or not job_id or not number.isdigit():
        return None
    return job_id, int(number)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows."""

    status: JobStatus | None = None
    user: str | None = None


def job_prefix(tenant: str, job_id: str) -> str:
    """Where all objects of a job lie in the artifacts bucket, with a slash at the end."""
    return f"tenants/{tenant}/jobs/{job_id}/"


def checkpoint_prefix(job: Job) -> str:
    """Where a job's checkpoints lie in the artifacts bucket, of all attempts: where its user wants them, or among its own
    files."""
    wanted: str | None = job.config.get("checkpoint_path")
    folder = wanted.split("/", 3)[3] if wanted else f"{job_prefix(job.tenant, job.job_id)}checkpoints"
    return folder.rstrip("/") + "/"


def attempt_prefix(tenant: str, job_id: str, number: int) -> str:
    return f"{job_prefix(tenant, job_id)}attempt-{number}/"


def execution(job: Job) -> tuple[str, dict[str, Any]]:
    """Name and input of the execution that drives a job."""
    return job.job_id, {"tenant": job.tenant, "job_id": job.job_id}
