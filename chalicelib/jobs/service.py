"""Submit, list, get and cancel jobs. What happens to a job after that is `lifecycle.py`'s."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.aws import AwsError, is_busy
from chalicelib.capacity.admission import Admission
from chalicelib.clock import Clock, IdMaker
from chalicelib.costs.estimate import Estimate, Runtimes
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, NotFound, ServiceError, Unavailable
from chalicelib.idempotency import check_key, used_otherwise
from chalicelib.identity.caller import Caller, is_user
from chalicelib.identity.permissions import Permission
from chalicelib.jobs import rules
from chalicelib.jobs.gateways import Backends
from chalicelib.jobs.images import UnknownImage, training_image
from chalicelib.jobs.instances import BatchMachines, allocate
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job, JobFilter, JobStatus, TimeLimit, execution
from chalicelib.jobs.life import CancelRequested
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.rules import ArtifactPath
from chalicelib.jobs.secrets import Vault, problems
from chalicelib.jobs.spot import Forecast, assumptions, check, forecast, max_wait_seconds
from chalicelib.jobs.store import JobPage, JobStore, StaleJob, Submission
from chalicelib.jobs.suspicion import credentials_in
from chalicelib.jobs.time_limits import time_limit
from chalicelib.log import logger
from chalicelib.machine import StateMachine
from chalicelib.objects import Objects
from chalicelib.quotas import charge
from chalicelib.quotas.quota import Owner
from chalicelib.quotas.refusal import Held
from chalicelib.quotas.service import Allowance, QuotaService
from chalicelib.table import ConditionFailed, Write, look_up
from chalicelib.together import Together, one_after_the_other

MAX_DATASET_OBJECTS = 10_000
MAX_PROBLEMS = 25
_OPEN_JOBS_READ = 100
_CREATE_TRIES = 10


@dataclass(frozen=True)
class JobPlan:
    """A job as it would be recorded, the image that it would run in, and on spot what it is expected to take."""

    job: Job
    image: str
    spot: Forecast | None = None


@dataclass(frozen=True)
class JobService:
    """
    Args:
        quotas: reserves in the transaction that records a job.
        admission: wakes a job that waits for capacity when it is cancelled.
        backends: those that this installation has.
        batch_machines: what Batch has here; None without a Batch part.
        spot_rates: interruptions per hour that an operator assumes, by instance type.
        vault: encrypts secret variables.
        together: makes two reads at once, or one after the other.
    """

    store: JobStore
    objects: Objects
    machine: StateMachine
    quotas: QuotaService
    admission: Admission
    backends: Backends
    batch_machines: Callable[[], BatchMachines | None]
    vault: Vault
    region: str
    now: Clock
    new_id: IdMaker
    audit: Recorder
    spot_rates: Mapping[str, float] = field(default_factory=dict)
    together: Together = one_after_the_other

    def submit(self, caller: Caller, request: TrainingJobRequest, key: str | None) -> Job:
        """Check a request, record the job and start its state machine.

        Args:
            key: the caller's Idempotency-Key. The same key and request give the same job.

        Raises:
            InvalidRequest, RefusedValue: what is wrong, by field.
            Conflict: the key was used for another request.
            QuotaExceeded: it does not fit under the user's or the tenant's limits; says which, and when it would.
        """
        caller.require(Permission.JOBS_SUBMIT)
        fingerprint = ""
        if key is not None:
            check_key(key)
            fingerprint = self._fingerprint(caller, request)
        try:
            allocation, _ = self._checked(caller, request)
            job, made = self._create(caller, request, allocation, key, fingerprint)
        except ServiceError:
            # A used key keeps its answer, also where its request would be refused today. Asked only now: nearly every key
            # is new, and the transaction finds out by itself.
            if key is not None and (earlier := self._submitted_before(caller, key, fingerprint)):
                return earlier
            raise
        if made is not None:
            return self._same_or_conflict(caller, made.job_id, made.fingerprint, fingerprint)
        self.machine.start(*execution(job))
        return job

    def plan(self, caller: Caller, request: TrainingJobRequest) -> JobPlan:
        """What `submit` would do now, checked as it would be; makes nothing.

        Raises:
            InvalidRequest, RefusedValue, QuotaExceeded: what `submit` would refuse.
        """
        caller.require(Permission.JOBS_SUBMIT)
        allocation, image = self._checked(caller, request)
        allowance, job = self._allowed(caller, request, allocation)
        self.quotas.refuse(allowance, allocation, job.reservation, self._held_by)
        return JobPlan(job, image, self._spot(caller, request, job))

    def check_template(self, caller: Caller, request: TrainingJobRequest) -> None:
        """Whether a request could be submitted, whatever its dataset holds by then; makes nothing.

        Raises:
            InvalidRequest, RefusedValue: what is wrong, by field.
        """
        rules.confined("config.dataset_path", request.config.dataset_path, caller, self.objects.bucket)
        if problems := self._script_problems(self._script(caller, request)):
            raise InvalidRequest.about(*problems)
        self._fitted(caller, request)

    def _checked(self, caller: Caller, request: TrainingJobRequest) -> tuple[Allocation, str]:
        """What a request gets, and the image it runs in, once everything about it is in order."""
        self._check_artifacts(caller, request)
        return self._fitted(caller, request)

    def _fitted(self, caller: Caller, request: TrainingJobRequest) -> tuple[Allocation, str]:
        """As `_checked`, of a request whose script and dataset are there."""
        self._check_environment(caller, request)
        rules.check_resources(request.config)
        rules.check_framework(request)
        backend = Backend(request.config.environment.backend)
        batch = self.batch_machines()
        if backend is Backend.BATCH and batch is None:
            cure = "Use sagemaker, or have an administrator install the stack with BatchSubnets."
            raise InvalidRequest.about(
                FieldProblem("config.environment.backend", "is batch, which this installation does not have", cure)
            )
        image = self._image(request)
        return allocate(request.config.resource_requirements, backend, batch), image

    def search(self, caller: Caller, wanted: JobFilter, limit: int, offset: int, cursor: str | None) -> JobPage:
        """The jobs a caller may see, newest first: own ones, or everybody's in the tenant with the permission."""
        caller.require(Permission.JOBS_READ)
        if not caller.may(Permission.JOBS_READ_ALL):
            if wanted.user not in {None, caller.user}:
                return JobPage((), None)
            wanted = replace(wanted, user=caller.user)
        if wanted.user is not None and not is_user(wanted.user):
            return JobPage((), None)
        return self.store.search(caller.tenant, wanted, limit, offset, JobStore.cursor(cursor, caller.tenant, wanted))

    def get(self, caller: Caller, job_id: str) -> Job:
        """
        Raises:
            NotFound: not there, or not this caller's to see.
        """
        caller.require(Permission.JOBS_READ)
        return self.find(caller, job_id, Permission.JOBS_READ_ALL)

    def find(self, caller: Caller, job_id: str, others: Permission) -> Job:
        """A job of the caller's, or of anybody in the tenant with the permission `others`.

        Whoever calls this has asked for a permission of its own: the job itself is not shown by it.

        Raises:
            NotFound: not there, or somebody else's.
        """
        job = self.store.get(caller.tenant, job_id)
        if job is None or (job.user != caller.user and not caller.may(others)):
            raise NotFound("job")
        return job

    def cancel(self, caller: Caller, job_id: str) -> Job:
        """Mark the intent, then stop what runs. The state machine's own finishing path sets the terminal status.

        Cancelling a job that is already being cancelled changes nothing.

        Raises:
            Forbidden: this caller may not even cancel own jobs.
            NotFound: not there, or not this caller's to cancel.
            Conflict: finished already.
        """
        if not caller.may(Permission.JOBS_CANCEL_ALL):
            caller.require(Permission.JOBS_SUBMIT)
        while True:
            job = self.find(caller, job_id, Permission.JOBS_CANCEL_ALL)
            if job.status.is_finished:
                raise Conflict(f"The job is {job.status.value}: only a pending or running job can be cancelled.")
            if job.cancel_requested_at is not None:
                break
            try:
                cancelled = self.audit.entry(caller, Action.CANCEL_JOB, subject("job", job_id), owner=job.user)
                also = (cancelled, *self.admission.waking(job))
                job = self.store.change(job, CancelRequested(self.now()), self.now(), *also)
                break
            except StaleJob:
                continue
        # Between the intent and this stop the backend's job may not exist yet: the planning task reads the intent
        # before it creates one, and the backend's own "it runs" event finds the intent after.
        for attempt in self.store.attempts(job.tenant, job.job_id)[-1:]:
            self._stop(attempt)
        self.admission.wake(job)
        return job

    def _stop(self, attempt: Attempt) -> None:
        """A backend that does not answer now is told again by the reconciler: the wish is recorded."""
        try:
            self.backends.of(attempt).stop(attempt, "cancelled by the user")
        except AwsError as error:
            if not is_busy(error):
                raise
            logger.warning(
                "the backend did not take a stop", extra={"attempt": attempt.name, "detail": str(error)[:500]}
            )

    def _submitted_before(self, caller: Caller, key: str, fingerprint: str) -> Job | None:
        made = self.store.submission(caller.tenant, caller.user, key)
        if made is None:
            return None
        return self._same_or_conflict(caller, made.job_id, made.fingerprint, fingerprint)

    def _same_or_conflict(self, caller: Caller, job_id: str, earlier: str, fingerprint: str) -> Job:
        if earlier != fingerprint:
            raise used_otherwise()
        job = self.store.get(caller.tenant, job_id)
        if job is None:
            raise Conflict("The job that this Idempotency-Key made is gone. Use a new key.")
        # The first request may have died before this call. The name makes a second start harmless.
        if not job.status.is_finished:
            self.machine.start(*execution(job))
        return job

    def _check_artifacts(self, caller: Caller, request: TrainingJobRequest) -> None:
        script = self._script(caller, request)
        dataset = rules.confined("config.dataset_path", request.config.dataset_path, caller, self.objects.bucket)
        of_script, of_dataset = self.together(
            lambda: self._script_problems(script), lambda: self._dataset_problems(dataset)
        )
        if problems := [*of_script, *of_dataset]:
            raise InvalidRequest.about(*problems)

    def _script(self, caller: Caller, request: TrainingJobRequest) -> ArtifactPath:
        """Where the script lies; the checkpoints' folder is the caller's, too.

        Raises:
            RefusedValue: one of them is not.
        """
        path = rules.confined("config.script_path", request.config.script_path, caller, self.objects.bucket)
        if request.config.checkpoint_path is not None:
            rules.checkpoint_folder(request.config.checkpoint_path, caller, self.objects.bucket)
        return path

    def _script_problems(self, script: ArtifactPath) -> list[FieldProblem]:
        field = "config.script_path"
        if script.key.endswith("/"):
            return [FieldProblem(field, "is a directory", "Name the Python file to run.")]
        found = self.objects.head(script.key)
        if found is None:
            if self.objects.below(script.key + "/", at_most=1).objects:
                return [FieldProblem(field, "is a directory", "Name the Python file to run.")]
            return [FieldProblem(field, "does not exist", "Upload it first: POST /api/v1/uploads.")]
        if not script.name.endswith(".py"):
            return [FieldProblem(field, "is not a Python file", "Name a file that ends in .py.")]
        if found.size == 0:
            return [FieldProblem(field, "is empty", "Upload the script's text.")]
        if found.size > rules.MAX_SCRIPT_BYTES:
            return [FieldProblem(field, f"has {found.size:,} bytes", f"Use at most {rules.MAX_SCRIPT_BYTES:,}.")]
        return []

    def _dataset_problems(self, dataset: ArtifactPath) -> list[FieldProblem]:
        field = "config.dataset_path"
        found = None if dataset.key.endswith("/") else self.objects.head(dataset.key)
        if found is None:
            found = self.objects.below(dataset.key.rstrip("/") + "/", at_most=MAX_DATASET_OBJECTS)
            if found.objects == 0:
                return [FieldProblem(field, "does not exist", "Upload it first: POST /api/v1/uploads.")]
            if found.objects > MAX_DATASET_OBJECTS:
                return [
                    FieldProblem(
                        field, f"has more than {MAX_DATASET_OBJECTS:,} objects", "Pack them into fewer, larger files."
                    )
                ]
        if found.size == 0:
            return [FieldProblem(field, "is empty", "Upload a dataset with data in it.")]
        return []

    def _check_environment(self, caller: Caller, request: TrainingJobRequest) -> None:
        environment = request.config.environment
        wrong = list(credentials_in(request.config.parameters))
        if environment.secret_variables:
            wrong += problems(environment.secret_variables, environment.environment_variables, caller, self.vault.place)
        rules.check_environment(request.config, *wrong[:MAX_PROBLEMS])

    def _sealed(self, job: Job, request: TrainingJobRequest) -> list[Write]:
        secrets = request.config.environment.secret_variables
        if not secrets:
            return []
        return [self.store.put_secrets(job, self.vault.seal(job.tenant, job.job_id, secrets))]

    def _fingerprint(self, caller: Caller, request: TrainingJobRequest) -> str:
        """What tells one request from another. Values of secrets are in it only under a key."""
        text = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        secrets = request.config.environment.secret_variables
        return f"{digest}.{self.vault.fingerprint(caller.tenant, caller.user, secrets)}" if secrets else digest

    def _image(self, request: TrainingJobRequest) -> str:
        if request.config.environment.docker_image is not None:
            return request.config.environment.docker_image
        try:
            return training_image(
                request.framework, gpu=request.config.resource_requirements.gpu_count > 0, region=self.region
            )
        except UnknownImage as error:
            problem = FieldProblem(
                "config.environment.docker_image", str(error), "Name an image with Python 3.9 or newer."
            )
            raise InvalidRequest.about(problem) from None

    def _create(
        self, caller: Caller, request: TrainingJobRequest, allocation: Allocation, key: str | None, fingerprint: str
    ) -> tuple[Job, Submission | None]:
        """Record the job and reserve what it takes at most, in one transaction; or find what the key made before."""
        for _ in range(_CREATE_TRIES):
            allowance, job = self._allowed(caller, request, allocation)
            self._spot(caller, request, job)
            reserved = self.quotas.reserve(allowance, job.reservation)
            submitted = self.audit.entry(caller, Action.SUBMIT_JOB, subject("job", job.job_id), name=job.name)
            try:
                return job, self.store.create(job, key, fingerprint, *self._sealed(job, request), *reserved, submitted)
            except ConditionFailed:
                # Where nothing is short any more, somebody gave back between the refusal and this look: once more.
                self.quotas.refuse(allowance, allocation, job.reservation, self._held_by)
        raise Unavailable("The quota is changing too quickly to decide. Try again.")

    def _allowed(self, caller: Caller, request: TrainingJobRequest, allocation: Allocation) -> tuple[Allowance, Job]:
        """The job as it would be recorded now, and the limits that it is under."""
        allowance, past = look_up(
            self.quotas.allowance(caller.tenant, caller.user),
            self.store.runtimes(caller.tenant, request.name, allocation.instance_type),
        )
        left = self.quotas.seconds_left(allowance, allocation) if request.config.over_budget == "shorten" else None
        limit = time_limit(request.config, allocation, allowance.max_runtime_seconds, left)
        return allowance, self._job(caller, request, allocation, limit, past)

    def _spot(self, caller: Caller, request: TrainingJobRequest, job: Job) -> Forecast | None:
        """What a spot job is expected to take; None on demand.

        Raises:
            RefusedValue: more than its limits allow.
        """
        if not request.config.spot:
            return None
        kind = job.allocation.instance_type
        learned = job.estimate.expected if job.estimate.runs else None
        history = self.store.spot_history(caller.tenant, kind)
        given = assumptions(kind, self.spot_rates)
        intervals = self.store.checkpoint_intervals(caller.tenant, job.name)
        found = forecast(request.config, learned, job.time_limit.seconds, history, given, intervals)
        check(found, job.time_limit.seconds, max_wait_seconds(job.config))
        return found

    def _held_by(self, owner: Owner) -> list[Held]:
        """What an owner's open jobs hold, and when each is expected to end; of very many, the newest."""
        open_jobs = [
            job
            for status in (JobStatus.PENDING, JobStatus.RUNNING)
            for job in self.store.search(owner.tenant, JobFilter(status, owner.user), _OPEN_JOBS_READ, 0, None).jobs
        ]
        return [
            Held(job.reservation, (job.started_at or job.created_at) + timedelta(seconds=job.estimated_seconds))
            for job in open_jobs
        ]

    def _job(
        self, caller: Caller, request: TrainingJobRequest, allocation: Allocation, time_limit: TimeLimit, past: Runtimes
    ) -> Job:
        now = self.now()
        return Job(
            tenant=caller.tenant,
            job_id=self.new_id(),
            user=caller.user,
            name=request.name,
            framework=request.framework,
            config=_config(request),
            allocation=allocation,
            created_at=now,
            updated_at=now,
            description=request.description,
            priority=request.priority,
            tags=tuple(request.tags),
            estimate=Estimate.of(past, time_limit.seconds),
            time_limit=time_limit,
            reservation=charge.reservation(allocation, time_limit.seconds, now),
        )


def _config(request: TrainingJobRequest) -> dict[str, Any]:
    """What is recorded; of secret variables the names alone."""
    config: dict[str, Any] = request.config.model_dump(mode="json", exclude_none=True)
    names = sorted(config["environment"].pop("secret_variables"))
    if names:
        config["environment"]["secret_variables"] = names
    return config
