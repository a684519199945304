"""Nothing runs that nobody owns, nothing is left that nobody drives: seen from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import Client, Job
from aimatrix.client.errors import ServiceError
from chalicelib.reconciler.repair import Kind, Report
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, Faults, aimatrix, last_json
from tests.e2e.sweeps.services import platform_ahead
from tests.faults import Shows

SLEEPS = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


def _machine(cloud: Cloud) -> str:
    machines = cloud.boto("stepfunctions").list_state_machines()["stateMachines"]
    (arn,) = (each["stateMachineArn"] for each in machines if each["name"].endswith("-train-job"))
    return str(arn)


def _execution(cloud: Cloud, job_id: str) -> str:
    return f"{_machine(cloud).replace(':stateMachine:', ':execution:')}:{job_id}"


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


def _has_ended_as_it_must(client: Client, admin: Client, cloud: Cloud, job: Job, status: str) -> None:
    """Terminal, its attempt stopped, its quota free, every counter right, a receipt written."""
    assert (client.jobs.get(job.job_id).status) == status
    described = cloud.boto("sagemaker").describe_training_job(TrainingJobName=f"aimatrix-{job.job_id}-1")
    assert described["TrainingJobStatus"] == "Stopped"
    (held,) = (use for use in client.quotas.own().user.uses() if use.limit == "max_concurrent_jobs")
    assert held.taken == 0
    assert not admin.quotas.check().differences
    assert client.costs.receipt(job.job_id).job_id == job.job_id


def _sweep(cloud: Cloud) -> Report:
    """As the schedule's, in two minutes: what is younger than one is left alone."""
    return platform_ahead(cloud, timedelta(minutes=2)).sweep.run(60)


def _repairs(report: Report, job: Job) -> list[Kind]:
    return [repair.kind for repair in report.repairs if repair.subject == f"job/{job.job_id}"]


class TestADeletedStateMachine:
    @pytest.fixture
    def machine(self, cloud: Cloud) -> Iterator[str]:
        """The machine of jobs; made again afterwards."""
        sfn, arn = cloud.boto("stepfunctions"), _machine(cloud)
        was = sfn.describe_state_machine(stateMachineArn=arn)
        yield arn
        while any(each["stateMachineArn"] == arn for each in sfn.list_state_machines()["stateMachines"]):
            time.sleep(0.1)
        sfn.create_state_machine(name=was["name"], definition=was["definition"], roleArn=was["roleArn"])

    def test_ends_what_it_drove_and_what_it_was_to_drive(
        self, cloud: Cloud, machine: str, tmp_path: Path, shows: Shows
    ) -> None:
        with cloud.client("eve", tenant="deleted") as eve, cloud.client("root", "ADMIN", tenant="deleted") as admin:
            driven = _running(eve, tmp_path)
            sfn = cloud.boto("stepfunctions")
            sfn.delete_state_machine(stateMachineArn=machine)
            assert sfn.describe_state_machine(stateMachineArn=machine)["status"] == "DELETING"
            refused = scripts.request(eve, tmp_path, SLEEPS)
            with pytest.raises(ServiceError, match="was deleted") as unavailable:
                eve.jobs.submit(refused)
            assert unavailable.value.status == 503
            # What waits for its training job goes on until that ends; then the machine's next transition ends it.
            eve.jobs.cancel(driven.job_id)
            eve.jobs.wait(driven.job_id, timeout=60)
            (orphan,) = (job for job in eve.jobs.list() if job.job_id != driven.job_id)
            assert _repairs(_sweep(cloud), orphan) == [Kind.FINISHED]
            ended = eve.jobs.get(orphan.job_id)
            assert (ended.status, ended.failure_reason) == ("failed", "The state machine was deleted.")
            _has_ended_as_it_must(eve, admin, cloud, driven, "cancelled")
        shows(8, "a state machine deleted under a running and a new job: both ended, attempt stopped, difference 0")


class TestABackendThatDoesNotAnswer:
    def test_takes_the_wish_to_cancel_and_stops_the_job_later(
        self, cloud: Cloud, tmp_path: Path, faults: Faults, shows: Shows
    ) -> None:
        with cloud.client("kim", tenant="unreached") as kim, cloud.client("root", "ADMIN", tenant="unreached") as admin:
            job = _running(kim, tmp_path)
            faults([{"operation": "StopTrainingJob", "fault": "internal_error"}])
            kim.jobs.cancel(job.job_id)
            said = kim.jobs.get(job.job_id)
            assert said.status == "running"
            assert said.cancel_requested_at is not None
            during = _sweep(cloud)
            assert during.unanswered == 1
            assert not during.to_dict()["complete"]
            faults([])
            assert _repairs(_sweep(cloud), job) == [Kind.STOPPED_AGAIN]
            kim.jobs.wait(job.job_id, timeout=60)
            _has_ended_as_it_must(kim, admin, cloud, job, "cancelled")
        shows(11, "cancelled while the backend does not answer: accepted, stopped by the sweep after it answers again")


@contextmanager
def no_events(cloud: Cloud) -> Iterator[None]:
    """Every event of AWS is lost: the rules that deliver them are off."""
    events: Any = cloud.boto("events")
    names = [rule["Name"] for rule in events.list_rules()["Rules"] if "EventPattern" in rule]
    assert names
    for name in names:
        events.disable_rule(Name=name)
    try:
        yield
    finally:
        for name in names:
            events.enable_rule(Name=name)


class TestLostEvents:
    def test_are_made_up_for_by_at_most_two_sweeps(self, cloud: Cloud, tmp_path: Path, shows: Shows) -> None:
        with cloud.client("lou", tenant="lost") as lou, cloud.client("root", "ADMIN", tenant="lost") as admin:
            with no_events(cloud):
                aborted, cancelled = _running(lou, tmp_path), _running(lou, tmp_path)
                done = scripts.run(lou, tmp_path, "print('done')\n")
                cloud.boto("stepfunctions").stop_execution(executionArn=_execution(cloud, aborted.job_id))
                lou.jobs.cancel(cancelled.job_id)
                lou.jobs.wait(cancelled.job_id, timeout=60)
                sweeps = 0
                while not lou.jobs.get(aborted.job_id).is_finished() and sweeps < 2:
                    _sweep(cloud)
                    sweeps += 1
            assert done.status == "completed"
            _has_ended_as_it_must(lou, admin, cloud, cancelled, "cancelled")
            _has_ended_as_it_must(lou, admin, cloud, aborted, "failed")
        shows(7, f"every event of AWS lost, jobs completed, cancelled, aborted: all right after {sweeps} sweeps")


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
