"""Nothing runs that nobody owns, nothing is left that nobody drives: seen from outside."""

from __future__ import annotations

from pathlib import Path

from aimatrix.client import Client, Job
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json
from tests.faults import Shows

SLEEPS = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


def _execution(cloud: Cloud, job_id: str) -> str:
    machines = cloud.boto("stepfunctions").list_state_machines()["stateMachines"]
    (arn,) = (each["stateMachineArn"] for each in machines if each["name"].endswith("-train-job"))
    return f"{arn.replace(':stateMachine:', ':execution:')}:{job_id}"


def _running(client: Client, folder: Path) -> Job:
    job = scripts.submit(client, folder, SLEEPS)
    assert scripts.first_line(client, job) == "begun"
    return client.jobs.get(job.job_id)


class TestAnAbortedExecution:
    def test_stops_what_runs_ends_the_job_with_the_reason_and_frees_its_quota(
        self, cloud: Cloud, tmp_path: Path, shows: Shows
    ) -> None:
        with cloud.client("ada", tenant="aborted") as ada, cloud.client("root", "ADMIN", tenant="aborted") as admin:
            job = _running(ada, tmp_path)
            sfn, sagemaker = cloud.boto("stepfunctions"), cloud.boto("sagemaker")
            sfn.stop_execution(executionArn=_execution(cloud, job.job_id), error="Operator", cause="tidying up")
            ended = ada.jobs.wait(job.job_id, timeout=60)
            assert (ended.status, ended.failure_reason) == (
                "failed",
                "The state machine's execution was aborted: Operator: tidying up",
            )
            name = f"aimatrix-{job.job_id}-1"
            assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Stopped"
            (held,) = (use for use in ada.quotas.own().user.uses() if use.limit == "max_concurrent_jobs")
            assert held.taken == 0
            assert not admin.quotas.check().differences
            assert ada.costs.receipt(job.job_id).job_id == job.job_id
        shows(8, "an execution aborted by hand: attempt stopped, job failed with the reason, difference 0")


class TestOnDemand:
    def test_a_sweep_tells_what_it_looked_at_and_repaired(self, cloud: Cloud, tmp_path: Path) -> None:
        with cloud.client("bob", tenant="swept") as bob:
            job = _running(bob, tmp_path)
            token = cloud.token("root", "ADMIN")
            done = aimatrix("reconcile", "--json", environment={"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token})
            assert done.returncode == 0, done.stderr
            report = last_json(done.stdout)
            assert report["complete"]
            assert report["open_jobs"] >= 1
            assert report["running"] >= 1
            assert f"job/{job.job_id}" not in [repair["subject"] for repair in report["repairs"]]
            bob.jobs.cancel(job.job_id)
            assert bob.jobs.wait(job.job_id, timeout=60).status == "cancelled"

    def test_is_for_administrators_of_the_installation(self, cloud: Cloud) -> None:
        token = cloud.token("root", "ADMIN", tenant="another")
        done = aimatrix("reconcile", environment={"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": token})
        assert done.returncode == 4
