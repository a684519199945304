"""One attempt of a Batch job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from localcloud.compute.batch.record import RUNNING, STARTING, BatchRecord
from localcloud.compute.credentials import Grant
from localcloud.compute.faults import Rule
from localcloud.compute.host import Host
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.disk import GIGABYTE
from localcloud.compute.jobs.execution import NICENESS, Cause, Execution, Limits, Outcome
from localcloud.compute.jobs.layout import argument_list, environment_of, job_directory
from localcloud.compute.jobs.notice import image_notice
from localcloud.compute.log_shipping import LogDestination
from localcloud.compute.processes import Command, SpawnError

TASKS = "ecs-tasks.amazonaws.com"
LOG_GROUP = "/aws/batch/job"
# AWS lets an attempt without a timeout run for 14 days on Fargate and for ever on EC2.
LONGEST_SECONDS = 14 * 86400.0
DISK_GIB = 200
CONTAINER_EXITED = "Essential container in task exited"
TIMED_OUT = "Job attempt duration exceeded timeout"
FAILED_TO_START = "Task failed to start"
MEMORY_USED_UP = "OutOfMemoryError: Container killed due to memory usage"
KILLED = 137

# The container's reason, in the words of the ECS agent:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
NEVER_STARTED = {
    "image_pull": "CannotPullContainerError: Error response from daemon: manifest unknown: manifest unknown",
    "host_failure": "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s",
}


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended. `final`: no retry strategy is asked."""

    exit_code: int | None
    reason: str | None
    status_reason: str
    final: bool = False

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and not self.final


class Attempt:
    """Drives a record from STARTING to the end of its process. `changed` makes each change durable and known."""

    def __init__(
        self, host: Host, record: BatchRecord, environment: str, slots: Slots, changed: Callable[[BatchRecord], None]
    ) -> None:
        self._host = host
        self._record = record
        self._environment = environment
        self._slots = slots
        self._changed = changed
        self._directory = job_directory(host.settings, record.job_id)
        self._execution: Execution | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def run(self, fault: Rule | None) -> AttemptEnd:
        record, host = self._record, self._host
        record.enter(STARTING, host.now())
        self._changed(record)
        self._waiting = asyncio.create_task(self._wait_for_slot(fault))
        try:
            await self._waiting
        except asyncio.CancelledError:
            if record.end_reason is None:
                self._waiting.cancel()
                raise
            return AttemptEnd(None, None, record.end_reason, final=True)
        finally:
            self._waiting = None
        grant = self._grant()
        try:
            return await self._execute(fault, grant)
        finally:
            self._slots.release()
            if grant is not None:
                host.credentials.close(grant)
            if not host.settings.keep_directories:
                await host.blocking.run_to_end(self._directory.remove)

    def end(self) -> None:
        """Somebody wants the job to end; the record says why."""
        if self._execution is not None:
            self._execution.end(Cause.STOPPED)
        elif self._waiting is not None:
            self._waiting.cancel()

    async def _wait_for_slot(self, fault: Rule | None) -> None:
        if fault is not None and fault.fault == "slow_start":
            await self._host.sleep(fault.seconds)
        await self._slots.acquire()

    async def _execute(self, fault: Rule | None, grant: Grant | None) -> AttemptEnd:
        host, record = self._host, self._record
        await host.blocking.run(self._directory.create)
        if record.end_reason is not None:
            return AttemptEnd(None, None, record.end_reason, final=True)
        image, command = record.container["image"], record.container["command"]
        python = host.settings.python
        if fault is not None and (refused := NEVER_STARTED.get(fault.fault)):
            return AttemptEnd(None, refused, FAILED_TO_START)
        notice = await host.blocking.run(image_notice, image, command[0], python) if command else None
        destination = self._destination()
        record.container["logStreamName"] = destination.stream
        record.enter(RUNNING, host.now())
        try:
            self._execution = Execution(
                host, self._command(grant), self._directory.root, self._limits(), destination, notice=notice
            )
        except SpawnError as error:
            return AttemptEnd(127, f"CannotStartContainerError: {error}", FAILED_TO_START)
        self._changed(record)
        if record.end_reason is not None:
            # Ended while its image was looked at: there was nothing to end then.
            self._execution.end(Cause.STOPPED)
        self._execution.end_by(fault)
        return self._ended(await self._execution.run())

    def _ended(self, outcome: Outcome) -> AttemptEnd:
        if outcome.start_error is not None:
            return AttemptEnd(127, f"CannotStartContainerError: {outcome.start_error}", FAILED_TO_START)
        code = outcome.exit.shell_code
        if outcome.cause is Cause.INTERRUPTED:
            return AttemptEnd(None, None, host_terminated(self._record.job_id))
        if outcome.cause is Cause.MEMORY:
            return AttemptEnd(code, MEMORY_USED_UP, CONTAINER_EXITED)
        if outcome.cause is Cause.MAX_RUNTIME:
            return AttemptEnd(code or KILLED, None, TIMED_OUT, final=True)
        if outcome.cause is Cause.DISK:
            reason = f"the container used more disk than the {self._disk_gib()} GiB it has"
            return AttemptEnd(code, reason, CONTAINER_EXITED)
        if self._record.end_reason is not None:
            return AttemptEnd(code, None, self._record.end_reason, final=True)
        return AttemptEnd(code, None, CONTAINER_EXITED)

    def _grant(self) -> Grant | None:
        role = self._record.container.get("jobRoleArn")
        return self._host.credentials.open(role, TASKS, self._record.job_id) if role else None

    def _destination(self) -> LogDestination:
        options = self._record.container.get("logConfiguration", {}).get("options", {})
        definition = self._record.detail["jobDefinition"].rpartition("/")[2].partition(":")[0]
        prefix = options.get("awslogs-stream-prefix", definition)
        task = self._host.new_id().replace("-", "")
        return LogDestination(options.get("awslogs-group", LOG_GROUP), f"{prefix}/default/{task}")

    def _command(self, grant: Grant | None) -> Command:
        record, settings = self._record, self._host.settings
        container = record.container
        given = {entry["name"]: entry.get("value", "") for entry in container["environment"] if "name" in entry}
        own = {
            "AWS_BATCH_JOB_ID": record.job_id,
            "AWS_BATCH_JOB_ATTEMPT": str(len(record.attempts) + 1),
            "AWS_BATCH_JQ_NAME": record.queue,
            "AWS_BATCH_CE_NAME": self._environment,
            **(grant.environment(settings.own_url) if grant is not None else {}),
        }
        return Command(
            argument_list(self._directory, container["command"], settings.python),
            environment_of(self._directory, settings, given, own),
            self._directory.ml,
            file_size_limit=self._disk_gib() * GIGABYTE,
            niceness=NICENESS,
        )

    def _limits(self) -> Limits:
        seconds = self._record.detail.get("timeout", {}).get("attemptDurationSeconds", LONGEST_SECONDS)
        return Limits(float(seconds), self._disk_gib() * GIGABYTE)

    def _disk_gib(self) -> int:
        return int(self._record.container.get("ephemeralStorage", {}).get("sizeInGiB", DISK_GIB))


def host_terminated(job_id: str) -> str:
    """Batch's words when the machine under a job goes away, as a spot instance does."""
    return f"Host EC2 (instance i-{job_id.replace('-', '')[:17]}) terminated."
