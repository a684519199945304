"""Runs of retraining: one that nobody looks at any more is looked at.

run          what was lost                                  →
───────────  ─────────────────────────────────────────────  ─────────────────
gathering    the word that it is to be looked at            it is sent again
starting     whoever was at it, for a quarter of an hour    it is sent again
training     the event of its job's end                     it is sent again
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.audit.entry import subject
from chalicelib.clock import Clock
from chalicelib.jobs.store import JobStore
from chalicelib.reconciler.repair import GRACE, Kind, Repair
from chalicelib.retraining.gateways import LONGEST_DELAY_SECONDS, Look, Looks
from chalicelib.retraining.run import Run, RunStatus
from chalicelib.retraining.store import RetrainingStore

_LONGEST_STEP = timedelta(seconds=LONGEST_DELAY_SECONDS) + GRACE


@dataclass(frozen=True)
class RetrainingRepairs:
    store: RetrainingStore
    jobs: JobStore
    looks: Looks
    now: Clock

    def open(self) -> Iterator[Run]:
        return self.store.live()

    def look_at(self, listed: Run) -> Iterator[Repair]:
        """Whether a run that is not over will be looked at by itself."""
        # The index lags behind the record.
        run = self.store.run(listed.tenant, listed.policy_id, listed.number)
        lost = self._lost(run) if run else None
        if run is not None and lost is not None:
            self.looks.send(Look(run.tenant, run.policy_id, run.number), 0)
            yield Repair(Kind.WOKEN, run.tenant, subject("retraining-run", f"{run.policy_id}/{run.number}"), lost)

    def _lost(self, run: Run) -> str | None:
        now = self.now()
        match run.status:
            case RunStatus.GATHERING if run.look_at is not None and now > run.look_at + GRACE:
                # One that waits for the run before is woken by its end: sooner does no harm.
                return "nobody looked at it when it was due"
            case RunStatus.STARTING if now > run.updated_at + _LONGEST_STEP:
                return "whoever made its job did not go on"
            case RunStatus.TRAINING if self._has_ended(run):
                return "nobody told the end of its job"
        return None

    def _has_ended(self, run: Run) -> bool:
        job = self.jobs.get(run.tenant, run.job_id) if run.job_id else None
        return job is None or (job.completed_at is not None and self.now() > job.completed_at + GRACE)
