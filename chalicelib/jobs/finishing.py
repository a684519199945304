"""How a job ends: the one way into every terminal status, and the one place where what it had reserved is settled."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.capacity.admission import Admission
from chalicelib.clock import Clock
from chalicelib.costs.bill import Bill, bill
from chalicelib.costs.store import UsageStore
from chalicelib.costs.usage import usage_of
from chalicelib.jobs.gateways import ABSENT, BackendJob, Backends, BackendState
from chalicelib.jobs.job import Attempt, Job, JobStatus
from chalicelib.jobs.life import Ended, apply
from chalicelib.jobs.outcome import MAX_REASON, billed_as, listed, read_manifest, script_started_at, stored_bytes
from chalicelib.jobs.spot import Intervals, met_on
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.objects import Objects
from chalicelib.quotas import charge
from chalicelib.quotas.service import QuotaService


class StillRunning(Exception):
    """An attempt must end before its job can."""


@dataclass(frozen=True)
class Finishing:
    """
    Args:
        quotas, admission: give back what the job had reserved and its place in its pool, in the transaction that ends it.
        usage: keeps what the job used, in the same transaction.
    """

    store: JobStore
    objects: Objects
    quotas: QuotaService
    admission: Admission
    usage: UsageStore
    backends: Backends
    now: Clock

    def finish(self, tenant: str, job_id: str, error: str | None) -> Job:
        """Set the terminal status, once: a job that is finished stays as it is.

        Whatever still runs on the backend is stopped first, and its end awaited: only then is it known what the job took.

        Raises:
            StillRunning: the attempt was told to stop and has not ended yet. The machine tries again.
        """
        while True:
            job = self.store.require(tenant, job_id)
            if job.status.is_finished:
                break
            attempt = self.store.attempt(tenant, job_id, job.attempts) if job.attempts else None
            found = self.backends.of(attempt).describe(attempt) if attempt else ABSENT
            if attempt and found.state in {BackendState.STARTING, BackendState.RUNNING}:
                self.backends.of(attempt).stop(attempt, "the job ended")
                raise StillRunning(f"the attempt {attempt.name} is being stopped")
            if attempt and attempt.billable_seconds is None and found.state is not BackendState.ABSENT:
                attempt = billed_as(attempt, found)
                self.store.change_attempt(attempt)
            attempts = self.store.first_attempts(tenant, job_id, job.attempts)
            costs = bill(job, attempts)
            ended = self._ended(job, attempt, found, costs, error)
            after = apply(job, ended)
            also = self.quotas.settle(tenant, job.user, job.reservation, ended.used)
            also += self.usage.log(usage_of(after, costs))
            also += self.admission.release(job)
            seconds = after.elapsed_seconds(self.now())
            interruptions = sum(each.interruptions for each in attempts)
            if job.config.get("spot"):
                also += [self.store.add_spot(job.tenant, kind, met) for kind, met in met_on(job, attempts).items()]
            is_undisturbed = job.attempts == 1 and not interruptions
            # An attempt that begins again makes one interval longer: only what came in one go is learned from.
            if is_undisturbed and (seen := self.store.report(tenant, job_id).checkpointing) and seen.intervals:
                also.append(self.store.add_intervals(job, Intervals(seen.intervals, round(seen.seconds))))
            # How long the work takes is only learned where nothing came between.
            if ended.status is JobStatus.COMPLETED and seconds is not None and is_undisturbed:
                also.append(self.store.add_runtime(after, max(1, round(seconds))))
            try:
                job = self.store.change(job, ended, self.now(), *also)
                break
            except StaleJob:
                continue
        # Also when this is a repetition: the first time may have ended before it came so far.
        if job.pool:
            self.admission.admit(job.pool)
        return job

    def _ended(self, job: Job, attempt: Attempt | None, found: BackendJob, costs: Bill, error: str | None) -> Ended:
        manifest = (read_manifest(self.objects, job.tenant, job.job_id, attempt.number) if attempt else None) or {}
        left = listed(manifest)
        status, reason = _outcome(job, attempt, found, error)
        return Ended(
            status=status,
            at=self.now(),
            used=charge.used(costs, stored_bytes(manifest)),
            failure_reason=reason,
            started_at=script_started_at(manifest),
            secondary_status=found.secondary_status,
            artifacts=left.artifacts,
            artifacts_total=left.total,
        )


def _outcome(job: Job, attempt: Attempt | None, found: BackendJob, error: str | None) -> tuple[JobStatus, str | None]:
    """The terminal status, and why the job failed if it did."""
    if job.cancel_requested_at is not None:
        return JobStatus.CANCELLED, None
    if found.state is BackendState.COMPLETED:
        return (JobStatus.COMPLETED, None) if error is None else (JobStatus.FAILED, error[:MAX_REASON])
    reason = (attempt.reason if attempt else None) or error or found.reason or "The job ended before it ran."
    return JobStatus.FAILED, reason[:MAX_REASON]
