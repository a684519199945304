"""An installation whose operator named a Batch queue for SageMaker training jobs, seen from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import ApiError, Client, Job
from aimatrix.client.waiting import wait_until
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, start, stop

pytestmark = pytest.mark.e2e

NAME = "training"
ARN = f"arn:aws:batch:us-east-1:000000000000:job-queue/{NAME}"
HOLDS = "import signal\nprint('holding', flush=True)\nsignal.pause()\n"


RESUMES = """
import os, signal
from pathlib import Path

checkpoint = Path(os.environ["SM_CHECKPOINT_DIR"], "epoch.txt")
if checkpoint.exists():
    print("goes on after epoch", checkpoint.read_text(), flush=True)
else:
    checkpoint.write_text("3")
    print("epoch 3 is kept", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of its own, with a queue of one instance and fair shares."""
    state = tmp_path_factory.mktemp("queued")
    cloud = start(state, parameters={"TrainingQueue": ARN})
    make_queue(cloud, instances=1, fairsharePolicy={"shareDecaySeconds": 600})
    yield cloud
    stop(state)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of its own, with a queue of two instances: one is the tenant `lab`'s, one everybody's, who may borrow."""
    state = tmp_path_factory.mktemp("shared")
    shares = {"TrainingQueueOrder": "quota-shares", "TrainingQueueShares": "everybody,lab"}
    cloud = start(state, parameters={"TrainingQueue": ARN, **shares})
    batch = make_queue(cloud, instances=2, quotaSharePolicy={"idleResourceAssignmentStrategy": "FIFO"})
    for name in ("everybody", "lab"):
        batch.create_quota_share(
            quotaShareName=name,
            jobQueue=NAME,
            capacityLimits=[{"maxCapacity": 1, "capacityUnit": "NUM_INSTANCES"}],
            resourceSharingConfiguration={"strategy": "LEND_AND_BORROW"},
            preemptionConfiguration={"inSharePreemption": "DISABLED"},
        )
    yield cloud
    stop(state)


def make_queue(cloud: Cloud, instances: int, **policy: Any) -> Any:
    """What an operator does once; Batch's client."""
    batch = cloud.boto("batch")
    batch.create_service_environment(
        serviceEnvironmentName=NAME,
        serviceEnvironmentType="SAGEMAKER_TRAINING",
        capacityLimits=[{"maxCapacity": instances, "capacityUnit": "NUM_INSTANCES"}],
    )
    batch.create_job_queue(
        jobQueueName=NAME,
        jobQueueType="SAGEMAKER_TRAINING",
        priority=1,
        schedulingPolicyArn=batch.create_scheduling_policy(name=NAME, **policy)["arn"],
        serviceEnvironmentOrder=[{"order": 1, "serviceEnvironment": NAME}],
    )
    return batch


def waits(client: Client, job: Job) -> None:
    wait_until(
        lambda: client.jobs.queue(job.job_id).state,
        lambda state: state == "waiting",
        describe=f"job {job.job_id} in the queue",
        timeout=60,
        sleep=client.jobs.transport.sleep,
        monotonic=client.jobs.monotonic,
    )


def failures(cloud: Cloud) -> list[str]:
    """What functions failed with, of all that were called."""
    logs = cloud.boto("logs")
    groups = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
    events = (logs.filter_log_events(logGroupName=each["logGroupName"])["events"] for each in groups)
    return [event["message"] for of_group in events for event in of_group if "Error" in event["message"]]


class TestTheQueue:
    def test_trains_a_job_from_its_script_to_its_model(self, queued: Cloud, tmp_path: Path) -> None:
        with queued.client("alice") as alice:
            script = (
                "import joblib, os\nfrom sklearn.linear_model import LogisticRegression\n"
                "model = LogisticRegression().fit([[0], [1]], [0, 1])\n"
                "joblib.dump(model, os.path.join(os.environ['SM_MODEL_DIR'], 'model.joblib'))\nprint('trained')\n"
            )
            job = scripts.run(alice, tmp_path, script, name="queued", framework="sklearn")
            assert job.status == "completed", job.failure_reason
            assert scripts.lines(alice, job) == ["trained"]
            assert alice.models.get(job.model_id or "").status == "ready"
            (described,) = queued.boto("batch").list_service_jobs(jobQueue=NAME, jobStatus="SUCCEEDED")[
                "jobSummaryList"
            ]
            assert described["jobName"] == f"aimatrix-{job.job_id}-1"
            assert alice.costs.receipt(job.job_id).job_id == job.job_id

    def test_lets_a_user_in_before_another_ones_backlog_and_says_why_one_waits(
        self, queued: Cloud, tmp_path: Path
    ) -> None:
        with queued.client("greta") as greta, queued.client("otto") as otto:
            holding = scripts.submit(greta, tmp_path, HOLDS)
            assert scripts.first_line(greta, holding) == "holding"
            backlog = scripts.submit(greta, tmp_path, HOLDS)
            waits(greta, backlog)
            late = scripts.submit(otto, tmp_path, HOLDS)
            waits(otto, late)
            told = otto.jobs.queue(late.job_id).document
            assert told["reason"] == "It needs 1 instances; 1 of the 1 of the Batch queue training are in use."
            assert (told["position"], told["held_by"]) == (1, {"jobs": [], "others": {"amount": 1}})
            assert told["expected_start"] is not None
            assert greta.jobs.queue(backlog.job_id).document["position"] == 2
            greta.jobs.cancel(holding.job_id)
            assert greta.jobs.wait(holding.job_id, timeout=60).status == "cancelled"
            assert scripts.first_line(otto, late) == "holding"
            # One that never ran is cancelled as fast, and costs nothing.
            greta.jobs.cancel(backlog.job_id)
            ended = greta.jobs.wait(backlog.job_id, timeout=60)
            assert (ended.status, ended.attempts) == ("cancelled", 1)
            otto.jobs.cancel(late.job_id)
            assert otto.jobs.wait(late.job_id, timeout=60).status == "cancelled"
        with queued.client("root", "ADMIN") as admin:
            assert not admin.quotas.check().differences
            assert not admin.reconciler.run().repairs

    def test_is_no_pool_of_this_service(self, queued: Cloud) -> None:
        with queued.client("root", "ADMIN") as admin, pytest.raises(ApiError, match="TrainingQueue"):
            admin.capacity.set_pool("sagemaker/cpu", 1)


class TestQuotaShares:
    def test_give_a_tenant_its_instance_back_and_the_job_that_gives_way_goes_on_from_its_checkpoint(
        self, shared: Cloud, tmp_path: Path
    ) -> None:
        with shared.client("ada") as ada, shared.client("lea", tenant="lab") as lea:
            own = scripts.submit(ada, tmp_path, HOLDS)
            assert scripts.first_line(ada, own) == "holding"
            borrowing = scripts.submit(ada, tmp_path, RESUMES)
            assert scripts.first_line(ada, borrowing) == "epoch 3 is kept"
            entitled = scripts.submit(lea, tmp_path, HOLDS)
            assert scripts.first_line(lea, entitled) == "holding"
            waits(ada, borrowing)
            told = ada.jobs.queue(borrowing.job_id).document
            assert told["reason"] == (
                "It needs 1 instances; 1 of the 1 of the Batch queue training are in use. The attempt before ended: "
                "Preempted in the queue by a job that goes before: stopped with its checkpoint kept."
            )
            lea.jobs.cancel(entitled.job_id)
            assert lea.jobs.wait(entitled.job_id, timeout=60).status == "cancelled"
            ended = ada.jobs.wait(borrowing.job_id, timeout=120)
            assert (ended.status, ended.attempts) == ("completed", 2), ended.failure_reason
            assert scripts.lines(ada, ended) == ["epoch 3 is kept", "goes on after epoch 3"]
            ada.jobs.cancel(own.job_id)
            assert ada.jobs.wait(own.job_id, timeout=60).status == "cancelled"
            assert ada.costs.receipt(borrowing.job_id).job_id == borrowing.job_id
        # Whoever answers a machine that has gone on already is told so, and is content.
        assert not failures(shared)
        with shared.client("root", "ADMIN") as admin:
            assert not admin.quotas.check().differences
            assert not admin.reconciler.run().repairs

    def test_take_more_jobs_at_once_than_batch_takes_in_a_second(self, shared: Cloud, tmp_path: Path) -> None:
        shared.raise_quota("ada")
        with shared.client("ada") as ada:
            request = scripts.request(ada, tmp_path, "print('done')")
            submitted = [ada.jobs.submit(request) for _ in range(12)]
            ended = [ada.jobs.wait(job.job_id, timeout=240) for job in submitted]
        assert [(job.status, job.attempts) for job in ended] == [("completed", 1)] * 12
