"""Issues the receipt of a finished job, once.

    1. finish_job sets the terminal status and writes the usage row      one transaction
    2. the receipt is made, signed, and put if absent                    here

A crash between the two leaves a finished job without a receipt. Whoever finishes it again, and the machine repeats
`finish_job` until it answers, issues the missing one; a second one is never kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from chalicelib.clock import Clock
from chalicelib.costs.bill import bill
from chalicelib.costs.counts import Counts
from chalicelib.costs.history import History
from chalicelib.costs.meter import OWN_WRITE, Meter
from chalicelib.costs.receipt import Sealed, canonical, receipt_of
from chalicelib.costs.store import UsageStore
from chalicelib.jobs.job import Attempt, Job

_RECEIPT_KB = 5
"""What a receipt takes in the table, in units of a write: its text, its signature and its keys."""

STILL_TO_COME = OWN_WRITE + Counts({"kms_signatures": Decimal(1), "dynamodb_write_units": Decimal(_RECEIPT_KB)})
"""What is known of the steps after the counting: the signature, the receipt's own item, and the last write of the meter."""


class Attempts(Protocol):
    def first_attempts(self, tenant: str, job_id: str, count: int) -> list[Attempt]:
        """The first so many attempts of a job, in order."""


class Seal(Protocol):
    def seal(self, text: str) -> Sealed:
        """Sign a canonical receipt."""


@dataclass(frozen=True)
class Issuing:
    attempts: Attempts
    store: UsageStore
    history: History
    signer: Seal
    meter: Meter
    now: Clock

    def issue(self, job: Job) -> Sealed:
        """The job's receipt: the one that it has, or a new one."""
        if existing := self.store.receipt(job.tenant, job.job_id):
            return existing
        counts = self._counts(job)
        attempts = self.attempts.first_attempts(job.tenant, job.job_id, job.attempts)
        text = canonical(receipt_of(job, bill(job, attempts), counts, self.now()))
        made = self.signer.seal(text)
        if self.store.put_receipt(job.tenant, job.job_id, made):
            return made
        # Two at the same moment: the first one counts.
        return self.store.receipt(job.tenant, job.job_id) or made

    def _counts(self, job: Job) -> Counts:
        counted = self.store.counted(job.tenant, job.job_id)
        transitions = self.history.transitions(job.job_id)
        known = Counts({"state_transitions": Decimal(transitions)}) if transitions is not None else Counts()
        return counted + known + self.meter.so_far() + STILL_TO_COME
