"""Why a job waits in a queue of Batch, from what Batch says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.capacity import views
from chalicelib.capacity.batch_queue import BatchQueue
from chalicelib.capacity.container_queues import ContainerQueues
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Attempt, Backend, Job
from chalicelib.jobs.plan import share_identifier
from tests.functional.capacity.conftest import job_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUEUE = "arn:aws:batch:us-east-1:000000000000:job-queue/s-training-cpu"
ALICE = Caller("acme", "alice", frozenset({"USER"}))
MAX = 8


@dataclass
class FakeBatch:
    """What boto3's client answers, for jobs by id: (status, vCPUs, user, reason)."""

    jobs: dict[str, tuple[str, int, str, str | None]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    shown: int = 100

    def get_job_queue_snapshot(self, jobQueue: str) -> dict[str, Any]:  # noqa: N803  as boto3 calls it
        assert jobQueue == QUEUE
        self.calls.append("snapshot")
        used = sum(vcpus for status, vcpus, *_ in self.jobs.values() if status == "RUNNING")
        return {
            "frontOfQueue": {"jobs": [{"jobArn": f"arn:job/{each}"} for each in self.order[: self.shown]]},
            "queueUtilization": {"totalCapacityUsage": [{"capacityUnit": "VCPU", "quantity": float(used)}]},
        }

    def list_jobs(self, **wanted: Any) -> dict[str, Any]:
        self.calls.append("list")
        if "filters" in wanted:
            (name,) = wanted["filters"][0]["values"]
            return {"jobSummaryList": [{"jobId": each} for each in self.jobs if f"aimatrix-{each}-1" == name]}
        found = [each for each, (status, *_) in self.jobs.items() if status == wanted["jobStatus"]]
        return {"jobSummaryList": [{"jobId": each} for each in found]}

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        assert len(jobs) <= 100
        self.calls.append("describe")
        return {"jobs": [self._document(each) for each in jobs if each in self.jobs]}

    def _document(self, job_id: str) -> dict[str, Any]:
        status, vcpus, user, reason = self.jobs[job_id]
        tenant = "umbrella" if user == "stranger" else "acme"
        return {
            "jobId": job_id,
            "jobName": f"aimatrix-{job_id}-1",
            "status": status,
            "createdAt": 0,
            "startedAt": int(NOW.timestamp() * 1000) if status == "RUNNING" else 0,
            "timeout": {"attemptDurationSeconds": 600},
            "container": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]},
            "tags": {"aimatrix:tenant": tenant, "aimatrix:job-id": job_id},
            **({"statusReason": reason} if reason else {}),
        }


def waiting(batch: FakeBatch, job_id: str = "mine", caller: Caller = ALICE) -> Any:
    users = {each: user for each, (_, _, user, _) in batch.jobs.items()}
    client: Any = batch
    view = ContainerQueues(lambda: client, lambda _: QUEUE, MAX)
    queue = BatchQueue(view, lambda _, each: users.get(each), lambda: NOW)
    answer = queue.why(caller, job(job_id), Attempt("acme", job_id, 1, "t", Backend.BATCH, NOW, queue=QUEUE))
    return None if answer is None else views.answer(answer)


def job(job_id: str = "mine") -> Job:
    made = job_of(job_id, 4, "high", "alice", NOW, backend=Backend.BATCH)
    return replace(made, allocation=replace(made.allocation, cpu_cores=4))


