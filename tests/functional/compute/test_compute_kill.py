"""``kill -9`` of the emulator: nothing keeps running, nothing that was answered is forgotten."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.functional.compute.emulator_process import SECRET
from tests.functional.compute.server import client
from tests.unit.compute.fakes import ROLE
from tests.unit.compute.harness import program_request, training_request

PROJECT = Path(__file__).parents[3]

FORK_AND_TELL = """
import os, pathlib, time
target = pathlib.Path({pids!r})
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        target.joinpath(f"daemon-{name}").write_text(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
target.joinpath("main-{name}").write_text(str(os.getpid()))
time.sleep(600)
"""


@contextmanager
def emulator_process(state: Path, *, ready: bool = True) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.functional.compute.emulator_process", str(state)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["compute"]
        if ready:
            httpx.get(f"{url}/_compute/health", timeout=20, trust_env=False).raise_for_status()
        yield process, url
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def set_up_batch(batch: Any) -> None:
    resources = {"type": "EC2", "maxvCpus": 4, "instanceTypes": ["m5"], "subnets": ["s"]}
    batch.create_compute_environment(computeEnvironmentName="m", type="MANAGED", computeResources=resources)
    order = [{"order": 1, "computeEnvironment": "m"}]
    batch.create_job_queue(jobQueueName="q", priority=1, computeEnvironmentOrder=order)
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    container = {"image": "i", "command": ["python3", "-c", "pass"], "jobRoleArn": ROLE, "resourceRequirements": needs}
    retries = {"attempts": 2}
    batch.register_job_definition(
        jobDefinitionName="d", type="container", containerProperties=container, retryStrategy=retries
    )


def gone(pid: int, seconds: float = 10.0) -> bool:
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def pids_in(directory: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        texts = [path.read_text() for path in directory.iterdir()]
        if len(texts) == count and all(texts):
            return [int(text) for text in texts]
        time.sleep(0.01)
    raise AssertionError(f"only {len(list(directory.iterdir()))} of {count} processes came up")


def wait(url: str, name: str, kind: str = "training-jobs") -> dict[str, Any]:
    answer = httpx.get(
        f"{url}/_compute/wait/{kind}/{name}?timeout=15",
        headers={"X-Aimatrix-Control": SECRET},
        timeout=20,
        trust_env=False,
    )
    shown: dict[str, Any] = answer.json()
    return shown


class TestKilled:
    def test_every_process_dies_and_every_job_gets_an_end(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        pids.mkdir()
        with emulator_process(tmp_path / "state") as (process, url):
            sagemaker = client(url, "sagemaker")
            names = [f"job-{n}" for n in range(10)]
            for name in names:
                source = FORK_AND_TELL.format(pids=str(pids), name=name)
                sagemaker.create_training_job(**program_request(name, tmp_path, source))
            # Four slots: four jobs run, six wait.
            running = pids_in(pids, 8)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert all(gone(pid) for pid in running)

        for mark in pids.iterdir():
            mark.unlink()
        with emulator_process(tmp_path / "state") as (process, url):
            sagemaker = client(url, "sagemaker")
            lost = [wait(url, name) for name in names[:4]]
            assert [shown["TrainingJobStatus"] for shown in lost] == ["Failed"] * 4
            assert all(shown["FailureReason"].startswith("InternalServerError: ") for shown in lost)
            # Those that had not begun begin now.
            again = pids_in(pids, 8)
            for name in names[4:]:
                sagemaker.stop_training_job(TrainingJobName=name)
            assert [wait(url, name)["TrainingJobStatus"] for name in names[4:]] == ["Stopped"] * 6
            assert all(gone(pid) for pid in again)

    def test_what_was_answered_is_remembered(self, tmp_path: Path) -> None:
        acknowledged = []
        with emulator_process(tmp_path / "state") as (process, url):
            sagemaker = client(url, "sagemaker")
            for n in range(25):
                sagemaker.create_training_job(**training_request(f"job-{n}", "pass"))
                acknowledged.append(f"job-{n}")
            process.send_signal(signal.SIGKILL)
            process.wait()

        with emulator_process(tmp_path / "state") as (_, url):
            ended = [wait(url, name)["TrainingJobStatus"] for name in acknowledged]

        assert set(ended) <= {"Completed", "Failed"}
        assert len(ended) == 25

    @pytest.mark.parametrize("ready", [False, True])
    def test_a_second_kill_during_or_right_after_the_recovery_loses_no_job(self, tmp_path: Path, ready: bool) -> None:
        state = tmp_path / "state"
        with emulator_process(state) as (_, url):
            sagemaker, batch = client(url, "sagemaker"), client(url, "batch")
            set_up_batch(batch)
            identifiers = []
            for n in range(6):
                sagemaker.create_training_job(**program_request(f"job-{n}", tmp_path, "pass"))
                submitted = batch.submit_job(jobName=f"job-{n}", jobQueue="q", jobDefinition="d")
                identifiers.append(submitted["jobId"])
        # The second one lives until it has its address (and takes up the jobs), or until it answers.
        with emulator_process(state, ready=ready):
            pass

        with emulator_process(state) as (_, url):
            trained = [wait(url, f"job-{n}")["TrainingJobStatus"] for n in range(6)]
            ran = [wait(url, identifier, "batch-jobs")["status"] for identifier in identifiers]

        assert set(trained) <= {"Completed", "Failed"}
        assert set(ran) <= {"SUCCEEDED", "FAILED"}

    def test_a_guardian_killed_together_with_the_emulator_leaves_no_process_after_the_next_start(
        self, tmp_path: Path
    ) -> None:
        pids = tmp_path / "pids"
        pids.mkdir()
        with emulator_process(tmp_path / "state") as (process, url):
            source = FORK_AND_TELL.format(pids=str(pids), name="job")
            client(url, "sagemaker").create_training_job(**program_request("job", tmp_path, source))
            running = pids_in(pids, 2)
            guardians = psutil.Process(process.pid).children()
            process.send_signal(signal.SIGKILL)
            for guardian in guardians:
                guardian.kill()
            process.wait()

        with emulator_process(tmp_path / "state") as (_, url):
            assert wait(url, "job")["TrainingJobStatus"] == "Failed"
            assert all(gone(pid) for pid in running)

    def test_a_running_emulator_is_small(self, tmp_path: Path) -> None:
        with emulator_process(tmp_path / "state") as (process, url):
            client(url, "sagemaker").create_training_job(**training_request("job", "pass"))
            wait(url, "job")

            assert psutil.Process(process.pid).memory_info().rss < 90_000_000
