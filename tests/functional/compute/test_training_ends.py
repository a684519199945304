"""How training jobs end before their time: limits, stops, capacity, injected faults."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from localcloud.compute.errors import ResourceInUse, ResourceLimitExceeded, ResourceNotFound, ValidationFailed
from tests.unit.compute.fakes import FakeObjects
from tests.unit.compute.harness import Emulator, archived, eventually, printed, statuses

Run = Callable[..., Any]

FORK_AWAY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("new", "w").write(str(os.getpid()))
        os.rename("new", "tmp-pid")
        time.sleep(600)
    os._exit(0)
while not os.path.exists("tmp-pid"):
    time.sleep(0.01)
print("daemon", open("tmp-pid").read(), flush=True)
"""


class TestTimeLimit:
    def test_ends_the_job_and_every_process_it_forked(self, run: Run) -> None:
        source = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FORK_AWAY + "\ntime.sleep(600)"

        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], int]:
            await emulated.train("job", source, StoppingCondition={"MaxRuntimeInSeconds": 1})
            daemon = int((await printed(emulated, "daemon")).split()[1])
            assert psutil.pid_exists(daemon)
            return await emulated.ended("job"), daemon

        shown, daemon = run(scenario, stop_grace=0.2)

        assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
        assert not psutil.pid_exists(daemon)

    def test_daemons_end_with_the_program_that_started_them(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], int]:
            await emulated.train("job", FORK_AWAY)
            shown = await emulated.ended("job")
            return shown, int((await printed(emulated, "daemon")).split()[1])

        shown, daemon = run(scenario)

        assert shown["TrainingJobStatus"] == "Completed"
        assert not psutil.pid_exists(daemon)

    def test_nothing_is_left_when_a_job_kills_its_guardian(self, run: Run) -> None:
        source = FORK_AWAY + "\nimport signal\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"

        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], int]:
            await emulated.train("job", source)
            daemon = int((await printed(emulated, "daemon")).split()[1])
            return await emulated.ended("job"), daemon

        shown, daemon = run(scenario)

        assert shown["FailureReason"] == "AlgorithmError: , exit code: 137"
        assert not psutil.pid_exists(daemon)


class TestStopping:
    def test_during_the_download(self, run: Run) -> None:
        objects = FakeObjects()
        objects.gate.clear()

        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", "print(1)")
            await eventually(objects.waiting.is_set)
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="job")
            shown = await emulated.ended("job")
            assert emulated.logs.lines() == []
            return shown

        shown = run(scenario, objects=objects)

        assert shown["TrainingJobStatus"] == "Stopped"
        assert statuses(shown) == ["Starting", "Downloading", "Stopping", "Stopped"]

    def test_while_it_waits_for_a_slot(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("first", "import time; print('up', flush=True); time.sleep(600)")
            await printed(emulated, "up")
            await emulated.train("second", "print(2)")
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="second")
            shown = await emulated.ended("second")
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="first")
            await emulated.ended("first")
            return shown

        shown = run(scenario, host_slots=1)

        assert statuses(shown) == ["Starting", "Stopping", "Stopped"]
        assert "BillableTimeInSeconds" not in shown

    def test_keeps_the_model_of_a_stopped_job(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> FakeObjects:
            await emulated.train(
                "job", "import time; open('model/m', 'w').write('m'); print('up', flush=True); time.sleep(600)"
            )
            await printed(emulated, "up")
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="job")
            shown = await emulated.ended("job")
            assert statuses(shown)[-3:] == ["Stopping", "Uploading", "Stopped"]
            return emulated.objects

        assert archived(run(scenario).get("s3://out/jobs/job/output/model.tar.gz")) == ["m"]

    def test_a_job_that_has_ended_cannot_be_stopped(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> None:
            await emulated.train("job", "pass")
            await emulated.ended("job")
            with pytest.raises(ValidationFailed, match="the training job is in status Completed"):
                await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="job")

        run(scenario)

    def test_at_any_moment_leaves_no_process(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> list[str]:
            for n in range(20):
                await emulated.train(f"job-{n}", "import time; time.sleep(600)")
            for n in range(20):
                await asyncio.sleep(0.003 * n)
                await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName=f"job-{n}")
            shown = [await emulated.ended(f"job-{n}") for n in range(20)]
            children = [
                c for c in psutil.Process(os.getpid()).children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE
            ]
            assert children == []
            return [job["TrainingJobStatus"] for job in shown]

        assert run(scenario) == ["Stopped"] * 20


