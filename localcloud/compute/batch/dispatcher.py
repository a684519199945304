"""Brings Batch jobs from submission to their end: dependencies, room, attempts, retries."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from localcloud.compute.batch.catalog import Catalog
from localcloud.compute.batch.fairshare import Candidate, History, Use, in_order
from localcloud.compute.batch.instances import Machine, known_machines
from localcloud.compute.batch.record import (
    FAILED,
    KIND,
    PENDING,
    RUNNABLE,
    RUNNING,
    STARTING,
    SUBMITTED,
    SUCCEEDED,
    WAITING,
    BatchRecord,
    Document,
)
from localcloud.compute.batch.retries import retries
from localcloud.compute.batch.run import Attempt, AttemptEnd, host_terminated
from localcloud.compute.batch.scheduler import Environment, Waiting, decide
from localcloud.compute.errors import ApiError
from localcloud.compute.faults import Rule
from localcloud.compute.host import Host
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.waiting import Finishes

logger = logging.getLogger(__name__)

SOURCE = "aws.batch"
DETAIL_TYPE = "Batch Job State Change"
NO_INSTANCES = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Compute environment has no capacity of the requested instance types"
)
OUR_FAULT = "Internal error of the emulator"


@dataclass(frozen=True)
class _Running:
    attempt: Attempt
    environment: str
    vcpus: float
    task: asyncio.Task[None]


class Dispatcher:
    """Holds the jobs that have not ended, in order of submission; the store holds them all."""

    def __init__(self, host: Host, catalog: Catalog, slots: Slots) -> None:
        self._host = host
        self._catalog = catalog
        self._slots = slots
        self._open: dict[str, BatchRecord] = {}
        self._running: dict[str, _Running] = {}
        self._held_back: set[str] = set()
        self._faults: dict[str, Rule] = {}
        self._history = History()
        self._stopping = False
        self.finishes = Finishes()

    @cached_property
    def _machines(self) -> list[Machine]:
        return list(known_machines())

    def accept(self, record: BatchRecord) -> None:
        """Takes a new job."""
        self._open[record.job_id] = record
        self._save(record)
        self.reschedule()

    def find(self, job_id: str) -> BatchRecord | None:
        if job_id in self._open:
            return self._open[job_id]
        document = self._host.store.get(KIND, job_id)
        return None if document is None else BatchRecord(document)

    def all_records(self) -> Iterator[BatchRecord]:
        """Every job, the newest first."""
        for key, document in self._host.store.scan(KIND, newest_first=True):
            yield self._open.get(key) or BatchRecord(document)

    def keep(self, record: BatchRecord) -> None:
        """Makes a change that is no change of state durable."""
        self._host.store.put(KIND, record.job_id, record.document)

    def end(self, record: BatchRecord, reason: str) -> None:
        """Ends a job that has not ended."""
        record.document["end_reason"] = reason
        self.keep(record)
        running = self._running.get(record.job_id)
        if running is not None:
            running.attempt.end()
        elif record.status in WAITING:
            self._enter(record, FAILED, reason)
            self.reschedule()

    def recover(self) -> None:
        """After a start: attempts that were running have lost their machine, everything else waits again."""
        for key, document in list(self._host.store.scan(KIND)):
            record = BatchRecord(document)
            if record.is_terminal:
                self._remember(record)
                continue
            self._open[key] = record
            if record.status in (STARTING, RUNNING):
                self._after_attempt(record, AttemptEnd(None, None, record.end_reason or host_terminated(key)))
        self.reschedule()

    async def stop(self) -> None:
        """Ends every attempt; the next start finds them as lost."""
        self._stopping = True
        await self._host.launcher.stop_all(grace=0.0)
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def reschedule(self) -> None:
        """Starts what can start. Called after every change that may let a job start."""
        if self._stopping:
            return
        for record in list(self._open.values()):
            self._advance(record)
        queues = self._catalog.queues()
        waiting = [
            Waiting(record.job_id, record.queue, record.requirements)
            for name, queue in queues.items()
            for record in self.in_order(name, queue)
            if record.job_id not in self._held_back
        ]
        if not waiting:
            return
        used: defaultdict[str, float] = defaultdict(float)
        for running in self._running.values():
            used[running.environment] += running.vcpus
        decision = decide(self._environments(queues), waiting, used, self._machines)
        for job_id, reason in decision.stuck.items():
            if self._open[job_id].detail.get("statusReason") != reason:
                self._open[job_id].detail["statusReason"] = reason
                self.keep(self._open[job_id])
        for job_id, environment in decision.starts:
            self._start(self._open[job_id], environment)

    def in_order(self, name: str, queue: Document) -> list[BatchRecord]:
        """A queue's jobs that could start, the next first."""
        waiting = [
            record
            for record in self._open.values()
            if record.status == RUNNABLE and record.queue == name and record.job_id not in self._running
        ]
        policy = self._catalog.policies.of(queue)
        if policy is None:
            return waiting
        now = self._host.now().timestamp()
        used = self._history.usage(name, policy, [_use(record) for record in self.running_in(name)], now)
        candidates = [
            Candidate(record.job_id, record.share, record.priority, record.requirements.vcpus) for record in waiting
        ]
        return [self._open[job_id] for job_id in in_order(policy, candidates, used)]

    def running_in(self, name: str) -> list[BatchRecord]:
        """A queue's jobs that have a machine, or are getting one."""
        return [self._open[job_id] for job_id in self._running if self._open[job_id].queue == name]

    def active_shares(self, name: str) -> set[str]:
        return {record.share for record in self._open.values() if record.queue == name}

    def _environments(self, held_queues: Mapping[str, Document]) -> dict[str, list[Environment]]:
        queues: dict[str, list[Environment]] = {}
        for name, queue in held_queues.items():
            queues[name] = []
            policy = self._catalog.policies.of(queue)
            usable = policy.usable(len(self.active_shares(name))) if policy else 1.0
            for environment in self._catalog.environments_of(queue):
                _, held = self._catalog.environment(environment)
                resources = held["computeResources"]
                if held["state"] == "ENABLED":
                    types = tuple(resources.get("instanceTypes", ["optimal"]))
                    queues[name].append(Environment(environment, float(resources["maxvCpus"]) * usable, types))
        return queues

    def _advance(self, record: BatchRecord) -> None:
        """SUBMITTED → PENDING → RUNNABLE, once the jobs it depends on have succeeded."""
        if record.status == SUBMITTED:
            self._enter(record, PENDING)
        if record.status != PENDING:
            return
        for dependency in record.detail["dependsOn"]:
            other = self.find(dependency["jobId"])
            if other is None or other.status == FAILED:
                self._enter(record, FAILED, f"Dependent Job {dependency['jobId']} failed")
                return
            if other.status != SUCCEEDED:
                return
        self._make_runnable(record)

    def _make_runnable(self, record: BatchRecord) -> None:
        self._enter(record, RUNNABLE)
        fault = self._host.faults.on_job("SubmitJob", record.detail["jobName"])
        if fault is None:
            return
        self._faults[record.job_id] = fault
        if fault.fault == "no_capacity":
            record.detail["statusReason"] = NO_INSTANCES
            self.keep(record)
            self._held_back.add(record.job_id)
            asyncio.get_running_loop().call_later(fault.seconds, self._let_go, record.job_id)

    def _let_go(self, job_id: str) -> None:
        self._held_back.discard(job_id)
        self.reschedule()

    def _start(self, record: BatchRecord, environment: str) -> None:
        attempt = Attempt(self._host, record, environment, self._slots, self._save)
        task = asyncio.create_task(self._drive(record, attempt), name=f"batch-job {record.job_id}")
        self._running[record.job_id] = _Running(attempt, environment, record.requirements.vcpus, task)

    async def _drive(self, record: BatchRecord, attempt: Attempt) -> None:
        try:
            ended = await attempt.run(self._faults.pop(record.job_id, None))
        except ApiError as error:
            ended = AttemptEnd(None, error.message, "Task failed to start")
        except Exception:
            # Whatever the fault in the emulator, the job must end and say so; the log has the story.
            logger.exception("Batch job failed inside the emulator", extra={"job": record.job_id})
            ended = AttemptEnd(None, None, OUR_FAULT, final=True)
        finally:
            self._running.pop(record.job_id, None)
        self._after_attempt(record, ended)
        self.reschedule()

    def _after_attempt(self, record: BatchRecord, ended: AttemptEnd) -> None:
        record.end_attempt(self._host.now(), ended.exit_code, ended.reason, ended.status_reason)
        if ended.succeeded:
            self._enter(record, SUCCEEDED, ended.status_reason)
            return
        facts = {
            "exit_code": "" if ended.exit_code is None else str(ended.exit_code),
            "reason": ended.reason or "",
            "status_reason": ended.status_reason,
        }
        again = not ended.final and record.end_reason is None
        if again and retries(record.detail["retryStrategy"], len(record.attempts), facts):
            self._make_runnable(record)
        else:
            self._enter(record, FAILED, ended.status_reason)

    def _enter(self, record: BatchRecord, status: str, reason: str | None = None) -> None:
        record.enter(status, self._host.now(), reason)
        self._save(record)

    def _remember(self, record: BatchRecord) -> None:
        """What a share has used counts for a while after the job's end."""
        if "startedAt" in record.detail:
            self._history.remember(record.queue, _use(record))

    def _save(self, record: BatchRecord) -> None:
        """Makes a change of state durable and known."""
        # A kill in between must not leave an end that nobody is told of.
        with self._host.store.together():
            self.keep(record)
            self._host.events.record(SOURCE, DETAIL_TYPE, record.describe(), [record.arn], self._host.now())
        if record.is_terminal:
            self._open.pop(record.job_id, None)
            self._remember(record)
            self.finishes.announce(record.job_id)


def _use(record: BatchRecord) -> Use:
    detail = record.detail
    began = float(detail.get("startedAt") or detail["createdAt"]) / 1000
    ended = float(detail["stoppedAt"]) / 1000 if record.is_terminal else None
    return Use(record.share, record.requirements.vcpus, began, ended)
