"""Why a job waits in a queue of AWS Batch, whose order is Batch's own: answered as for our pools, from what Batch says.

Three calls: the queue's snapshot (who is next, what is in use), a list of what runs, and a description of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.capacity.answer import HOLDERS, BindingLimit, Holder, Line, QueueAnswer, may_see
from chalicelib.capacity.forecast import first_fit
from chalicelib.capacity.pool import pool_name
from chalicelib.clock import Clock
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Attempt, Job

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

# The most that DescribeJobs takes, and as many as a snapshot shows.
AT_ONCE = 100
_HAVE_A_MACHINE = ("STARTING", "RUNNING")
UNIT = "vCPUs"


@dataclass(frozen=True)
class Queued:
    """A job of a Batch queue.

    Attributes:
        reason: what Batch says of why it waits, if it says anything.
        until: when its attempt ends at the latest, if it runs.
    """

    backend_id: str
    name: str
    status: str
    vcpus: float
    limit_seconds: float
    tenant: str | None
    job_id: str | None
    reason: str | None
    until: datetime | None


@dataclass(frozen=True)
class BatchQueues:
    """What Batch says of its queues."""

    client_of: Callable[[], BatchClient]

    def snapshot(self, queue: str) -> tuple[list[str], float]:
        """Ids of the first jobs in order, a hundred at most, and the vCPUs in use."""
        found: Mapping[str, Any] = self.client_of().get_job_queue_snapshot(jobQueue=queue)
        front = [each["jobArn"].rpartition("/")[2] for each in found.get("frontOfQueue", {}).get("jobs", [])]
        used = found.get("queueUtilization", {}).get("totalCapacityUsage", [])
        return front, sum(each["quantity"] for each in used if each["capacityUnit"].upper() == "VCPU")

    def find(self, queue: str, name: str) -> str | None:
        """The id of the job of this name: Batch's names are not unique, ours are."""
        filters: Any = [{"name": "JOB_NAME", "values": [name]}]
        found = self.client_of().list_jobs(jobQueue=queue, filters=filters)["jobSummaryList"]
        return found[0]["jobId"] if found else None

    def running(self, queue: str) -> list[str]:
        """Ids of the jobs that have a machine; a hundred of each status at most."""
        return [
            each["jobId"]
            for status in _HAVE_A_MACHINE
            for each in self.client_of().list_jobs(jobQueue=queue, jobStatus=status, maxResults=AT_ONCE)[  # type: ignore[arg-type]
                "jobSummaryList"
            ]
        ]

    def describe(self, backend_ids: Sequence[str]) -> dict[str, Queued]:
        """A hundred jobs at most, by id."""
        wanted = list(dict.fromkeys(backend_ids))[:AT_ONCE]
        found = self.client_of().describe_jobs(jobs=wanted)["jobs"] if wanted else []
        return {each["jobId"]: _queued(each) for each in found}


