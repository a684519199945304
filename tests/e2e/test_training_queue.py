"""An installation whose operator named a Batch queue for SageMaker training jobs, seen from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aimatrix.client import ApiError, Client, Job
from aimatrix.client.waiting import wait_until
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, start, stop

pytestmark = pytest.mark.e2e

NAME = "training"
ARN = f"arn:aws:batch:us-east-1:000000000000:job-queue/{NAME}"
HOLDS = "import signal\nprint('holding', flush=True)\nsignal.pause()\n"


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of its own, with a queue of one instance and fair shares."""
    state = tmp_path_factory.mktemp("queued")
    cloud = start(state, parameters={"TrainingQueue": ARN})
    batch = cloud.boto("batch")
    batch.create_service_environment(
        serviceEnvironmentName=NAME,
        serviceEnvironmentType="SAGEMAKER_TRAINING",
        capacityLimits=[{"maxCapacity": 1, "capacityUnit": "NUM_INSTANCES"}],
    )
    policy = batch.create_scheduling_policy(name=NAME, fairsharePolicy={"shareDecaySeconds": 600})["arn"]
    batch.create_job_queue(
        jobQueueName=NAME,
        jobQueueType="SAGEMAKER_TRAINING",
        priority=1,
        schedulingPolicyArn=policy,
        serviceEnvironmentOrder=[{"order": 1, "serviceEnvironment": NAME}],
    )
    yield cloud
    stop(state)


def waits(client: Client, job: Job) -> None:
    wait_until(
        lambda: client.jobs.queue(job.job_id).state,
        lambda state: state == "waiting",
        describe=f"job {job.job_id} in the queue",
        timeout=60,
        sleep=client.jobs.transport.sleep,
        monotonic=client.jobs.monotonic,
    )


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
