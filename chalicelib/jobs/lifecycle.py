"""What the state machine `train_job` and the backends' events ask for. Every step may be repeated.

    plan      → what to run next: an attempt on SageMaker or Batch, or nothing more; or that capacity must be waited for
    assess    → how the attempt ended, and whether another follows
    observe   → a backend's event arrived: look at the backend, and record what is true

How a job ends is `finishing.py`'s, who may run now is `capacity/`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.capacity.admission import Admission
from chalicelib.capacity.pool import pool_name
from chalicelib.capacity.preemption import Preemption
from chalicelib.clock import Clock
from chalicelib.jobs.causes import Cause, cause_of, wait_before_retry
from chalicelib.jobs.definitions import JobDefinitions
from chalicelib.jobs.gateways import ABSENT, MAX_WAIT_EXCEEDED, BackendJob, Backends, BackendState
from chalicelib.jobs.images import training_image
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job, attempt_prefix
from chalicelib.jobs.life import AttemptPlanned, ModelRegistered, Observed, Started
from chalicelib.jobs.moving import Moving
from chalicelib.jobs.outcome import MAX_REASON, billed_as, limit_reached, read_manifest
from chalicelib.jobs.plan import Inputs, Surroundings, batch_request, sagemaker_request, spec, tags
from chalicelib.jobs.rules import ArtifactPath
from chalicelib.jobs.service import MAX_DATASET_OBJECTS
from chalicelib.jobs.spot import assumptions, max_wait_seconds, priced
from chalicelib.jobs.store import JobStore, StaleJob
from chalicelib.jobs.training_queue import PREEMPTED, TrainingQueue
from chalicelib.objects import Objects
from chalicelib.quotas.charge import MIN_TIME_LIMIT_SECONDS

_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 2, 1800


@dataclass(frozen=True)
class Lifecycle:
    """
    Args:
        admission, preemption: who may run now, and who gives way; made by the steps that ask.
        around: what the installation gives an attempt of a tenant.
        moving: lets the next attempt run on something else.
        new_token: makes the secret by which an attempt's log lines are known.
    """

    store: JobStore
    objects: Objects
    backends: Backends
    definitions: JobDefinitions
    admission: Callable[[], Admission]
    preemption: Callable[[], Preemption]
    around: Callable[[str], Surroundings]
    region: str
    now: Clock
    new_token: Callable[[], str]
    moving: Callable[[], Moving]
    training_queue: TrainingQueue | None = None

    def plan(self, tenant: str, job_id: str) -> dict[str, Any]:
        """What the machine does next with the latest attempt.

        Returns:
            `next`: `sagemaker`, `batch` or `queue` with the `request`; `assess` when the backend has the attempt already,
            ended or not (the machine was started again); `wait` for capacity; `finish` when nothing is left to run.
        """
        job = self.store.require(tenant, job_id)
        number = max(1, job.attempts)
        attempt = self.store.attempt(tenant, job_id, number)
        found = self.backends.of(attempt).describe(attempt) if attempt else ABSENT
        if job.status.is_finished:
            return {"next": "finish", "attempt": number}
        if found.state is not BackendState.ABSENT:
            return {"next": "assess", "attempt": number}
        if job.cancel_requested_at is not None:
            return {"next": "finish", "attempt": number}
        is_on_its_way = attempt is not None and runs_on(attempt, job.allocation)
        claimed = self.admission().claim(job, is_on_its_way=is_on_its_way)
        if claimed is None:
            if job.priority == "critical":
                self.preemption().make_room(pool_name(job.allocation))
            return {"next": "wait", "attempt": number}
        job = claimed
        if job.cancel_requested_at is not None:
            return {"next": "finish", "attempt": number}
        attempt = self._record_attempt(job, number)
        max_wait = self._wait_left(job)
        seconds = self._seconds_left(job, number, max_wait)
        document = spec(job, attempt, seconds, self._inputs(job), self.objects.bucket)
        self.objects.write_json(f"{attempt_prefix(tenant, job_id, number)}spec.json", document)
        following = "queue" if attempt.backend is Backend.SAGEMAKER and attempt.queue else job.backend.value
        return {"next": following, "attempt": number, "request": self._request(job, attempt, seconds, max_wait)}

    def assess(self, tenant: str, job_id: str, number: int, error: str | None) -> dict[str, Any]:
        """How an attempt ended.

        Returns:
            `next`: `register`; `retry` or `await` (it still runs) with `wait_seconds`; `queue` (it still waits or runs in
            the operator's queue, whose events tell its end); or `finish`.
        """
        job = self.store.require(tenant, job_id)
        attempt = self.store.attempt(tenant, job_id, number)
        if attempt is None or job.status.is_finished:
            return {"next": "finish", "attempt": number}
        found = self.backends.of(attempt).describe(attempt)
        if found.state is BackendState.COMPLETED and job.cancel_requested_at is None:
            return {"next": "register", "attempt": number}
        if found.state in {BackendState.STARTING, BackendState.RUNNING}:
            if attempt.backend is Backend.SAGEMAKER and attempt.queue:
                return {"next": "queue", "attempt": number}
            return {"next": "await", "attempt": number, "wait_seconds": self._look_again_in(attempt)}
        manifest = read_manifest(self.objects, tenant, job_id, number) or {}
        said = self._said(job, manifest)
        cause = cause_of(found, error, said, manifest.get("cause"))
        preempted_by = self.admission().preempted_by(job, number) if cause is Cause.STOPPED else None
        if preempted_by:
            cause = Cause.PREEMPTED
            error = f"Preempted by {preempted_by}: stopped with its checkpoint kept."
        left = self._wait_left(job)
        reason = _reason(job, found, cause, error, said, is_wait_over=left is not None and left <= 0)
        ended = replace(billed_as(attempt, found), reason=reason, cause=cause.value)
        self.store.change_attempt(ended)
        wait = wait_before_retry(cause, self._ended(job, number), job.config.get("retry", {}), attempt.name)
        if job.cancel_requested_at is not None or wait is None:
            return {"next": "finish", "attempt": number}
        if job.attempts > number:
            # This was decided before, and the answer lost.
            return {"next": "retry", "attempt": job.attempts, "wait_seconds": wait}
        if self._seconds_left(job, number + 1, left) < MIN_TIME_LIMIT_SECONDS:
            is_wait_over = left is not None and left < MIN_TIME_LIMIT_SECONDS
            limit = _wait_reached(job) if is_wait_over else limit_reached(job)
            self.store.change_attempt(replace(ended, reason=f"{limit} {ended.reason}"[:MAX_REASON]))
            return {"next": "finish", "attempt": number}
        if preempted_by:
            self.admission().requeue(job, number + 1)
            return {"next": "retry", "attempt": number + 1, "wait_seconds": wait}
        staying = self.moving().move(job, number)
        if staying is None:
            return {"next": "retry", "attempt": number + 1, "wait_seconds": 0}
        if staying.reason:
            room = MAX_REASON - len(staying.reason) - 1
            self.store.change_attempt(replace(ended, reason=f"{reason[:room]}\n{staying.reason}"))
            if cause is Cause.OUT_OF_MEMORY:
                return {"next": "finish", "attempt": number}
        # The next attempt is recorded before the wait: whatever starts again meanwhile goes on from there.
        self._record_attempt(job, number + 1)
        return {"next": "retry", "attempt": number + 1, "wait_seconds": wait}

    def observe(self, tenant: str, job_id: str, number: int) -> None:
        """Record what the backend says of an attempt that is under way."""
        attempt = self.store.attempt(tenant, job_id, number)
        if attempt is None:
            return
        found = self.backends.of(attempt).describe(attempt)
        seen = replace(
            attempt,
            log_stream=found.log_stream or attempt.log_stream,
            backend_id=found.backend_id or attempt.backend_id,
            started_at=found.started_at or attempt.started_at,
        )
        if seen != attempt:
            self.store.note_start(seen)
            attempt = seen
        if found.state not in {BackendState.STARTING, BackendState.RUNNING}:
            return
        job = self.store.get(tenant, job_id)
        if job is not None and job.cancel_requested_at is not None and not job.status.is_finished:
            # The cancel came between the plan and the creation: what it could not stop then is stopped now.
            self.backends.of(attempt).stop(attempt, "cancelled by the user")
        if found.state is BackendState.RUNNING:
            self.running(tenant, job_id, self.now(), found.secondary_status)
        elif found.secondary_status:
            self._record_secondary_status(tenant, job_id, found.secondary_status)

    def running(self, tenant: str, job_id: str, since: datetime, secondary_status: str | None) -> None:
        """A pending job runs now. Whoever sees it first, the event or the agent's first line, records it."""
        while True:
            job = self.store.get(tenant, job_id)
            # A job in the queue does not run: what says so is a late word of an attempt that was preempted.
            if job is None or job.status.is_finished or job.waiting_reason:
                return
            try:
                self.store.change(job, Started(since, secondary_status), self.now())
            except StaleJob:
                continue
            return

    def set_model(self, tenant: str, job_id: str, model_id: str) -> None:
        """Link the job to the model that it made."""
        while True:
            job = self.store.require(tenant, job_id)
            try:
                self.store.change(job, ModelRegistered(model_id), self.now())
            except StaleJob:
                continue
            return

    def _record_secondary_status(self, tenant: str, job_id: str, secondary_status: str) -> None:
        job = self.store.get(tenant, job_id)
        if job is None:
            return
        try:
            self.store.change(job, Observed(secondary_status), self.now())
        except StaleJob:
            # Only a detail: whoever changed the record meanwhile knew better.
            return

    def _record_attempt(self, job: Job, number: int) -> Attempt:
        """The attempt of this number, recorded if it is not yet; the job counts it, also if a crash came between the two."""
        queue = self.training_queue.arn if self.training_queue else None
        allocation = job.allocation
        if job.backend is Backend.BATCH:
            queue = self.definitions.queue_for(job)
            if job.config.get("spot"):
                allocation = priced(allocation, assumptions(allocation.instance_type))
        attempt = Attempt(
            *(job.tenant, job.job_id, number, self.new_token(), job.backend, self.now(), queue), allocation=allocation
        )
        if not self.store.put_attempt(attempt):
            found = self.store.attempt(job.tenant, job.job_id, number) or attempt
            is_moved = number == job.attempts and found.allocation not in {None, allocation}
            if is_moved:
                # Recorded by one who did not know yet that the job would move; it has not begun.
                found = replace(found, backend=job.backend, queue=queue, allocation=allocation)
                self.store.change_attempt(found)
            attempt = found
        while (job.attempts < number or job.waiting_reason) and not job.status.is_finished:
            try:
                job = self.store.change(job, AttemptPlanned(number), self.now())
            except StaleJob:
                job = self.store.require(job.tenant, job.job_id)
        return attempt

    def _seconds_left(self, job: Job, number: int, max_wait: int | None) -> int:
        """How long the attempt of this number may have its instance: what those before it left of the job's limits."""
        left = job.time_limit.seconds - self.store.taken_seconds(job.tenant, job.job_id, number - 1)
        return left if max_wait is None else min(left, max_wait)

    def _wait_left(self, job: Job) -> int | None:
        """How long a spot job may still take, with all waits; counted from its first attempt. None on demand."""
        if not job.config.get("spot"):
            return None
        first = self.store.attempt(job.tenant, job.job_id, 1)
        passed = (self.now() - first.planned_at).total_seconds() if first else 0
        return max_wait_seconds(job.config) - int(passed)

    def _look_again_in(self, attempt: Attempt) -> int:
        """Seconds until the next look: a fraction of how long it runs already, so that looks stay few."""
        age = (self.now() - attempt.planned_at).total_seconds()
        return int(min(_LAST_LOOK_SECONDS, max(_FIRST_LOOK_SECONDS, age / 10)))

    def _inputs(self, job: Job) -> Inputs:
        script = self._path(job.config["script_path"])
        dataset = self._path(job.config["dataset_path"])
        requirements, inference = script.sibling("requirements.txt"), script.sibling("inference.py")
        found = self.objects.head(dataset.key) or self.objects.below(
            dataset.key.rstrip("/") + "/", at_most=MAX_DATASET_OBJECTS
        )
        return Inputs(
            requirements_uri=requirements.uri if self.objects.head(requirements.key) else None,
            inference_uri=inference.uri if self.objects.head(inference.key) else None,
            dataset_objects=found.objects,
            dataset_bytes=found.size,
            secret_variables=self.store.secrets(job.tenant, job.job_id) if _has_secrets(job) else {},
        )

    def _path(self, uri: str) -> ArtifactPath:
        return ArtifactPath(self.objects.bucket, uri.removeprefix(f"s3://{self.objects.bucket}/"))

    def _request(self, job: Job, attempt: Attempt, seconds: int, max_wait: int | None) -> dict[str, Any]:
        custom = job.config["environment"].get("docker_image")
        image = custom or training_image(job.framework, gpu=job.allocation.gpu_count > 0, region=self.region)
        around = self.around(job.tenant)
        if job.backend is Backend.SAGEMAKER:
            request = sagemaker_request(job, attempt, seconds, image, around, max_wait)
            if self.training_queue is None or attempt.queue is None:
                return request
            return self.training_queue.request(job, attempt, request, tags(job, attempt, around))
        definition = self.definitions.for_container(image, around.training_role_arn)
        return batch_request(job, attempt, seconds, definition, around)

    def _said(self, job: Job, manifest: Mapping[str, Any]) -> str | None:
        """The script's own last words, where there are any."""
        said = manifest.get("reason") or self.store.report(job.tenant, job.job_id).exit_reason
        return str(said) if said else None

    def _ended(self, job: Job, number: int) -> int:
        """How many of the first so many attempts count against the retries.

        Those that gave way to another job do not, nor does a spot job's loss of its machine: it is what spot is, and on
        SageMaker it does not even end the attempt. The job's limits are the bound.
        """
        free = {Cause.PREEMPTED.value, *([Cause.SPOT_INTERRUPTION.value] if job.config.get("spot") else [])}
        return sum(each.cause not in free for each in self.store.first_attempts(job.tenant, job.job_id, number))


def runs_on(attempt: Attempt, allocation: Allocation) -> bool:
    """Whether an attempt is for what its job has now; the price may differ, since spot takes off its discount."""
    had = attempt.allocation
    return had is None or (had.backend, had.instance_type, had.memory_gb) == (
        allocation.backend,
        allocation.instance_type,
        allocation.memory_gb,
    )


def _reason(
    job: Job, found: BackendJob, cause: Cause, error: str | None, said: str | None, *, is_wait_over: bool
) -> str:
    """The script's last words where it is the cause, else the backend's, else Step Functions'."""
    if found.secondary_status == MAX_WAIT_EXCEEDED or (cause is Cause.TIME_LIMIT and is_wait_over):
        return _wait_reached(job)
    if cause is Cause.TIME_LIMIT:
        limit = limit_reached(job)
        return f"{limit} {said}"[:MAX_REASON] if said else limit
    if cause in {Cause.SCRIPT, Cause.OUT_OF_MEMORY, Cause.DATA} and said:
        return said[:MAX_REASON]
    if found.is_preempted:
        return PREEMPTED
    if cause is Cause.STOPPED:
        return "The training job was stopped outside this service."
    return (found.reason or error or f"The attempt ended: {cause.value}.")[:MAX_REASON]


def _wait_reached(job: Job) -> str:
    return f"The job did not end within {max_wait_seconds(job.config)} seconds on spot (max_wait_seconds)."


def _has_secrets(job: Job) -> bool:
    return bool(job.config["environment"].get("secret_variables"))
