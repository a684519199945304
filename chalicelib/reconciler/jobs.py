"""Jobs: what is recorded and what runs are compared, and put right from either side.

open job   execution        →
─────────  ───────────────  ─────────────────────────────────────────────────────────────
           running             nothing; if it is being cancelled, its attempt is told again; on Batch's spot
                               machines it is told to end once `max_wait_seconds` are over
           absent              started: same name, same execution; finished, where the machine was deleted
           ended               finished, with the reason; its attempt is stopped first

attempt    its job          →
─────────  ───────────────  ─────────────────────────────────────────────────────────────
runs       open, this one      nothing
           open, a later one   stopped
           ended, or nobody's  stopped, if its tags say that it is this installation's
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from chalicelib.audit.entry import subject
from chalicelib.capacity.admission import Admission
from chalicelib.clock import Clock
from chalicelib.costs.issuing import Issuing
from chalicelib.cursor import pages
from chalicelib.jobs.checkpointing import is_overdue, overdue_at
from chalicelib.jobs.finishing import Finishing, StillRunning
from chalicelib.jobs.gateways import WAITED_TOO_LONG, Backends, BackendState
from chalicelib.jobs.job import Backend, Job, JobFilter, JobStatus, execution, parse_attempt_name
from chalicelib.jobs.life import CheckpointsOverdue, CheckpointsResumed
from chalicelib.jobs.spot import max_wait_seconds
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.machine import MachineGone, StateMachine
from chalicelib.reconciler.gateways import Attempting, Driving, Execution, Executions, RunningOn
from chalicelib.reconciler.repair import GRACE, Kind, Repair, why
from chalicelib.reconciler.store import SweepStore

_PAGE = 100
_STILL_RUNNING_PAUSE_SECONDS = 3.0


@dataclass(frozen=True)
class JobRepairs:
    """
    Args:
        tenants: by name, those after one of them, or all.
        running: what each backend of this installation runs.
        stack: this installation's name, which its attempts carry as a tag.
        receipts: a job that is finished here gets its receipt here.
        notes: which of them have none yet.
        seconds: on any clock that only goes forward.
        pause: waits some seconds.
    """

    store: JobStore
    tenants: Callable[[str | None], Iterable[str]]
    executions: Executions
    machine: StateMachine
    finishing: Callable[[], Finishing]
    receipts: Callable[[], Issuing]
    notes: SweepStore
    admission: Admission
    backends: Backends
    running: tuple[RunningOn, ...]
    stack: str
    now: Clock
    seconds: Callable[[], float]
    pause: Callable[[float], None]

    def open(self, tenant: str) -> Iterator[Job]:
        """All open jobs of a tenant."""
        for status in (JobStatus.PENDING, JobStatus.RUNNING):
            wanted = JobFilter(status)
            for page in pages(functools.partial(self.store.search, tenant, wanted, _PAGE, 0)):
                yield from page.jobs

    def look_at(self, job: Job) -> Iterator[Repair]:
        """Whether somebody drives an open job."""
        if self.now() - job.updated_at < GRACE:
            return
        found = self.executions.of(job.job_id)
        current = self.store.get(job.tenant, job.job_id)
        # The lists lag behind, and the job may have ended while its execution was asked about.
        if current is None or current.status.is_finished or current.version != job.version:
            return
        match found.driving:
            case Driving.RUNNING:
                yield from self._stop_again(current)
                yield from self._stop_late(current)
                self._watch_checkpoints(current)
            case Driving.ABSENT:
                try:
                    self.machine.start(*execution(job))
                except MachineGone:
                    yield self.finish(current, found)
                else:
                    yield Repair(
                        Kind.STARTED, job.tenant, job_subject(job.job_id), "no execution had been started for it"
                    )
            case _:
                yield self.finish(current, found)

    def finish(self, job: Job, execution: Execution) -> Repair:
        """End a job whose execution is over."""
        reason = why(execution)
        self.notes.expect_receipt(job.tenant, job.job_id)
        try:
            ended = self.finishing().finish(job.tenant, job.job_id, reason)
        except StillRunning as error:
            return Repair(Kind.STOPPING, job.tenant, job_subject(job.job_id), str(error))
        self._seal(ended)
        return Repair(Kind.FINISHED, job.tenant, job_subject(job.job_id), reason)

    def seal_again(self) -> Iterator[Repair]:
        """Receipts of jobs that were ended here by somebody who did not come to it."""
        for tenant, job_id in self.notes.expected_receipts():
            job = self.store.get(tenant, job_id)
            if job is None:
                self.notes.receipt_issued(tenant, job_id)
            elif job.status.is_finished:
                self._seal(job)
                yield Repair(Kind.SEALED, tenant, job_subject(job_id), "its receipt was missing")

    def _seal(self, job: Job) -> None:
        self.receipts().issue(job)
        self.notes.receipt_issued(job.tenant, job.job_id)

    def finish_at_last(self, job: Job, execution: Execution, seconds: float) -> Repair:
        """End a job, waiting some seconds for its attempt to stop."""
        until = self.seconds() + seconds
        while True:
            repair = self.finish(job, execution)
            if repair.kind is Kind.FINISHED or self.seconds() >= until:
                return repair
            self.pause(_STILL_RUNNING_PAUSE_SECONDS)

    def owned(self, attempt: Attempting, backend: RunningOn) -> Iterator[Repair]:
        """Whether an attempt that runs is one that its job still wants."""
        parsed = parse_attempt_name(attempt.name)
        if parsed is None or self.now() - attempt.created_at < GRACE:
            return
        labels = backend.labels(attempt)
        if labels.stack != self.stack or labels.tenant is None:
            return
        job_id, number = parsed
        job = self.store.get(labels.tenant, job_id)
        if job is not None and not job.status.is_finished:
            if number < job.attempts:
                backend.stop(attempt)
                yield Repair(Kind.STOPPED_OLDER, labels.tenant, job_subject(job_id), attempt.name)
            return
        backend.stop(attempt)
        since = _ownerless_since(job, attempt)
        seconds = max(0, round((self.now() - since).total_seconds()))
        yield Repair(Kind.STOPPED_ORPHAN, labels.tenant, job_subject(job_id), attempt.name, seconds)

    def _stop_again(self, job: Job) -> Iterator[Repair]:
        """A stop may have been lost: the wish to cancel is recorded before it is sent."""
        if job.cancel_requested_at is None or self.now() - job.cancel_requested_at < GRACE:
            return
        self.admission.wake(job)
        for attempt in self.store.attempts(job.tenant, job.job_id)[-1:]:
            backend = self.backends.of(attempt)
            if not backend.describe(attempt).state.is_finished:
                backend.stop(attempt, "cancelled by the user")
                yield Repair(Kind.STOPPED_AGAIN, job.tenant, job_subject(job.job_id), attempt.name)

    def _watch_checkpoints(self, job: Job) -> None:
        """Nothing of ours is wrong when a script writes no more checkpoints, but its owner wants to know."""
        if job.status is not JobStatus.RUNNING:
            return
        seen, now = self.store.report(job.tenant, job.job_id).checkpointing, self.now()
        was_overdue = job.checkpoints_overdue_since is not None
        if is_overdue(job, seen, now) == was_overdue:
            return
        event = CheckpointsResumed() if was_overdue else CheckpointsOverdue(overdue_at(job, seen) or now)
        with suppress(StaleJob):
            self.store.change(job, event, now)

    def _stop_late(self, job: Job) -> Iterator[Repair]:
        """SageMaker ends a spot job that did not end in time by itself."""
        if job.backend is not Backend.BATCH or not job.config.get("spot"):
            return
        attempts = self.store.attempts(job.tenant, job.job_id)
        if not attempts or (self.now() - attempts[0].planned_at).total_seconds() < max_wait_seconds(job.config):
            return
        backend, latest = self.backends.of(attempts[-1]), attempts[-1]
        if backend.describe(latest).state in {BackendState.STARTING, BackendState.RUNNING}:
            backend.stop(latest, WAITED_TOO_LONG)
            yield Repair(Kind.STOPPED_LATE, job.tenant, job_subject(job.job_id), latest.name)


def _ownerless_since(job: Job | None, attempt: Attempting) -> datetime:
    if job is None or job.completed_at is None:
        return attempt.created_at
    return max(job.completed_at, attempt.created_at)


def job_subject(job_id: str) -> str:
    return subject("job", job_id)
