"""Batch jobs as real processes, over fakes of CloudWatch Logs and the control plane."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.compute.batch.names import ClientFault
from localcloud.compute.batch.scheduler import NO_MACHINE
from tests.unit.compute.fakes import ROLE
from tests.unit.compute.harness import Emulator, emulator, eventually


class Batch:
    """A queue over one environment, and short ways to use them."""

    def __init__(self, emulated: Emulator) -> None:
        self.emulated = emulated

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.emulated.call("batch", operation, **params)

    async def set_up(self, max_vcpus: int = 4) -> None:
        resources = {"type": "EC2", "maxvCpus": max_vcpus, "instanceTypes": ["m5"], "subnets": ["s"]}
        await self.call(
            "CreateComputeEnvironment", computeEnvironmentName="machines", type="MANAGED", computeResources=resources
        )
        order = [{"order": 1, "computeEnvironment": "machines"}]
        await self.call("CreateJobQueue", jobQueueName="training", priority=1, computeEnvironmentOrder=order)
        await self.define("python", "pass")

    async def define(self, name: str, source: str, **changes: Any) -> str:
        container = {
            "image": "python:3.11",
            "command": ["python3", "-c", source],
            "jobRoleArn": ROLE,
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
        }
        made = await self.call(
            "RegisterJobDefinition", jobDefinitionName=name, type="container", containerProperties=container, **changes
        )
        return str(made["jobDefinitionArn"])

    async def submit(self, source: str, name: str = "job", **changes: Any) -> str:
        overrides = {"command": ["python3", "-c", source], **changes.pop("containerOverrides", {})}
        request = {"jobName": name, "jobQueue": "training", "jobDefinition": "python", **changes}
        return str((await self.call("SubmitJob", containerOverrides=overrides, **request))["jobId"])

    async def shown(self, job_id: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = (await self.call("DescribeJobs", jobs=[job_id]))["jobs"]
        return found[0]

    async def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        find = self.emulated.host.store.get
        await eventually(lambda: (find("batch-job", job_id) or {})["detail"]["status"] in statuses)
        return await self.shown(job_id)

    async def ended(self, job_id: str) -> dict[str, Any]:
        return await self.until(job_id, "SUCCEEDED", "FAILED")


Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a scenario against a fresh emulator with a queue."""

    def run(scenario: Callable[[Batch], Coroutine[Any, Any, Any]], max_vcpus: int = 4, **options: Any) -> Any:
        async def started() -> Any:
            async with emulator(tmp_path, **options) as running:
                batch = Batch(running)
                await batch.set_up(max_vcpus)
                return await scenario(batch)

        return asyncio.run(started())

    return run


HANG = "import time; time.sleep(600)"


class TestAJob:
    def test_goes_through_every_state_and_says_so(self, run: Run) -> None:
        source = "import os; print(os.environ['AWS_BATCH_JOB_ATTEMPT'], os.environ['AWS_BATCH_JQ_NAME'], os.getcwd())"

        async def scenario(batch: Batch) -> tuple[dict[str, Any], Any]:
            shown = await batch.ended(await batch.submit(source, tags={"a": "b"}))
            await eventually(lambda: len(batch.emulated.control.events) == 6)
            return shown, batch.emulated

        shown, emulated = run(scenario)

        assert (shown["status"], shown["container"]["exitCode"]) == ("SUCCEEDED", 0)
        assert shown["statusReason"] == "Essential container in task exited"
        assert shown["tags"] == {"a": "b"}
        assert shown["createdAt"] <= shown["startedAt"] <= shown["stoppedAt"]
        details = [json.loads(event["Detail"]) for event in emulated.control.events]
        assert [d["status"] for d in details] == [
            "SUBMITTED",
            "PENDING",
            "RUNNABLE",
            "STARTING",
            "RUNNING",
            "SUCCEEDED",
        ]
        assert {event["DetailType"] for event in emulated.control.events} == {"Batch Job State Change"}
        ((group, stream), lines) = next(iter(emulated.logs.streams.items()))
        assert (group, stream) == ("/aws/batch/job", shown["container"]["logStreamName"])
        assert stream.startswith("python/default/")
        assert lines[0].startswith("aimatrix: the compute emulator runs Python 3.")
        assert lines[0].endswith(" of this machine in place of the image python:3.11")
        assert lines[1].startswith("1 training ")

    def test_a_failed_attempt_is_tried_again(self, run: Run) -> None:
        async def scenario(batch: Batch) -> dict[str, Any]:
            source = "import os; raise SystemExit(0 if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '3' else 9)"
            return await batch.ended(await batch.submit(source, retryStrategy={"attempts": 3}))

        shown = run(scenario)

        assert shown["status"] == "SUCCEEDED"
        assert [attempt["container"]["exitCode"] for attempt in shown["attempts"]] == [9, 9, 0]

    def test_attempts_run_out(self, run: Run) -> None:
        async def scenario(batch: Batch) -> dict[str, Any]:
            return await batch.ended(await batch.submit("raise SystemExit(9)", retryStrategy={"attempts": 2}))

        shown = run(scenario)

        assert (shown["status"], shown["container"]["exitCode"], len(shown["attempts"])) == ("FAILED", 9, 2)

    def test_a_terminated_job_fails_with_the_reason_it_was_given(self, run: Run) -> None:
        async def scenario(batch: Batch) -> dict[str, Any]:
            job = await batch.submit(HANG, retryStrategy={"attempts": 3})
            await batch.until(job, "RUNNING")
            await batch.call("TerminateJob", jobId=job, reason="no longer wanted")
            return await batch.ended(job)

        shown = run(scenario)

        assert (shown["status"], shown["statusReason"]) == ("FAILED", "no longer wanted")
        assert shown["isTerminated"]
        assert len(shown["attempts"]) == 1

    def test_a_program_that_is_not_there(self, run: Run) -> None:
        async def scenario(batch: Batch) -> dict[str, Any]:
            return await batch.ended(await batch.submit("", containerOverrides={"command": ["no-such-program"]}))

        assert run(scenario)["container"]["reason"].startswith("CannotStartContainerError: No such file or directory")

    def test_waits_for_the_jobs_it_depends_on(self, run: Run) -> None:
        async def scenario(batch: Batch) -> tuple[str, dict[str, Any], dict[str, Any]]:
            first = await batch.submit(HANG)
            second = await batch.submit("pass", dependsOn=[{"jobId": first}])
            await batch.until(first, "RUNNING")
            waiting = (await batch.shown(second))["status"]
            await batch.call("TerminateJob", jobId=first, reason="enough")
            good = await batch.submit("pass")
            third = await batch.submit("pass", dependsOn=[{"jobId": good}])
            return waiting, await batch.ended(second), await batch.ended(third)

        waiting, second, third = run(scenario)

        assert waiting == "PENDING"
        assert second["statusReason"].startswith("Dependent Job ")
        assert third["status"] == "SUCCEEDED"


