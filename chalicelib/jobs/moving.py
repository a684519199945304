"""Moves a job to another instance type or backend between two attempts: allocation, time limit, reservation and its place
in a capacity pool change in one transaction, or not at all.

    assess twice:  A: job as read + accounts within their limits ── succeeds: attempts is 2, and what attempt 2 runs on
                   B: the same                                   ── fails: reads again, finds that attempt 2 is decided on
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from chalicelib.capacity.admission import Admission
from chalicelib.clock import Clock
from chalicelib.costs.bill import Bill, bill
from chalicelib.jobs.instances import BatchMachines
from chalicelib.jobs.job import Allocation, Job, TimeLimit
from chalicelib.jobs.life import Moved
from chalicelib.jobs.moves import Staying, next_allocation
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.quotas import charge
from chalicelib.quotas.charge import MIN_TIME_LIMIT_SECONDS
from chalicelib.quotas.service import Allowance, QuotaService

_TRIES = 10


@dataclass(frozen=True)
class Moving:
    """
    Args:
        batch_machines: what Batch has here; None without a Batch part.
    """

    store: JobStore
    quotas: QuotaService
    admission: Admission
    batch_machines: Callable[[], BatchMachines | None]
    now: Clock

    def move(self, job: Job, number: int) -> Staying | None:
        """Prepare the attempt after this one to run elsewhere, where the job allows it; None when it will.

        Args:
            number: the attempt that has ended. Its cause and what it was billed are recorded.

        Returns:
            Why it stays where it was.
        """
        for _ in range(_TRIES):
            attempts = self.store.first_attempts(job.tenant, job.job_id, number)
            allocation = next_allocation(job, attempts, self.batch_machines())
            if isinstance(allocation, Staying):
                return allocation
            allowance = self.quotas.allowance(job.tenant, job.user).now()
            spent = bill(job, attempts)
            left = self._time_left(job, allowance, allocation, spent, number)
            if isinstance(left, Staying):
                return left
            wanted = charge.continued(job.reservation, spent, allocation, left.seconds)
            taken = self.store.taken_seconds(job.tenant, job.job_id, number)
            moved = Moved(number + 1, allocation, TimeLimit(taken + left.seconds, left.set_by), wanted)
            also = [*self.quotas.change(allowance, job.reservation, wanted), *self.admission.release(job)]
            pool = job.pool
            try:
                self.store.change(job, moved, self.now(), *also)
            except StaleJob:
                # The record was changed, or an account has no room: whichever it was shows now.
                job = self.store.require(job.tenant, job.job_id)
                if job.status.is_finished or job.cancel_requested_at is not None:
                    return Staying()
                if job.attempts > number:
                    return None
                if refused := self.quotas.why_not(allowance, job.reservation, wanted):
                    return Staying(f"{_called(allocation)} was not taken: it {refused}.")
                continue
            if pool:
                self.admission.admit(pool)
            return None
        return Staying("The quota was changing too quickly to take another instance.")

    def _time_left(
        self, job: Job, allowance: Allowance, allocation: Allocation, spent: Bill, number: int
    ) -> TimeLimit | Staying:
        """What is left of the job's time and money, on something with another price."""
        taken = self.store.taken_seconds(job.tenant, job.job_id, number)
        limits = [TimeLimit(job.config["max_runtime_seconds"] - taken)]
        if (most := job.config.get("max_cost_usd")) is not None:
            seconds = charge.seconds_for(allocation, Decimal(str(most)) - spent.usd)
            limits.append(TimeLimit(seconds, "max_cost_usd"))
        if job.config.get("over_budget") == "shorten":
            back = job.reservation.most.cost_usd - spent.usd
            seconds_left = self.quotas.seconds_left(allowance, allocation, job.reservation.month, back)
            if seconds_left is not None:
                limits.append(TimeLimit(seconds_left, "max_usd_per_month"))
        shortest = min(limits, key=lambda limit: limit.seconds)
        if shortest.seconds < MIN_TIME_LIMIT_SECONDS:
            return Staying(
                f"{_called(allocation)} was not taken: {shortest.set_by} leaves less than a minute on it, after "
                f"{taken} seconds and USD {spent.usd}."
            )
        return shortest


def _called(allocation: Allocation) -> str:
    return f"The next instance, {allocation.instance_type} at USD {allocation.price_per_hour_usd} an hour,"
