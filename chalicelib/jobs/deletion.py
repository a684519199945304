"""Deletes a finished job: its files first, then its records; what it cost stays charged."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.errors import Conflict, NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.job import job_prefix
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.metrics.store import MetricStore
from chalicelib.models.store import ModelStore
from chalicelib.objects import Objects
from chalicelib.quotas.service import QuotaService


@dataclass(frozen=True)
class Deletion:
    store: JobStore
    models: ModelStore
    metrics: MetricStore
    objects: Objects
    quotas: QuotaService
    audit: Recorder
    now: Clock

    def delete(self, caller: Caller, job_id: str) -> None:
        """Delete a finished job that no registered model needs.

        The record goes last, with the storage that it held, in one transaction: a deletion that was cut off can be asked
        for again, and a deleted job's storage is given back once.

        Raises:
            NotFound: there is no such job in the caller's tenant.
            Conflict: it is not finished, or a model lies among its files.
        """
        caller.require(Permission.JOBS_DELETE)
        job = self.store.get(caller.tenant, job_id)
        if job is None:
            raise NotFound("job")
        if not job.status.is_finished:
            raise Conflict(f"The job is {job.status.value}: cancel it first.")
        if job.model_id is not None and self.models.get(job.tenant, job.model_id) is not None:
            raise Conflict(f"The model {job.model_id} lies among this job's files. Delete the model first.")
        self.objects.delete_below(job_prefix(job.tenant, job.job_id))
        self.metrics.delete(job.tenant, job.job_id)
        self.store.delete_details(job.tenant, job.job_id)
        stored = job.used.storage_bytes if job.used else 0
        back = self.quotas.give_back_storage(job.tenant, job.user, stored)
        deleted = self.audit.entry(
            caller, Action.DELETE_JOB, subject("job", job_id), owner=job.user, name=job.name, status=job.status.value
        )
        try:
            self.store.delete(job, self.now(), *back, deleted)
        except StaleJob:
            raise Conflict("The job changed at the same moment. Try again.") from None