@dataclass(frozen=True)
class BatchQueue:
    """
    Args:
        max_vcpus: that the machines of each queue may have together.
        owner: the user of a tenant's job; None when it is not there.
        queue_of: ARN of the queue for a type of GPU, or none.
    """

    queues: BatchQueues
    max_vcpus: int
    owner: Callable[[str, str], str | None]
    queue_of: Callable[[str | None], str]
    now: Clock

    def why(self, caller: Caller, job: Job, attempt: Attempt) -> QueueAnswer | None:
        """None when the attempt does not wait in the queue: it is not there yet, or has left it."""
        if attempt.queue is None:
            return None
        backend_id = attempt.backend_id or self.queues.find(attempt.queue, attempt.name)
        if backend_id is None:
            return None
        front, in_use = self.queues.snapshot(attempt.queue)
        running = self.queues.running(attempt.queue)
        ahead = front[: front.index(backend_id)] if backend_id in front else front
        # The asked one first: the description has room for a hundred.
        described = self.queues.describe([backend_id, *running, *ahead])
        mine = described.get(backend_id)
        if mine is None or mine.status != "RUNNABLE":
            return None
        holding = [described[each] for each in running if each in described]
        holders = tuple(self._holders(caller, holding))
        return QueueAnswer(
            job=job,
            state="waiting",
            reason=mine.reason or self._reason(attempt.queue, mine.vcpus, in_use),
            binding=BindingLimit(pool_name(job.allocation), UNIT, self.max_vcpus, round(in_use), round(mine.vcpus)),
            holders=holders,
            held_by_others=max(0, round(in_use) - sum(holder.amount for holder in holders)),
            level=job.priority,
            line=self._line(backend_id, mine, front, ahead, running, described),
        )

    def prospect(self, job: Job) -> QueueAnswer:
        """What a job that is not made yet would meet: whether there is room, and how many are there now."""
        queue = self.queue_of(job.allocation.gpu_type if job.allocation.gpu_count else None)
        front, in_use = self.queues.snapshot(queue)
        needed = float(job.config["resource_requirements"]["cpu_cores"])
        if not front and in_use + needed <= self.max_vcpus:
            return QueueAnswer(
                job, "admitted", f"There is room in the Batch queue {_name(queue)}: it would start at once."
            )
        binding = BindingLimit(pool_name(job.allocation), UNIT, self.max_vcpus, round(in_use), round(needed))
        reason = self._reason(queue, needed, in_use)
        return QueueAnswer(job, "waiting", reason, binding, held_by_others=round(in_use), level=job.priority)

    def _reason(self, queue: str, needed: float, in_use: float) -> str:
        if needed > self.max_vcpus:
            return f"It needs {needed:g} vCPUs, more than the {self.max_vcpus} of the Batch queue {_name(queue)}."
        if in_use + needed <= self.max_vcpus:
            return (
                f"It needs {needed:g} vCPUs of the Batch queue {_name(queue)}: its machine is starting, or what is free is "
                "kept for jobs that go before."
            )
        return f"It needs {needed:g} vCPUs; {in_use:g} of the {self.max_vcpus} of the Batch queue {_name(queue)} are in use."

    def _holders(self, caller: Caller, holding: Iterable[Queued]) -> Iterable[Holder]:
        named = 0
        for each in holding:
            if each.tenant != caller.tenant or each.job_id is None or each.until is None or named == HOLDERS:
                continue
            user = self.owner(each.tenant, each.job_id)
            if user is not None and may_see(caller, each.tenant, user):
                named += 1
                yield Holder(each.job_id, user, round(each.vcpus), each.until)

    def _line(
        self,
        backend_id: str,
        mine: Queued,
        front: Sequence[str],
        ahead: Sequence[str],
        running: Sequence[str],
        described: Mapping[str, Queued],
    ) -> Line:
        if backend_id not in front:
            return Line(len(front), False, None, "unknown: Batch shows the first hundred jobs of a queue")
        if mine.vcpus > self.max_vcpus:
            return Line(len(ahead), True, None, f"unknown: the limit is {self.max_vcpus}")
        if any(each not in described for each in (*running, *ahead)):
            return Line(len(ahead), True, None, "unknown: too many jobs run or go before")
        now = self.now()
        start = first_fit(
            self.max_vcpus,
            [(described[each].until or now, described[each].vcpus) for each in running],
            [(described[each].vcpus, described[each].limit_seconds) for each in ahead],
            mine.vcpus,
            now,
        )
        return Line(
            len(ahead), True, start, f"the time limits of {len(running)} running jobs and {len(ahead)} jobs ahead"
        )


def _name(queue: str) -> str:
    return queue.rpartition("/")[2]


def _queued(document: Mapping[str, Any]) -> Queued:
    asked = {each["type"]: each["value"] for each in document.get("container", {}).get("resourceRequirements", [])}
    tags = document.get("tags", {})
    seconds = float(document.get("timeout", {}).get("attemptDurationSeconds", 0))
    status = document["status"]
    started = document.get("startedAt") or document["createdAt"]
    until = datetime.fromtimestamp(started / 1000, UTC) + timedelta(seconds=seconds)
    return Queued(
        backend_id=document["jobId"],
        name=document["jobName"],
        status=status,
        vcpus=float(asked.get("VCPU", 1)),
        limit_seconds=seconds,
        tenant=tags.get("aimatrix:tenant"),
        job_id=tags.get("aimatrix:job-id"),
        reason=document.get("statusReason"),
        until=until if status in _HAVE_A_MACHINE else None,
    )