class TestAJobThatWaits:
    def test_is_told_its_limit_who_holds_it_its_place_and_when_it_starts(self) -> None:
        batch = FakeBatch(
            {
                "r1": ("RUNNING", 4, "alice", None),
                "r2": ("RUNNING", 4, "bob", None),
                "a1": ("RUNNABLE", 8, "bob", None),
                "mine": ("RUNNABLE", 4, "alice", None),
            },
            ["a1", "mine"],
        )
        told = waiting(batch)
        assert told["state"] == "waiting"
        assert told["reason"] == "It needs 4 vCPUs; 8 of the 8 of the Batch queue s-training-cpu are in use."
        assert told["binding_limit"] == {"pool": "batch/v100", "unit": "vCPUs", "limit": 8, "in_use": 8, "needed": 4}
        assert [each["job_id"] for each in told["held_by"]["jobs"]] == ["r1"]
        assert told["held_by"]["others"] == {"amount": 4}
        assert (told["position"], told["jobs_ahead"], told["jobs_ahead_is_exact"]) == (2, 1, True)
        # The running ones end within 600 s, and the one ahead needs all for 600 s more.
        assert told["expected_start"] == (NOW + timedelta(seconds=1200)).isoformat(timespec="milliseconds").replace(
            "+00:00", "Z"
        )
        assert told["priority"] == {"submitted": "high", "now": "high", "rises_at": None}
        assert len(batch.calls) <= 5

    def test_is_told_what_batch_itself_says(self) -> None:
        reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no machine"
        assert waiting(FakeBatch({"mine": ("RUNNABLE", 4, "alice", reason)}, ["mine"]))["reason"] == reason

    def test_is_told_when_it_can_never_start(self) -> None:
        told = waiting(FakeBatch({"mine": ("RUNNABLE", 9, "alice", None)}, ["mine"]))
        assert "more than the 8" in told["reason"]
        assert (told["expected_start"], told["expected_start_basis"]) == (None, "unknown: the limit is 8")

    def test_does_not_see_another_tenants_jobs(self) -> None:
        batch = FakeBatch({"r": ("RUNNING", 8, "stranger", None), "mine": ("RUNNABLE", 4, "alice", None)}, ["mine"])
        told = waiting(batch, caller=Caller("acme", "root", frozenset({"ADMIN"})))
        assert told["held_by"] == {"jobs": [], "others": {"amount": 8}}

    def test_behind_more_than_batch_shows_is_told_so(self) -> None:
        jobs = {f"a{number}": ("RUNNABLE", 1, "bob", None) for number in range(3)}
        batch = FakeBatch({**jobs, "mine": ("RUNNABLE", 4, "alice", None)}, [*jobs, "mine"], shown=3)
        told = waiting(batch)
        assert (told["jobs_ahead"], told["jobs_ahead_is_exact"], told["expected_start"]) == (3, False, None)

    @pytest.mark.parametrize("status", ["SUBMITTED", "PENDING", "STARTING", "RUNNING", "SUCCEEDED"])
    def test_is_only_one_that_could_run(self, status: str) -> None:
        assert waiting(FakeBatch({"mine": (status, 4, "alice", None)})) is None

    def test_is_not_one_that_batch_does_not_know(self) -> None:
        assert waiting(FakeBatch()) is None


class TestAJobThatIsNotMade:
    @pytest.mark.parametrize(("in_use", "would_wait"), [(4, False), (5, True)])
    def test_would_wait_when_there_is_no_room(self, in_use: int, would_wait: bool) -> None:
        client: Any = FakeBatch({"r": ("RUNNING", in_use, "bob", None)})
        queue = BatchQueue(ContainerQueues(lambda: client, lambda _: QUEUE, MAX), lambda *_: None, lambda: NOW)
        told = views.prospect(queue.prospect(job()))
        assert told["would_wait"] is would_wait
        assert "s-training-cpu" in told["reason"]


class TestShareIdentifier:
    def test_has_letters_and_numbers_only_and_tells_everybody_apart(self) -> None:
        users = [("acme", "ann@x.org"), ("acme", "annx.org"), ("umbrella", "ann@x.org"), ("acme", "ünï-" * 99)]
        shares = [share_identifier(*each) for each in users]
        assert len(set(shares)) == len(users)
        assert all(each.isascii() and each.isalnum() and len(each) <= 255 for each in shares)
        assert shares[0].startswith("annxorg0")