class TestRoom:
    def test_max_vcpus_is_never_passed(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            jobs = [await batch.submit(HANG) for _ in range(4)]
            for job in jobs[:2]:
                await batch.until(job, "RUNNING")
            assert [(await batch.shown(job))["status"] for job in jobs[2:]] == ["RUNNABLE", "RUNNABLE"]
            await batch.call("TerminateJob", jobId=jobs[0], reason="make room")
            await batch.until(jobs[2], "RUNNING")
            assert (await batch.shown(jobs[3]))["status"] == "RUNNABLE"

        run(scenario, max_vcpus=2)

    def test_a_waiting_job_can_be_cancelled_a_running_one_not(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            running, waiting = await batch.submit(HANG), await batch.submit(HANG)
            await batch.until(running, "RUNNING")
            for job in (running, waiting):
                await batch.call("CancelJob", jobId=job, reason="changed my mind")
            shown = await batch.ended(waiting)
            assert (shown["status"], shown["statusReason"], shown["isCancelled"]) == ("FAILED", "changed my mind", True)
            assert (await batch.shown(running))["status"] == "RUNNING"

        run(scenario, max_vcpus=1)

    def test_a_job_no_machine_holds_stays_runnable_with_the_reason(self, run: Run) -> None:
        async def scenario(batch: Batch) -> dict[str, Any]:
            job = await batch.submit(
                "pass", containerOverrides={"resourceRequirements": [{"type": "GPU", "value": "1"}]}
            )
            await batch.ended(await batch.submit("pass"))
            return await batch.shown(job)

        shown = run(scenario)

        assert (shown["status"], shown["statusReason"]) == ("RUNNABLE", NO_MACHINE)

    def test_a_gpu_job_runs_where_its_queue_has_machines_with_that_many(self, run: Run) -> None:
        async def scenario(batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
            resources = {"type": "EC2", "maxvCpus": 96, "instanceTypes": ["g4dn"], "subnets": ["s"]}
            await batch.call(
                "CreateComputeEnvironment", computeEnvironmentName="t4", type="MANAGED", computeResources=resources
            )
            order = [{"order": 1, "computeEnvironment": "t4"}]
            await batch.call("CreateJobQueue", jobQueueName="t4", priority=1, computeEnvironmentOrder=order)
            source = "import os; assert os.environ['AWS_BATCH_CE_NAME'] == 't4'"
            one, nine = [
                await batch.submit(
                    source,
                    jobQueue="t4",
                    containerOverrides={"resourceRequirements": [{"type": "GPU", "value": str(gpus)}]},
                )
                for gpus in (1, 9)
            ]
            return await batch.ended(one), await batch.shown(nine)

        ended, stuck = run(scenario)

        assert ended["status"] == "SUCCEEDED"
        assert (stuck["status"], stuck["statusReason"]) == ("RUNNABLE", NO_MACHINE)

    def test_a_larger_environment_lets_waiting_jobs_start(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            first, second = await batch.submit(HANG), await batch.submit("pass")
            await batch.until(first, "RUNNING")
            assert (await batch.shown(second))["status"] == "RUNNABLE"
            await batch.call(
                "UpdateComputeEnvironment", computeEnvironment="machines", computeResources={"maxvCpus": 2}
            )
            assert (await batch.ended(second))["status"] == "SUCCEEDED"

        run(scenario, max_vcpus=1)


class TestInjectedFaults:
    def test_a_spot_interruption_is_a_terminated_host(self, run: Run) -> None:
        async def scenario(batch: Batch) -> dict[str, Any]:
            batch.emulated.host.faults.replace({"rules": [{"fault": "spot_interruption", "times": 1}]})
            rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
            source = "import os, time; time.sleep(600 * (os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1'))"
            return await batch.ended(await batch.submit(source, retryStrategy={"attempts": 2, "evaluateOnExit": rules}))

        shown = run(scenario)

        assert shown["status"] == "SUCCEEDED"
        assert shown["attempts"][0]["statusReason"].startswith("Host EC2 (instance i-")

    def test_without_capacity_a_job_waits_in_runnable(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            batch.emulated.host.faults.replace({"rules": [{"fault": "no_capacity", "seconds": 0.2, "times": 1}]})
            job = await batch.submit("pass")
            shown = await batch.shown(job)
            assert shown["status"] == "RUNNABLE"
            assert shown["statusReason"].startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")
            assert (await batch.ended(job))["status"] == "SUCCEEDED"

        run(scenario)


class TestResources:
    def test_revisions_count_up_and_the_latest_active_one_is_used(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            first = await batch.define("d", "print('one')")
            second = await batch.define("d", "print('two')")
            assert [arn.rpartition(":")[2] for arn in (first, second)] == ["1", "2"]
            await batch.call("DeregisterJobDefinition", jobDefinition=second)
            active = await batch.call("DescribeJobDefinitions", jobDefinitionName="d", status="ACTIVE")
            assert [item["revision"] for item in active["jobDefinitions"]] == [1]
            submitted = await batch.call("SubmitJob", jobName="j", jobQueue="training", jobDefinition="d")
            await batch.ended(submitted["jobId"])
            assert batch.emulated.logs.lines() == ["one"]
            with pytest.raises(ClientFault, match="not active"):
                await batch.call("SubmitJob", jobName="j", jobQueue="training", jobDefinition=second)

        run(scenario)

    def test_what_is_in_use_or_enabled_cannot_be_deleted(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            with pytest.raises(ClientFault, match="must be disabled"):
                await batch.call("DeleteComputeEnvironment", computeEnvironment="machines")
            await batch.call("UpdateComputeEnvironment", computeEnvironment="machines", state="DISABLED")
            with pytest.raises(ClientFault, match="JobQueue relationship"):
                await batch.call("DeleteComputeEnvironment", computeEnvironment="machines")
            await batch.call("UpdateJobQueue", jobQueue="training", state="DISABLED")
            with pytest.raises(ClientFault, match="disabled"):
                await batch.submit("pass")
            await batch.call("DeleteJobQueue", jobQueue="training")
            await batch.call("DeleteComputeEnvironment", computeEnvironment="machines")
            assert (await batch.call("DescribeComputeEnvironments"))["computeEnvironments"] == []

        run(scenario)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"jobQueue": "nowhere"}, "JobQueue nowhere not found"),
            ({"jobDefinition": "nothing"}, "JobDefinition nothing not found"),
            ({"jobName": "a b"}, "jobName"),
            ({"timeout": {"attemptDurationSeconds": 5}}, "at least 60"),
            ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
            ({"arrayProperties": {"size": 2}}, "arrayProperties"),
            ({"dependsOn": [{"jobId": "x"}]}, "Job x does not exist"),
            (
                {"containerOverrides": {"resourceRequirements": [{"type": "GPU", "value": "half"}]}},
                "not a valid GPU value",
            ),
        ],
    )
    def test_a_wrong_submission_leaves_nothing(self, run: Run, changes: dict[str, Any], message: str) -> None:
        async def scenario(batch: Batch) -> None:
            request = {"jobName": "j", "jobQueue": "training", "jobDefinition": "python", **changes}
            with pytest.raises(ClientFault, match=message):
                await batch.call("SubmitJob", **request)
            for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"):
                assert (await batch.call("ListJobs", jobQueue="training", jobStatus=status))["jobSummaryList"] == []

        run(scenario)


def test_orderly_end_leaves_no_process(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with emulator(tmp_path) as emulated:
            batch = Batch(emulated)
            await batch.set_up()
            await batch.until(await batch.submit(HANG), "RUNNING")

    asyncio.run(scenario())

    assert [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE] == []
