"""A pool that holds one job: the others wait, say why, and run in the order of their priority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aimatrix.client import Client, ForbiddenError, Job, NotFoundError, ResourceRequirements
from aimatrix.client.waiting import wait_until
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, Faults, aimatrix, last_json
from tests.e2e.test_costs import receipt
from tests.faults import Shows

pytestmark = pytest.mark.e2e

POOL = "sagemaker/t4"
ONE = ResourceRequirements(gpu_count=1, gpu_type="t4", memory_gb=8, cpu_cores=2, disk_gb=20)
HOLDS = "import signal\nprint('holding', flush=True)\nsignal.pause()\n"
CONTINUES = """
import os, pathlib, signal
kept = pathlib.Path(os.environ["SM_CHECKPOINT_DIR"]) / "step"
if kept.exists():
    print("goes on after step", kept.read_text(), flush=True)
else:
    print("first time", flush=True)
    kept.write_text("1")
    signal.pause()
"""
REASONS = ("ResourceLimitExceeded", "CapacityError", "of the pool sagemaker/t4 are in use")
PASSES = "print('done', flush=True)\n"


@pytest.fixture
def operator(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("root", "ADMIN") as client:
        yield client


@pytest.fixture
def pool(operator: Client) -> Iterator[str]:
    """One GPU at once, until the test has ended."""
    operator.capacity.set_pool(POOL, 1)
    yield POOL
    operator.capacity.remove_pool(POOL)


def submit(client: Client, folder: Path, script: str, **request: object) -> Job:
    return scripts.submit(client, folder, script, resource_requirements=ONE, **request)


def waits(client: Client, job: Job) -> None:
    """Wait until a job waits, with its machine's token noted or not."""
    transport = client.jobs.transport
    wait_until(
        lambda: client.jobs.queue(job.job_id).state,
        lambda state: state == "waiting",
        describe=f"job {job.job_id} in the queue",
        timeout=60,
        sleep=transport.sleep,
        monotonic=client.jobs.monotonic,
    )


def has_checkpoint(cloud: Cloud, client: Client, job: Job) -> None:
    """Wait until the backend has brought a job's checkpoint to S3."""
    prefix = f"tenants/default/jobs/{job.job_id}/checkpoints/"
    bucket = client.jobs.get(job.job_id).document["config"]["script_path"].split("/")[2]
    s3 = cloud.boto("s3")
    wait_until(
        lambda: s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("KeyCount", 0),
        bool,
        describe=f"a checkpoint of job {job.job_id}",
        timeout=60,
        sleep=client.jobs.transport.sleep,
        monotonic=client.jobs.monotonic,
    )