class TestCapacity:
    def test_names_are_taken_once_and_for_ever(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> None:
            await emulated.train("job", "pass")
            with pytest.raises(ResourceInUse, match="must be unique"):
                await emulated.train("job", "pass")
            await emulated.ended("job")
            with pytest.raises(ResourceInUse):
                await emulated.train("job", "pass")
            with pytest.raises(ResourceNotFound):
                await emulated.call("sagemaker", "DescribeTrainingJob", TrainingJobName="other")

        run(scenario)

    def test_an_account_limit_refuses_what_is_over_it(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> None:
            await emulated.train("one", "import time; time.sleep(600)")
            with pytest.raises(ResourceLimitExceeded, match=r"ml\.m5\.large for training job usage' is 1 Instances"):
                await emulated.train("two", "pass")
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="one")
            await emulated.ended("one")
            await emulated.train("two", "pass")
            await emulated.ended("two")

        run(scenario, instance_limits={"ml.m5.large": 1})

    def test_jobs_beyond_the_slots_wait_in_starting_first_come_first_served(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> list[str]:
            await emulated.train("first", "import time; print('up', flush=True); time.sleep(600)")
            await printed(emulated, "up")
            for n in range(5):
                await emulated.train(f"job-{n}", f"print('ran {n}')")
            shown = await emulated.call("sagemaker", "DescribeTrainingJob", TrainingJobName="job-0")
            assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("InProgress", "Starting")
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="first")
            for n in range(5):
                await emulated.ended(f"job-{n}")
            return [line for line in emulated.logs.lines() if line.startswith("ran")]

        assert run(scenario, host_slots=1) == [f"ran {n}" for n in range(5)]

    def test_twenty_jobs_at_once_all_complete(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> list[str]:
            for n in range(20):
                await emulated.train(f"job-{n}", f"print({n})")
            return [(await emulated.ended(f"job-{n}"))["TrainingJobStatus"] for n in range(20)]

        assert run(scenario) == ["Completed"] * 20


class TestInjectedFaults:
    def test_a_spot_interruption_starts_the_job_again_from_its_checkpoint(self, run: Run) -> None:
        source = """
import os, time
if os.path.exists("checkpoints/state"):
    print("resumed", flush=True)
else:
    open("checkpoints/state", "w").write("half way")
    print("begun", flush=True)
    time.sleep(600)
"""

        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], list[str]]:
            emulated.host.faults.replace({"rules": [{"fault": "spot_interruption", "after_line": "begun", "times": 1}]})
            await emulated.train(
                "job", source, EnableManagedSpotTraining=True, CheckpointConfig={"S3Uri": "s3://out/checkpoints/"},
                StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
            )  # fmt: skip
            return await emulated.ended("job"), emulated.logs.lines()

        shown, lines = run(scenario)

        assert lines == ["begun", "resumed"]
        assert shown["TrainingJobStatus"] == "Completed"
        first = ["Starting", "Downloading", "Training", "Interrupted"]
        assert statuses(shown) == [*first, "Starting", "Downloading", "Training", "Uploading", "Completed"]
        assert shown["BillableTimeInSeconds"] <= shown["TrainingTimeInSeconds"]

    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            ({"fault": "no_capacity"}, "CapacityError: Unable to provision requested ML compute capacity."),
            ({"fault": "crash"}, "AlgorithmError: , exit code: 137"),
            (
                {"fault": "spot_interruption"},
                "InternalServerError: We encountered an internal error. Please try again.",
            ),
        ],
    )
    def test_a_job_without_spot_fails_with_the_reason(self, run: Run, rule: dict[str, Any], reason: str) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            emulated.host.faults.replace({"rules": [{**rule, "times": 1}]})
            await emulated.train("job", "import time; time.sleep(600)")
            return await emulated.ended("job")

        assert run(scenario)["FailureReason"].startswith(reason)

    def test_a_spot_job_waits_no_longer_than_it_said(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            emulated.host.faults.replace({"rules": [{"fault": "slow_start", "seconds": 600}]})
            condition = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
            await emulated.train("job", "pass", EnableManagedSpotTraining=True, StoppingCondition=condition)
            return await emulated.ended("job")

        shown = run(scenario)

        assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")

    def test_a_slow_start_stays_in_starting(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            emulated.host.faults.replace({"rules": [{"fault": "slow_start", "seconds": 0.3}]})
            await emulated.train("job", "pass")
            return await emulated.ended("job")

        starting = run(scenario)["SecondaryStatusTransitions"][0]

        assert (starting["EndTime"] - starting["StartTime"]).total_seconds() >= 0.3
