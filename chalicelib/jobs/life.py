"""The life of a job: one table of states, events and what an event does in each state. Pure; every writer goes through it.

                    ┌──────────┐  Entered, nothing free   ┌────────┐
    Submitted ────► │ PENDING  │ ───────────────────────► │ QUEUED │
                    │          │ ◄─────────────────────── │        │
                    └────┬─────┘   AttemptPlanned         └────────┘
                         │ Started        ▲                   ▲
                         ▼                │ Moved (elsewhere) │ Requeued (gave way to another job)
                    ┌──────────┐ ─────────┴───────────────────┘
                    │ RUNNING  │
                    └────┬─────┘
      CancelRequested    │           from any state above
            ▼            │
       ┌──────────┐      │ Ended
       │ STOPPING │ ─────┴──► COMPLETED | FAILED | CANCELLED      nothing leaves these

An event that has no effect in a state is ignored there, so every event may be repeated, late or out of place. What the
record says is the order: the version grows by one with every change, and each change carries the event that made it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar

from chalicelib.clock import from_text, to_text
from chalicelib.jobs.job import Allocation, Job, JobStatus, TimeLimit
from chalicelib.quotas.quota import Amounts, Reservation

AWAITING = "AwaitingCapacity"
"""The secondary status of a job that waits for capacity."""


class State(Enum):
    """What a job is doing. `status` in the record is coarser: a queued job is pending, a stopping one what it was."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = frozenset({State.PENDING, State.QUEUED, State.RUNNING, State.STOPPING})


def state_of(job: Job) -> State:
    if job.status.is_finished:
        return State(job.status.value)
    if job.cancel_requested_at is not None:
        return State.STOPPING
    if job.status is JobStatus.PENDING and job.waiting_reason is not None:
        return State.QUEUED
    return State(job.status.value)


@dataclass(frozen=True)
class Event(ABC):
    """Something that happened to a job.

    Attributes:
        effective_in: the states in which it changes the record; in all others it is ignored.
    """

    effective_in: ClassVar[frozenset[State]] = OPEN

    @abstractmethod
    def applied(self, job: Job) -> Job:
        """The job after it, in a state where it has an effect."""

    def to_dict(self) -> dict[str, Any]:
        """As it is recorded: `kind`, and the fields that say something."""
        return {"kind": type(self).__name__, **{k: _written(v) for k, v in vars(self).items() if v not in (None, ())}}


@dataclass(frozen=True)
class Submitted(Event):
    """The job was recorded. Its version is 1, and its record is where a replay begins."""

    effective_in: ClassVar[frozenset[State]] = frozenset()

    def applied(self, job: Job) -> Job:
        return job


@dataclass(frozen=True)
class Entered(Event):
    """It came into a capacity pool: admitted at once, or to wait for the reason that is given."""

    pool: str
    waiting_reason: str | None = None

    effective_in: ClassVar[frozenset[State]] = frozenset({State.PENDING, State.STOPPING})

    def applied(self, job: Job) -> Job:
        entered = replace(job, pool=self.pool)
        if self.waiting_reason is None:
            return entered
        return replace(entered, secondary_status=AWAITING, waiting_reason=self.waiting_reason)


@dataclass(frozen=True)
class AttemptPlanned(Event):
    """An attempt was recorded and will be given to the backend; a job that waited waits no more."""

    number: int

    def applied(self, job: Job) -> Job:
        # What the backend said was of the attempt before, or of the queue.
        return replace(
            job,
            attempts=max(job.attempts, self.number),
            secondary_status=None,
            waiting_reason=None,
            checkpoints_overdue_since=None,
        )


@dataclass(frozen=True)
class Observed(Event):
    """The backend says what it does with an attempt that does not run yet."""

    secondary_status: str

    effective_in: ClassVar[frozenset[State]] = frozenset({State.PENDING, State.QUEUED, State.STOPPING})

    def applied(self, job: Job) -> Job:
        return replace(job, secondary_status=self.secondary_status) if job.status is JobStatus.PENDING else job


@dataclass(frozen=True)
class Started(Event):
    """The script's instance runs. The first time counts as the job's start."""

    at: datetime
    secondary_status: str | None = None

    def applied(self, job: Job) -> Job:
        return replace(
            job,
            status=JobStatus.RUNNING,
            started_at=job.started_at or self.at,
            secondary_status=self.secondary_status or job.secondary_status,
        )


@dataclass(frozen=True)
class Requeued(Event):
    """Its attempt was stopped for another job's sake; it waits again, for the attempt of this number."""

    number: int
    waiting_reason: str

    def applied(self, job: Job) -> Job:
        return replace(
            job,
            status=JobStatus.PENDING,
            attempts=self.number,
            secondary_status=AWAITING,
            waiting_reason=self.waiting_reason,
        )


