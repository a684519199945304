"""Service jobs: submitted to a queue, started as SageMaker training jobs when there is room, and followed to their end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute

from localcloud.compute.batch import fairshare
from localcloud.compute.batch.catalog import Catalog
from localcloud.compute.batch.names import Arns, ClientFault, TooManyRequests
from localcloud.compute.batch.record import (
    FAILED,
    PENDING,
    RUNNABLE,
    RUNNING,
    SCHEDULED,
    STARTING,
    SUBMITTED,
    SUCCEEDED,
    milliseconds,
)
from localcloud.compute.batch.requests import MAX_ATTEMPTS, MAX_PRIORITY, check_name, check_share
from localcloud.compute.batch.resources import anywhere
from localcloud.compute.batch.retries import retries
from localcloud.compute.errors import ApiError
from localcloud.compute.host import Host
from localcloud.compute.jobs.sagemaker_record import COMPLETED, STOPPED
from localcloud.compute.operations import Authorization, Call, Document, Operation, PassRole
from localcloud.compute.paging import page_of
from localcloud.compute.queued.catalog import ServiceCatalog
from localcloud.compute.queued.record import KIND, ServiceRecord
from localcloud.compute.queued.rules import NO_CAPACITY, NUM_INSTANCES, by_quota, in_order
from localcloud.compute.training.part import TrainingPart
from localcloud.compute.training.record import TrainingRecord

logger = logging.getLogger(__name__)

SOURCE = "aws.batch"
DETAIL_TYPE = "Batch Service Job State Change"
TRAINING = "SAGEMAKER_TRAINING"
SAGEMAKER = "sagemaker.amazonaws.com"
PER_SECOND = 5
PAGE = 100
PREEMPTED = "Preempted: the capacity was needed by a job that goes before"
_OF_TRAINING = {"Starting": SCHEDULED, "Pending": SCHEDULED, "Downloading": STARTING, "Training": RUNNING}


class ServiceJobsPart:
    """See `operations.Part`. Holds the jobs that have not ended; the store holds them all."""

    def __init__(self, host: Host, queues: Catalog, training: TrainingPart) -> None:
        self._host = host
        self._arns = Arns.of(host.settings)
        self._queues = queues
        self._training = training
        self._catalog = ServiceCatalog(host, queues, self.reschedule)
        self._open: dict[str, ServiceRecord] = {}
        self._submitted: list[float] = []
        self._is_dirty = False
        self._is_stopping = False
        self._started = 0
        self._history = fairshare.History()
        self._scheduling: asyncio.Task[None] | None = None
        training.followers.append(self._follow)

    def operations(self) -> Sequence[Operation]:
        return [
            *self._catalog.operations(),
            Operation("batch", "SubmitServiceJob", self.submit, self._may_submit),
            Operation("batch", "DescribeServiceJob", self.describe, anywhere("DescribeServiceJob")),
            Operation("batch", "ListServiceJobs", self.list_jobs, anywhere("ListServiceJobs")),
            Operation("batch", "TerminateServiceJob", self.terminate, self._may_terminate),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return []

    async def start(self) -> None:
        """What ended while the emulator was away, or with it, is looked at; everything else waits or runs on."""
        for key, document in list(self._host.store.scan(KIND)):
            record = ServiceRecord(document)
            if record.is_terminal:
                self._remember(record)
            else:
                self._open[key] = record
            self._started = max(self._started, record.document.get("started", 0))
        for record in list(self._open.values()):
            found = self._training.find(record.training_name) if record.training_name else None
            if found is not None:
                self._follow(found)
            elif record.training_name is not None:
                # Killed before the training job was made: its turn comes again.
                record.document.pop("training_name")
                self._enter(record, RUNNABLE)
        self.reschedule()

    async def stop(self) -> None:
        self._is_stopping = True
        if self._scheduling is not None:
            self._scheduling.cancel()
            await asyncio.gather(self._scheduling, return_exceptions=True)

    # Operations

    async def submit(self, call: Call) -> Document:
        params = call.params
        check_name("jobName", params["jobName"])
        name, queue = self._queues.queue(params["jobQueue"])
        if queue.get("jobQueueType") != TRAINING:
            raise ClientFault(f"The job queue {name} is not of the type {TRAINING}")
        if queue["state"] != "ENABLED":
            raise ClientFault(f"Job queue {name} is disabled: it takes no jobs")
        self._check_share(name, queue, params)
        payload = _payload(params)
        attempts = params.get("retryStrategy", {}).get("attempts", 1)
        if not 1 <= attempts <= MAX_ATTEMPTS:
            raise ClientFault(f"retryStrategy.attempts must be between 1 and {MAX_ATTEMPTS}")
        token = params.get("clientToken")
        if token and any(record.document.get("token") == token for record in self._open.values()):
            raise ClientFault("A service job with this clientToken was submitted already")
        self._throttle()
        job_id, now = self._host.new_id(), self._host.now()
        members = ("jobName", "serviceRequestPayload", "serviceJobType", "schedulingPriority", "shareIdentifier",
                   "quotaShareName", "preemptionConfiguration", "timeoutConfig")  # fmt: skip
        detail = {
            **{member: params[member] for member in members if member in params},
            "jobArn": self._arns.make("service-job", job_id),
            "jobId": job_id,
            "jobQueue": queue["jobQueueArn"],
            "status": SUBMITTED,
            "attempts": [],
            "createdAt": milliseconds(now),
            "retryStrategy": {"attempts": attempts, **params.get("retryStrategy", {})},
            "capacityUsage": [
                {"capacityUnit": NUM_INSTANCES, "quantity": float(payload["ResourceConfig"].get("InstanceCount", 1))}
            ],
            "isTerminated": False,
            "tags": params.get("tags", {}),
        }
        record = ServiceRecord({"detail": detail, "token": token})
        self._open[job_id] = record
        self._save(record)
        self._enter(record, RUNNABLE)
        self.reschedule()
        return {"jobArn": record.arn, "jobName": params["jobName"], "jobId": job_id}

    async def describe(self, call: Call) -> Document:
        return self._found(call.params["jobId"]).detail

    async def list_jobs(self, call: Call) -> Document:
        params = call.params
        if "jobQueue" not in params:
            raise ClientFault("jobQueue must be given")
        queue, _ = self._queues.queue(params["jobQueue"])
        scan = self._host.store.scan(KIND, newest_first=True)
        held = [self._open.get(key) or ServiceRecord(document) for key, document in scan]
        held = [record for record in held if record.queue == queue]
        for wanted in params.get("filters", []):
            if wanted.get("name") != "JOB_NAME":
                raise ClientFault("filters: only JOB_NAME is supported by this emulator")
            names = [value.lower() for value in wanted.get("values", [])]
            held = [record for record in held if any(_is_called(record, name) for name in names)]
        if not params.get("filters"):
            held = [record for record in held if record.status == params.get("jobStatus", RUNNING)]
        page, token = page_of(held, params.get("nextToken"), min(params.get("maxResults", PAGE), PAGE))
        return {"jobSummaryList": [record.summary() for record in page], "nextToken": token}

    async def terminate(self, call: Call) -> Document:
        record = self._found(call.params["jobId"])
        if record.is_terminal:
            return {}
        record.detail["isTerminated"] = True
        record.document["end_reason"] = call.params["reason"]
        self._keep(record)
        if record.training_name is None:
            self._enter(record, FAILED, call.params["reason"])
            self.reschedule()
        else:
            await self._stop(record)
        return {}

    # Queues, for `snapshots.py`

    def in_order(self, name: str, queue: Document) -> list[ServiceRecord]:
        """A queue's jobs that could start, the next first."""
        waiting = [each for each in self._open.values() if each.queue == name and each.status == RUNNABLE]
        if self._queues.policies.is_by_quota(queue):
            return sorted(waiting, key=lambda each: (-each.priority, each.detail["createdAt"]))
        policy = self._queues.policies.of(queue)
        if policy is None:
            return waiting
        running = [_use(each) for each in self.running_in(name)]
        used = self._history.usage(name, policy, running, self._host.now().timestamp())
        candidates = [fairshare.Candidate(each.job_id, each.share, each.priority, each.instances) for each in waiting]
        return [self._open[job_id] for job_id in fairshare.in_order(policy, candidates, used)]

    def running_in(self, name: str) -> list[ServiceRecord]:
        return [each for each in self._open.values() if each.queue == name and each.training_name is not None]

    def active_shares(self, name: str) -> set[str]:
        return {each.share for each in self._open.values() if each.queue == name}

    def reschedule(self) -> None:
        """Starts what can start, and stops what has to give way. Called after every change that may let a job start."""
        if self._is_stopping:
            return
        self._is_dirty = True
        if self._scheduling is None or self._scheduling.done():
            self._scheduling = asyncio.get_running_loop().create_task(self._schedule(), name="service-jobs")

    async def _schedule(self) -> None:
        while self._is_dirty:
            self._is_dirty = False
            for name, queue in self._queues.queues().items():
                if queue.get("jobQueueType") == TRAINING:
                    await self._serve(name, queue)

    async def _serve(self, name: str, queue: Document) -> None:
        limits = self._catalog.limits_of(queue)
        waiting = [each.as_job() for each in self.in_order(name, queue)]
        running = [each.as_job() for each in self.running_in(name)]
        if self._queues.policies.is_by_quota(queue):
            decision = by_quota(limits, list(self._catalog.shares_of(name).values()), waiting, running)
        else:
            decision = in_order(limits, waiting, running)
        for job_id in decision.stuck:
            self._open[job_id].detail["statusReason"] = NO_CAPACITY
            self._keep(self._open[job_id])
        for job_id in decision.preempts:
            if not self._open[job_id].is_preempted:
                self._open[job_id].document["preempted"] = True
                self._keep(self._open[job_id])
                await self._stop(self._open[job_id])
        for job_id in decision.starts:
            await self._begin(self._open[job_id])

    # A service job's training job

    async def _begin(self, record: ServiceRecord) -> None:
        name = record.new_training_name(self._host.new_id().replace("-", ""))
        request = {**record.payload, "TrainingJobName": name}
        arn = f"arn:aws:sagemaker:{self._arns.region}:{self._arns.account}:training-job/{name}"
        self._started += 1
        record.begin_attempt(name, arn, self._started)
        self._enter(record, SCHEDULED)
        try:
            await self._training.create(Call("sagemaker", "CreateTrainingJob", request, SAGEMAKER, record.job_id))
        except ApiError as error:
            self._after(record, f"Received status from SageMaker: {error.message}")

    async def _stop(self, record: ServiceRecord) -> None:
        if record.training_name is None:
            return
        request = {"TrainingJobName": record.training_name}
        try:
            await self._training.stop_job(Call("sagemaker", "StopTrainingJob", request, SAGEMAKER, record.job_id))
        except ApiError:
            # It ended by itself meanwhile, and says so.
            logger.info("nothing to stop", extra={"job": record.job_id})

    def _follow(self, training: TrainingRecord) -> None:
        """A training job changed."""
        record = next((each for each in self._open.values() if each.training_name == training.name), None)
        if record is None:
            return
        if not training.is_terminal:
            status = _OF_TRAINING.get(training.secondary, record.status)
            if status != record.status:
                self._enter(record, status)
            return
        if training.status == COMPLETED:
            reason = "Received status from SageMaker: Training job completed"
            record.end_attempt(self._host.now(), reason)
            self._enter(record, SUCCEEDED, reason)
            self.reschedule()
            return
        said = training.document.get("failure_reason") or f"Training job {training.status.lower()}"
        self._after(record, f"Received status from SageMaker: {said}", stopped=training.status == STOPPED)

    def _after(self, record: ServiceRecord, reason: str, *, stopped: bool = False) -> None:
        """An attempt did not succeed: again, or never more."""
        preempted = record.is_preempted and stopped and not record.detail["isTerminated"]
        ended = record.end_attempt(self._host.now(), PREEMPTED if preempted else reason)
        if record.detail["isTerminated"]:
            self._enter(record, FAILED, record.document.get("end_reason") or reason)
        elif preempted:
            self._give_way(record, ended)
        elif "CapacityError" in reason or "InsufficientCapacity" in reason:
            # Batch tries again until there is capacity, and does not count these.
            self._enter(record, RUNNABLE)
        else:
            tried = len(record.detail["attempts"])
            if not stopped and retries(record.detail["retryStrategy"], tried, {"status_reason": reason}):
                self._enter(record, RUNNABLE)
            else:
                self._enter(record, FAILED, reason)
        self.reschedule()

    def _give_way(self, record: ServiceRecord, ended: Document) -> None:
        summary = record.detail.setdefault(
            "preemptionSummary", {"preemptedAttemptCount": 0, "recentPreemptedAttempts": []}
        )
        summary["preemptedAttemptCount"] += 1
        summary["recentPreemptedAttempts"].append(ended)
        most = record.detail.get("preemptionConfiguration", {}).get("preemptionRetriesBeforeTermination")
        if most is not None and summary["preemptedAttemptCount"] > most:
            self._enter(record, FAILED, PREEMPTED)
        else:
            self._enter(record, RUNNABLE)

    # Within

    def _check_share(self, name: str, queue: Document, params: Document) -> None:
        """A queue with a policy wants to know whose each job is; a queue without one does not."""
        if not 0 <= params.get("schedulingPriority", 0) <= MAX_PRIORITY:
            raise ClientFault(f"schedulingPriority must be between 0 and {MAX_PRIORITY}")
        by_quota_share = self._queues.policies.is_by_quota(queue)
        by_fair_share = "schedulingPolicyArn" in queue and not by_quota_share
        for member, is_wanted in (("quotaShareName", by_quota_share), ("shareIdentifier", by_fair_share)):
            if is_wanted and member not in params:
                raise ClientFault(f"{member} must be given: the job queue's scheduling policy asks for it")
            if not is_wanted and member in params:
                raise ClientFault(f"{member} is for queues with another scheduling policy")
        if by_fair_share:
            check_share(params["shareIdentifier"])
        if by_quota_share and not self._catalog.takes_jobs(name, params["quotaShareName"]):
            raise ClientFault(f"The quota share {params['quotaShareName']} does not exist or is disabled")

    def _throttle(self) -> None:
        """AWS takes five service jobs a second."""
        now = self._host.now().timestamp()
        self._submitted = [at for at in self._submitted if at > now - 1]
        if len(self._submitted) >= PER_SECOND:
            raise TooManyRequests("Too Many Requests")
        self._submitted.append(now)

    def _found(self, job_id: str) -> ServiceRecord:
        key = self._arns.name("service-job", job_id)
        document = self._host.store.get(KIND, key)
        if key in self._open:
            return self._open[key]
        if document is None:
            raise ClientFault(f"Service job {job_id} does not exist")
        return ServiceRecord(document)

    def _enter(self, record: ServiceRecord, status: str, reason: str | None = None) -> None:
        record.enter(status, self._host.now(), reason)
        self._save(record)

    def _keep(self, record: ServiceRecord) -> None:
        self._host.store.put(KIND, record.job_id, record.document)

    def _save(self, record: ServiceRecord) -> None:
        """Makes a change of state durable and known."""
        with self._host.store.together():
            self._keep(record)
            if record.status not in {SUBMITTED, PENDING}:
                self._host.events.record(SOURCE, DETAIL_TYPE, record.event(), [record.arn], self._host.now())
        if record.is_terminal:
            self._open.pop(record.job_id, None)
            self._remember(record)

    def _remember(self, record: ServiceRecord) -> None:
        """What a share has used counts for a while after the job's end."""
        if "scheduledAt" in record.detail:
            self._history.remember(record.queue, _use(record))

    def _may_submit(self, params: Document) -> Authorization:
        queue = self._arns.make("job-queue", self._arns.name("job-queue", params["jobQueue"]))
        # The job has no id yet.
        on = [queue, self._arns.make("service-job", "*")]
        if "quotaShareName" in params:
            on.append(f"{queue}/quota-share/{params['quotaShareName']}")
        try:
            role = json.loads(params["serviceRequestPayload"])["RoleArn"]
        except (ValueError, KeyError, TypeError):
            return Authorization("batch:SubmitServiceJob", tuple(on))
        return Authorization("batch:SubmitServiceJob", tuple(on), (PassRole(str(role), SAGEMAKER),))

    def _may_terminate(self, params: Document) -> Authorization:
        job = self._arns.make("service-job", self._arns.name("service-job", params["jobId"]))
        return Authorization("batch:TerminateServiceJob", (job,))


def _payload(params: Document) -> Document:
    """AWS passes the payload on as it is and looks only for what it needs itself."""
    try:
        payload: Any = json.loads(params["serviceRequestPayload"])
        if isinstance(payload["TrainingJobName"], str) and isinstance(payload["ResourceConfig"], dict):
            return dict(payload)
    except (ValueError, KeyError, TypeError):
        pass
    raise ClientFault("serviceRequestPayload must be a CreateTrainingJob request as JSON")


def _is_called(record: ServiceRecord, name: str) -> bool:
    own = str(record.detail["jobName"]).lower()
    return own.startswith(name[:-1]) if name.endswith("*") else own == name


def _use(record: ServiceRecord) -> fairshare.Use:
    detail = record.detail
    began = float(detail["scheduledAt"]) / 1000
    ended = float(detail["stoppedAt"]) / 1000 if record.is_terminal else None
    return fairshare.Use(record.share, record.instances, began, ended)
