"""Everything is killed at once, in the middle of work: nothing that was acknowledged is lost, nothing runs unowned."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from aimatrix.client import AimatrixError, Client, DeploymentConfig, JobRequest
from aimatrix.client.uploads import UploadFile
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json, start, stop
from tests.faults import Shows

pytestmark = pytest.mark.e2e

SUBMISSIONS = 50
INFERENCE = "def model_fn(d):\n    return 42\ndef predict_fn(data, model):\n    return [model for _ in data]\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud that this test may kill."""
    running = start(tmp_path / "state")
    yield running
    stop(running.state)


def _processes(state: Path) -> list[psutil.Process]:
    """Every process that belongs to a state directory: by command line, working directory or ancestry."""
    mark = str(state)
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (mark in " ".join(process.cmdline()) or process.cwd().startswith(mark)):
                found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return list(found.values())


def _kill_all(state: Path) -> int:
    doomed = _processes(state)
    for process in doomed:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    psutil.wait_procs(doomed, timeout=20)
    return len(doomed)


def _request(client: Client, folder: Path, script: str) -> JobRequest:
    for name, text in (("train.py", script), ("data.csv", scripts.DATA)):
        (folder / name).write_text(text, encoding="utf-8")
    upload = client.upload([UploadFile(folder / name, name) for name in ("train.py", "data.csv")])
    return JobRequest("crash", "custom", upload["train.py"], upload["data.csv"], max_runtime_seconds=120)


class TestCrash:
    def test_every_acknowledged_job_survives_and_ends(self, own: Cloud, tmp_path: Path, shows: Shows) -> None:
        acknowledged: list[str] = []
        halfway = threading.Event()
        own.raise_quota("alice")
        with own.client("alice") as client:
            request = _request(client, tmp_path, "import time\nprint('working', flush=True)\ntime.sleep(0.5)\n")

        def submit() -> None:
            with Client.connect(api=own.api, token=own.token("alice", "USER")) as client:
                for _ in range(SUBMISSIONS):
                    try:
                        acknowledged.append(client.jobs.submit(request).job_id)
                    except AimatrixError:
                        halfway.set()
                        return
                    if len(acknowledged) >= SUBMISSIONS // 2:
                        halfway.set()

        writer = threading.Thread(target=submit)
        writer.start()
        assert halfway.wait(120)
        killed = _kill_all(own.state)
        writer.join(180)
        assert _processes(own.state) == []
        assert len(acknowledged) >= SUBMISSIONS // 2

        port = int(own.api.rsplit(":", 1)[1].split("/")[0])
        again = start(own.state, port)
        with again.client("alice") as client:
            jobs = [client.jobs.wait(job_id, timeout=240) for job_id in acknowledged]
            unlike = [job_id for job_id in acknowledged if not client.jobs.history(job_id).is_equal]
        statuses = {status: sum(job.status == status for job in jobs) for status in {job.status for job in jobs}}
        assert statuses == {"completed": len(jobs)}
        # What the tables' streams had not told yet is told after all.
        assert unlike == []
        shows(3, f"{killed} processes killed amid submissions: {len(jobs)} acknowledged jobs, 0 lost")
        training = [
            each for each in _processes(own.state) if str(own.state / "compute" / "jobs") in " ".join(each.cmdline())
        ]
        assert training == []
        submitted = _audited(again, "submit_job")
        assert {f"job/{job_id}" for job_id in acknowledged} <= set(submitted)
        assert len(set(submitted)) == len(submitted)

    def test_a_deployed_model_answers_again(self, own: Cloud, tmp_path: Path) -> None:
        with own.client("alice") as client:
            script = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
            job = scripts.run(client, tmp_path, script, name="answer", files={"inference.py": INFERENCE})
            assert job.model_id is not None, job.failure_reason
            deployment = client.models.deploy(job.model_id, DeploymentConfig("development", replicas=1))
            assert client.deployments.wait(deployment.id, timeout=120).is_active()
        _kill_all(own.state)
        again = start(own.state, int(own.api.rsplit(":", 1)[1].split("/")[0]))
        with again.client("alice") as client:
            assert client.deployments.get(deployment.id).is_active()
            assert client.deployments.predict(deployment.id, {"inputs": [[1], [2]]})["predictions"] == [42, 42]


def _audited(cloud: Cloud, action: str) -> list[str | None]:
    """What the audit log says this was done to, once all of it is sealed; a row of it that is not as it was is found."""
    with cloud.client("root", "ADMIN") as admin:
        deadline = time.monotonic() + 60
        while (found := admin.audit.verify()).waiting:
            assert time.monotonic() < deadline, found
        assert found.broken is None
        return [row.subject for row in admin.audit.search(action=action)]


def _part(state: Path, name: str) -> Any:
    done = aimatrix("status", "--state", str(state), "--json")
    return next(part for part in last_json(done.stdout)["parts"] if part["name"] == name)


def _answers(cloud: Cloud) -> bool:
    try:
        return httpx.get(f"{cloud.api}/health", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


class TestOnePart:
    @pytest.mark.parametrize("name", ["front-door", "mlflow", "compute", "aws"])
    def test_is_restarted_and_everything_works_again(self, cloud: Cloud, tmp_path: Path, name: str) -> None:
        before = _part(cloud.state, name)
        os.kill(before["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while _part(cloud.state, name)["restarts"] == before["restarts"] or not _answers(cloud):
            assert time.monotonic() < deadline, _part(cloud.state, name)
        script = (
            "import os, mlflow\n"
            "mlflow.log_metric('kept', 1.0, step=1)\n"
            "open(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
        )
        with cloud.client("alice") as client:
            for backend in ("sagemaker", "batch"):
                files = {"inference.py": INFERENCE}
                job = scripts.run(client, tmp_path, script, name=f"after-{name}", backend=backend, files=files)
                assert job.status == "completed", job.failure_reason
                assert [metric.name for metric in job.metrics] == ["kept"]
            assert job.model_id is not None
            deployment = client.models.deploy(job.model_id, DeploymentConfig("development", replicas=1))
            active = client.deployments.wait(deployment.id, timeout=120)
            assert active.is_active(), active.failure_reason
            assert client.deployments.predict(deployment.id, {"inputs": [[1]]})["predictions"] == [42]
            client.deployments.delete(deployment.id)
            client.deployments.wait_down(deployment.id, timeout=60)