@dataclass(frozen=True)
class Moved(Event):
    """The attempt of this number will run on something else: another instance type, or another backend.

    Attributes:
        allocation, time_limit, reservation: the job's from now on; changed together with the accounts that hold them.
    """

    number: int
    allocation: Allocation
    time_limit: TimeLimit
    reservation: Reservation

    def applied(self, job: Job) -> Job:
        if self.number <= job.attempts:
            return job
        # What it held of its pool is given back: it enters the one that it now draws on.
        return replace(
            job,
            status=JobStatus.PENDING,
            attempts=self.number,
            allocation=self.allocation,
            time_limit=self.time_limit,
            reservation=self.reservation,
            secondary_status=None,
            pool=None,
            waiting_reason=None,
        )


@dataclass(frozen=True)
class CheckpointsOverdue(Event):
    """No checkpoint has come for so long that something may be wrong."""

    at: datetime

    effective_in: ClassVar[frozenset[State]] = frozenset({State.RUNNING})

    def applied(self, job: Job) -> Job:
        return replace(job, checkpoints_overdue_since=job.checkpoints_overdue_since or self.at)


@dataclass(frozen=True)
class CheckpointsResumed(Event):
    """They come again."""

    effective_in: ClassVar[frozenset[State]] = frozenset({State.RUNNING})

    def applied(self, job: Job) -> Job:
        return replace(job, checkpoints_overdue_since=None)


@dataclass(frozen=True)
class CancelRequested(Event):
    """Somebody wants it ended. The wish stays; what carries it out is the finishing path."""

    at: datetime

    effective_in: ClassVar[frozenset[State]] = OPEN - {State.STOPPING}

    def applied(self, job: Job) -> Job:
        return replace(job, cancel_requested_at=self.at)


@dataclass(frozen=True)
class ModelRegistered(Event):
    """Its model is registered."""

    model_id: str

    def applied(self, job: Job) -> Job:
        return replace(job, model_id=self.model_id)


@dataclass(frozen=True)
class Ended(Event):
    """The end, with what is known of the job only now.

    Attributes:
        started_at: when its script began, if nobody had noted it.
        artifacts: as many as a record has room for, of `artifacts_total`.
    """

    status: JobStatus
    at: datetime
    used: Amounts
    failure_reason: str | None = None
    started_at: datetime | None = None
    secondary_status: str | None = None
    artifacts: tuple[Mapping[str, Any], ...] = ()
    artifacts_total: int = 0

    def applied(self, job: Job) -> Job:
        return replace(
            job,
            status=self.status,
            completed_at=self.at,
            started_at=job.started_at or self.started_at,
            failure_reason=self.failure_reason,
            secondary_status=self.secondary_status or job.secondary_status,
            artifacts=self.artifacts,
            artifacts_total=self.artifacts_total,
            used=self.used,
        )


EVENTS: tuple[type[Event], ...] = (
    Submitted,
    Entered,
    AttemptPlanned,
    Observed,
    Started,
    Requeued,
    Moved,
    CheckpointsOverdue,
    CheckpointsResumed,
    CancelRequested,
    ModelRegistered,
    Ended,
)
_BY_KIND = {event.__name__: event for event in EVENTS}


def apply(job: Job, event: Event) -> Job:
    """The job after an event; the same job where the event has no effect."""
    return event.applied(job) if state_of(job) in event.effective_in else job


def event_from(values: Mapping[str, Any]) -> Event:
    """Read what `Event.to_dict` wrote.

    Raises:
        KeyError, TypeError: nobody wrote it.
    """
    kind = _BY_KIND[values["kind"]]
    given = {name: values[name] for name in (each.name for each in dataclasses.fields(kind)) if name in values}
    return kind(**{name: _read(name, value) for name, value in given.items()})


def _written(value: Any) -> Any:
    match value:
        case datetime():
            return to_text(value)
        case Enum():
            return value.value
        case Amounts() | Allocation() | Reservation():
            return value.to_dict()
        case TimeLimit():
            return dict(vars(value))
        case tuple():
            return list(value)
    return value


def _read(name: str, value: Any) -> Any:
    match name:
        case "at" | "started_at":
            return from_text(value)
        case "status":
            return JobStatus(value)
        case "used":
            return Amounts.from_dict(value)
        case "allocation":
            return Allocation.from_dict(value)
        case "time_limit":
            return TimeLimit(**value)
        case "reservation":
            return Reservation.from_dict(value)
        case "artifacts":
            return tuple(value)
    return value
