"""What becomes of a run when its job has ended. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chalicelib.auto_deployment.deploying import AutoDeploying
from chalicelib.clock import Clock
from chalicelib.jobs.job import Job, JobStatus
from chalicelib.jobs.store import JobStore
from chalicelib.models.store import ModelStore
from chalicelib.retraining.gateways import Look, Looks
from chalicelib.retraining.rules import month_of
from chalicelib.retraining.run import Run, RunStatus
from chalicelib.retraining.store import RetrainingStore, Stale


@dataclass(frozen=True)
class Ending:
    store: RetrainingStore
    jobs: JobStore
    models: ModelStore
    deploying: Callable[[], AutoDeploying]
    looks: Looks
    now: Clock

    def take(self, tenant: str, job_id: str) -> Run | None:
        """Note how a run's job ended, and deploy its model; nothing for a job that is no run's.

        Raises:
            PlaceBusy: the place of the model is busy with another revision.
        """
        run, job = self.store.by_job(tenant, job_id), self.jobs.get(tenant, job_id)
        if run is None or (job is not None and not job.status.is_finished):
            return run
        return self._end(run, job)

    def ask(self, run: Run) -> Run:
        """As `take`, for a run that trains, or whose model may not be deployed yet, without anybody having told anything."""
        job = self.jobs.get(run.tenant, run.job_id) if run.job_id else None
        if job is not None and not job.status.is_finished:
            return run
        return self._end(run, job)

    def _end(self, run: Run, job: Job | None) -> Run:
        """Of a job that has ended; None: it was deleted."""
        while run.status is RunStatus.TRAINING:
            try:
                run = self._ended(run, job)
            except Stale:
                run = self.store.run(run.tenant, run.policy_id, run.number) or run
        self._have_next_looked_at(run)
        return self._deployed(run)

    def _ended(self, run: Run, job: Job | None) -> Run:
        """
        Raises:
            Stale: somebody else changed it meanwhile.
        """
        now, standing = self.now(), self.store.standing(run.tenant, run.policy_id)
        cost = job.used.cost_usd if job and job.used else None
        month = month_of(now)
        after = replace(
            standing,
            training=None if standing.training == run.number else standing.training,
            month=month,
            spent_usd=standing.spent_in(month) + (cost or 0),
        )
        status, reason = _outcome(job)
        ended = replace(run.ended(status, reason, now), cost_usd=cost, model_id=job.model_id if job else None)
        return self.store.change(run, ended, now, self.store.stand(run, standing, after))

    def _have_next_looked_at(self, run: Run) -> None:
        """The run that gathers may have been due while this one trained."""
        number = self.store.standing(run.tenant, run.policy_id).gathering
        if number is not None:
            self.looks.send(Look(run.tenant, run.policy_id, number), 0)

    def _deployed(self, run: Run) -> Run:
        policy = self.store.policy(run.tenant, run.policy_id)
        wanted = policy.deployment if policy else None
        if run.status is not RunStatus.SUCCEEDED or run.deployment_reason is not None or wanted is None:
            return run
        model = self.models.get(run.tenant, run.model_id) if run.model_id else None
        if model is None:
            return self._noted(run, None, "There is no model to deploy.")
        decision = self.deploying().decide(model, wanted)
        return self._noted(run, decision.deployment_id, decision.reason)

    def _noted(self, run: Run, deployment_id: str | None, reason: str) -> Run:
        while run.deployment_reason is None:
            try:
                run = self.store.change(
                    run, replace(run, deployment_id=deployment_id, deployment_reason=reason), self.now()
                )
            except Stale:
                run = self.store.run(run.tenant, run.policy_id, run.number) or run
        return run


def _outcome(job: Job | None) -> tuple[RunStatus, str | None]:
    if job is None:
        return RunStatus.FAILED, "The job was deleted."
    if job.status is JobStatus.COMPLETED:
        return RunStatus.SUCCEEDED, None
    return RunStatus.FAILED, job.failure_reason or f"The job was {job.status.value}."