class TestPool:
    def test_runs_what_waits_in_the_order_of_priority_and_says_why_it_waits(
        self, cloud: Cloud, alice: Client, pool: str, tmp_path: Path
    ) -> None:
        holder = submit(alice, tmp_path, HOLDS)
        assert scripts.first_line(alice, holder) == "holding"
        jobs = {}
        for priority in ("low", "high", "critical"):
            jobs[priority] = submit(alice, tmp_path, PASSES, priority=priority)
            waits(alice, jobs[priority])
        places = {priority: alice.jobs.queue(job.job_id) for priority, job in jobs.items()}
        assert {priority: place.position for priority, place in places.items()} == {"critical": 1, "high": 2, "low": 3}
        answer = places["low"].document
        assert answer["binding_limit"] == {"pool": pool, "unit": "GPUs", "limit": 1, "in_use": 1, "needed": 1}
        assert [held["job_id"] for held in answer["held_by"]["jobs"]] == [holder.job_id]
        assert places["low"].expected_start is not None
        waiting = alice.jobs.get(jobs["low"].job_id)
        assert (waiting.status, waiting.secondary_status) == ("pending", "AwaitingCapacity")
        assert "of the pool sagemaker/t4" in waiting.document["waiting_reason"]
        request = scripts.request(alice, tmp_path, PASSES, priority="medium", resource_requirements=ONE)
        would = alice.jobs.plan(request)["queue"]
        assert (would["would_wait"], would["position"], would["binding_limit"]["pool"]) == (True, 3, pool)
        with cloud.client("bob") as bob, pytest.raises(NotFoundError):
            bob.jobs.queue(jobs["low"].job_id)

        alice.jobs.cancel(holder.job_id)
        ended = {priority: alice.jobs.wait(job.job_id, timeout=120) for priority, job in jobs.items()}
        assert {job.status for job in ended.values()} == {"completed"}
        assert sorted(ended, key=lambda priority: str(ended[priority].started_at)) == ["critical", "high", "low"]
        assert "waiting_reason" not in ended["low"].document
        assert alice.jobs.queue(holder.job_id).state == "finished"

    def test_lets_a_job_that_waits_be_cancelled(self, alice: Client, pool: str, tmp_path: Path) -> None:
        holder = submit(alice, tmp_path, HOLDS)
        assert scripts.first_line(alice, holder) == "holding"
        waiting = submit(alice, tmp_path, PASSES)
        waits(alice, waiting)
        alice.jobs.cancel(waiting.job_id)
        assert alice.jobs.wait(waiting.job_id, timeout=60).status == "cancelled"
        alice.jobs.cancel(holder.job_id)
        assert alice.jobs.wait(holder.job_id, timeout=60).status == "cancelled"

    def test_has_a_low_job_give_way_to_a_critical_one_and_go_on_from_its_checkpoint(
        self, cloud: Cloud, operator: Client, tmp_path: Path
    ) -> None:
        operator.capacity.set_pool(POOL, 1, preempt_low=True)
        with cloud.client("dora") as dora:
            low = submit(dora, tmp_path, CONTINUES, priority="low", max_runtime_seconds=900)
            assert scripts.first_line(dora, low) == "first time"
            has_checkpoint(cloud, dora, low)
            critical = submit(dora, tmp_path, HOLDS, priority="critical")
            assert scripts.first_line(dora, critical) == "holding"
            place, job = dora.jobs.queue(low.job_id), dora.jobs.get(low.job_id)
            assert (place.state, place.position, job.status) == ("waiting", 1, "pending")
            assert place.reason.startswith(f"Preempted by job {critical.job_id}. It needs 1 GPUs; 1 of the 1")
            assert f"Preempted by job {critical.job_id}" in job.document["waiting_reason"]
            dora.jobs.cancel(critical.job_id)
            ended = dora.jobs.wait(low.job_id, timeout=120)
            assert (ended.status, ended.document["attempts"]) == ("completed", 2)
            assert "goes on after step 1" in scripts.lines(dora, low)
            lines = receipt(dora, low).contents["attempts"]
            assert [line["number"] for line in lines] == [1, 2]
            assert all(line["billable_seconds"] > 0 for line in lines)
        operator.capacity.remove_pool(POOL)
        assert operator.quotas.check().differences == ()

    def test_takes_its_limits_from_the_account(self, cloud: Cloud, alice: Client, operator: Client) -> None:
        with pytest.raises(ForbiddenError):
            alice.capacity.import_account(dry_run=True)
        for known in operator.capacity.pools():
            if known.limit is not None:
                operator.capacity.remove_pool(known.name)
        environment = {"AIMATRIX_TOKEN": cloud.token("root", "ADMIN"), "AIMATRIX_API": cloud.api}
        done = aimatrix("capacity", "import", "--dry-run", environment=environment)
        assert done.returncode == 0, done.stderr
        assert "would be set" in done.stdout
        assert [pool for pool in operator.capacity.pools() if pool.limit is not None] == []
        done = aimatrix("capacity", "import", "--json", environment=environment)
        assert done.returncode == 0, done.stderr
        told = {each["pool"]: each["limit"] for each in last_json(done.stdout)["pools"]}
        assert told["sagemaker/a100"] == 800  # of the simulated account: a hundred instances of eight
        limits = {pool.name: pool.limit for pool in operator.capacity.pools() if pool.limit is not None}
        for name in limits:
            operator.capacity.remove_pool(name)
        assert limits == told

    def test_is_an_operators_and_is_managed_on_the_command_line(
        self, cloud: Cloud, alice: Client, operator: Client
    ) -> None:
        with pytest.raises(ForbiddenError):
            alice.capacity.set_pool(POOL, 8)
        environment = {"AIMATRIX_TOKEN": cloud.token("root", "ADMIN"), "AIMATRIX_API": cloud.api}
        done = aimatrix("capacity", "set", POOL, "4", "--aging", "3600", "--json", environment=environment)
        assert done.returncode == 0, done.stderr
        assert last_json(done.stdout)["aging_seconds"] == 3600
        assert [pool.limit for pool in operator.capacity.pools() if pool.name == POOL] == [4]
        done = aimatrix("capacity", "unset", POOL, environment=environment)
        assert done.returncode == 0, done.stderr
        with pytest.raises(NotFoundError):
            operator.capacity.pool(POOL)


class TestFaults:
    def test_lose_no_job_to_throttling_limits_and_lack_of_capacity(
        self,
        cloud: Cloud,
        operator: Client,
        tmp_path: Path,
        faults: Faults,
        shows: Shows,
    ) -> None:
        create = {"operation": "CreateTrainingJob"}
        faults(
            [
                {**create, "fault": "throttle", "times": 2},
                {**create, "fault": "resource_limit", "times": 1},
                {**create, "fault": "no_capacity", "times": 1},
            ]
        )
        operator.capacity.set_pool(POOL, 2)
        with cloud.client("erin") as erin:
            jobs = [submit(erin, tmp_path, PASSES) for _ in range(4)]
            told: set[str] = set()

            def look() -> list[Job]:
                for job in jobs:
                    told.update(word for word in REASONS if word in erin.jobs.queue(job.job_id).reason)
                return [erin.jobs.get(job.job_id) for job in jobs]

            ended = wait_until(
                look,
                lambda seen: all(job.is_finished() for job in seen),
                describe="four jobs that met faults",
                timeout=150,
                sleep=erin.jobs.transport.sleep,
                monotonic=erin.jobs.monotonic,
            )
        operator.capacity.remove_pool(POOL)
        assert [job.status for job in ended] == ["completed"] * 4
        attempts = sorted(job.document["attempts"] for job in ended)
        assert attempts == [1, 1, 2, 2]
        assert told == set(REASONS)
        assert operator.quotas.check().differences == ()
        lost = sum(job.status != "completed" for job in ended)
        shows(
            9,
            f"4 jobs behind a pool of 2, throttled, over a limit, without capacity: {lost} lost, {sum(attempts)} attempts",
        )


class TestBatchQueue:
    """The order is Batch's own: between users by share, and the answer is the same as for a pool."""

    LARGE = ResourceRequirements(gpu_count=0, memory_gb=32, cpu_cores=64, disk_gb=20)
    AT_ONCE = 4  # of 256 vCPUs

    def test_lets_a_user_in_before_the_backlog_of_one_who_has_more(self, cloud: Cloud, tmp_path: Path) -> None:
        cloud.raise_quota("greta", tenant="fair")
        cloud.raise_quota("otto", tenant="fair")
        with cloud.client("greta", tenant="fair") as greta, cloud.client("otto", tenant="fair") as otto:

            def submit(client: Client, priority: str = "medium") -> Job:
                return scripts.submit(
                    client, tmp_path, HOLDS, backend="batch", resource_requirements=self.LARGE, priority=priority
                )

            holding = [submit(greta) for _ in range(self.AT_ONCE)]
            for job in holding:
                assert scripts.first_line(greta, job) == "holding"
            backlog = [submit(greta, priority) for priority in ("low", "high")]
            for job in backlog:
                waits(greta, job)
            late = submit(otto)
            waits(otto, late)
            told = otto.jobs.queue(late.job_id).document
            assert told["binding_limit"] == {
                "pool": "batch/cpu",
                "unit": "vCPUs",
                "limit": 256,
                "in_use": 256,
                "needed": 64,
            }
            assert (told["position"], told["held_by"]) == (1, {"jobs": [], "others": {"amount": 256}})
            assert told["expected_start"] is not None
            assert [greta.jobs.queue(job.job_id).document["position"] for job in backlog] == [3, 2]
            seen = greta.jobs.queue(backlog[0].job_id).document
            assert {each["job_id"] for each in seen["held_by"]["jobs"]} == {job.job_id for job in holding}
            greta.jobs.cancel(holding[0].job_id)
            assert scripts.first_line(otto, late) == "holding"
            assert greta.jobs.queue(backlog[1].job_id).document["position"] == 1
            for client, jobs in ((otto, [late]), (greta, [*backlog, *holding[1:]])):
                for job in jobs:
                    client.jobs.cancel(job.job_id)
                    assert client.jobs.wait(job.job_id, timeout=60).status == "cancelled"
        with cloud.client("root", "ADMIN", tenant="fair") as admin:
            assert not admin.quotas.check().differences
