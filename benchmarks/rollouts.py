"""Rollouts under a hundred requests a second: a good version, a bad one, and everything killed in between.

Requests go to the embedded SageMaker runtime as an application sends them that calls the endpoint itself; what the service's
own way adds is measured apart, against the serving process asked directly.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from botocore.exceptions import BotoCoreError, ClientError

from aimatrix.client import Client, Deployment, DeploymentConfig, JobRequest, Rollout
from aimatrix.client.uploads import UploadFile
from benchmarks.cloud import Cloud, cloud, kill, up_again
from benchmarks.figures import Figure

RATE, THREADS = 100, 12
OVERHEAD_REQUESTS = 400
TRAINS = "import os\nopen(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')\n"
ANSWERS = """
def model_fn(d):
    return {number}
def predict_fn(data, model):
    if {fails} and data[0][0] % 2:
        raise RuntimeError("{words}")
    return [model for _ in data]
"""
BAD = "the bad version"
STEPS = [
    {"weight": 5.0, "duration": 5, "minimum_samples": 15},
    {"weight": 25.0, "duration": 5, "minimum_samples": 50},
    {"weight": 100.0, "duration": 5, "minimum_samples": 100},
]
PLAN: dict[str, Any] = {"steps": STEPS, "evaluation_seconds": 1, "patience": "PT5M"}


@dataclass
class Load:
    """Sends requests at a fixed rate, and counts what became of each.

    Attributes:
        away: while the whole cloud is gone, what fails is not the endpoint's.
    """

    endpoint: str
    client: Any
    rate: float = RATE
    outcomes: Counter[str] = field(default_factory=Counter)
    away: bool = False
    seconds: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(THREADS)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
            self.seconds = time.monotonic() - began

    @property
    def reached(self) -> float:
        return sum(self.outcomes.values()) / self.seconds

    def _send(self, number: int) -> None:
        due = time.monotonic() + number / self.rate
        while not self._over.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + THREADS / self.rate, time.monotonic() - 1)
            number += THREADS
            body = json.dumps({"inputs": [[number]]}).encode()
            try:
                answer = self.client.invoke_endpoint(
                    EndpointName=self.endpoint, Body=body, ContentType="application/json"
                )
                answer["Body"].read()
                self.outcomes[answer["InvokedProductionVariant"]] += 1
            except (ClientError, BotoCoreError) as error:
                words = str(error)
                kind = "bad version's own" if BAD in words else "while all was killed" if self.away else words[:120]
                self.outcomes[f"failed: {kind}"] += 1

    @property
    def failed(self) -> int:
        """Requests that failed through nobody's fault but the way's."""
        known = ("failed: bad version's own", "failed: while all was killed")
        return sum(count for what, count in self.outcomes.items() if what.startswith("failed") and what not in known)


def measure() -> list[Figure]:
    with cloud() as running:
        running.raise_quota()
        token = running.token("bench", "ADMIN")
        with Client.connect(api=running.api, token=token) as client:
            # The three versions say nothing of how good they are; nothing else is to be deployed meanwhile.
            versions = [_trained(client, number) for number in (1, 2, 3)]
            figures = _good(running, client, versions)
            figures += _bad(running, client, versions)
            figures += _killed(running, client, versions)
            figures += _overhead(running, client, token, versions)
    return figures


def _good(running: Cloud, client: Client, versions: list[str]) -> list[Figure]:
    active = _serving(client, versions[0])
    load = _load(running, active)
    with load.running():
        done = _rolled(client, active, versions[1])
    return [
        Figure("requests a second that came", load.reached, "/s", RATE * 0.9, more_is_better=True),
        Figure("5 → 25 → 100 %: succeeded", float(done.status == "succeeded"), "", 1, more_is_better=True, digits=0),
        Figure("5 → 25 → 100 %: requests that failed", load.failed, f"of {sum(load.outcomes.values()):,}", 0, digits=0),
    ]


def _bad(running: Cloud, client: Client, versions: list[str]) -> list[Figure]:
    active = _serving(client, versions[0])
    load = _load(running, active)
    with load.running():
        done = _rolled(client, active, versions[2])
    moments = [datetime.fromisoformat(done.document[name]) for name in ("serving_since", "breached_at", "restored_at")]
    hurt = load.outcomes["failed: bad version's own"]
    return [
        Figure("a bad version: rolled back", float(done.status == "rolled-back"), "", 1, more_is_better=True, digits=0),
        Figure("a bad version: requests of the good one that failed", load.failed, "", 0, digits=0),
        Figure("a bad version: requests that it failed itself", hurt, f"of {sum(load.outcomes.values()):,}", digits=0),
        Figure("a bad version: first request → breach found", (moments[1] - moments[0]).total_seconds(), "s"),
        Figure("a bad version: breach found → old weights read back", (moments[2] - moments[1]).total_seconds(), "s"),
        Figure(
            "a bad version: weights read back are the old ones", float(_is_alone(running, active, "v1")), "", 1, True
        ),
    ]


def _killed(running: Cloud, client: Client, versions: list[str]) -> list[Figure]:
    """At each step something dies: a serving process, the execution, the supervisor with all below it."""
    active = _serving(client, versions[0])
    load = _load(running, active, rate=20)
    kills: dict[int, Callable[[], None]] = {
        1: lambda: _kill_serving(running),
        2: lambda: _stop_execution(running),
        3: lambda: _kill_all(running, load),
    }
    with load.running():
        rollout = client.rollouts.start(active.id, versions[1], PLAN)
        while not rollout.is_over():
            state = rollout.steps[rollout.step - 1].status
            if rollout.step in kills and state == "running":
                kills.pop(rollout.step)()
            time.sleep(0.2)
            rollout = client.rollouts.get(active.id, rollout.id)
    return [
        Figure("kills at each step: succeeded", float(rollout.status == "succeeded"), "", 1, True, 0),
        Figure("kills at each step: not struck", len(kills), "", 0, digits=0),
        Figure(
            "kills at each step: weights read back are right", float(_is_alone(running, active, "v2")), "", 1, True, 0
        ),
        Figure("kills at each step: requests that failed while all was up", load.failed, "", digits=0),
    ]


def _overhead(running: Cloud, client: Client, token: str, versions: list[str]) -> list[Figure]:
    active = _serving(client, versions[0])
    (process,) = _serving_processes(running)
    (port,) = {each.laddr.port for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    headers = {"Content-Type": "application/json"}
    ours = (f"{running.api}/deployments/{active.id}/invocations", {**headers, "Authorization": f"Bearer {token}"})
    direct = (f"http://127.0.0.1:{port}/invocations", headers)
    taken: dict[str, list[float]] = {"ours": [], "direct": []}
    with httpx.Client(timeout=30, trust_env=False) as http:
        for number in range(OVERHEAD_REQUESTS + 20):
            for name, (url, given) in (("ours", ours), ("direct", direct)):
                began = time.perf_counter()
                http.post(url, json={"inputs": [[number]]}, headers=given).raise_for_status()
                if number >= 20:
                    taken[name].append(time.perf_counter() - began)
    found = {name: (statistics.median(each), sorted(each)[int(0.99 * len(each))]) for name, each in taken.items()}
    (p50, p99), (direct_p50, direct_p99) = found["ours"], found["direct"]
    return [
        Figure("an invocation through the service, p50", p50 * 1000, "ms"),
        Figure("an invocation through the service, p99", p99 * 1000, "ms"),
        Figure("against the serving process asked directly, p50", p50 / direct_p50, "×"),
        Figure("against the serving process asked directly, p99", p99 / direct_p99, "×"),
    ]


def _trained(client: Client, number: int) -> str:
    code = ANSWERS.format(number=number, fails=number == 3, words=BAD)
    with tempfile.TemporaryDirectory() as folder:
        files = {"train.py": TRAINS, "data.csv": "a\n1\n", "inference.py": code}
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        upload = client.upload([UploadFile(Path(folder, name), name) for name in files])
    request = JobRequest("coin", "custom", upload["train.py"], upload["data.csv"], max_runtime_seconds=120)
    job = client.jobs.wait(client.jobs.submit(request).job_id, timeout=180)
    assert job.model_id is not None, job.failure_reason
    return job.model_id


def _serving(client: Client, model_id: str) -> Deployment:
    active = client.deployments.wait(client.models.deploy(model_id, DeploymentConfig("staging", replicas=1)).id, 180)
    assert active.is_active(), active.failure_reason
    return active


def _load(running: Cloud, active: Deployment, rate: float = RATE) -> Load:
    assert active.endpoint is not None
    return Load(active.endpoint, running.boto("sagemaker-runtime"), rate)


def _rolled(client: Client, active: Deployment, model_id: str) -> Rollout:
    rollout = client.rollouts.start(active.id, model_id, PLAN)
    return client.rollouts.wait(active.id, rollout.id, timeout=600)


def _is_alone(running: Cloud, active: Deployment, variant: str) -> bool:
    found = running.boto("sagemaker").describe_endpoint(EndpointName=active.endpoint)
    return [each["VariantName"] for each in found["ProductionVariants"]] == [variant]


def _serving_processes(running: Cloud) -> list[psutil.Process]:
    """Those whose model lies in this cloud's state."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(running.state) in " ".join(words) and "--port-file" in words and "guardian.py" not in " ".join(words):
            found.append(process)
    return found


def _kill_serving(running: Cloud) -> None:
    for process in _serving_processes(running)[:1]:
        process.kill()


def _stop_execution(running: Cloud) -> None:
    stepfunctions = running.boto("stepfunctions")
    (machine,) = (
        each["stateMachineArn"]
        for each in stepfunctions.list_state_machines()["stateMachines"]
        if each["name"].endswith("shift-traffic")
    )
    for each in stepfunctions.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
        stepfunctions.stop_execution(executionArn=each["executionArn"], error="Operator", cause="tidying")


def _kill_all(running: Cloud, load: Load) -> None:
    load.away = True
    kill(running)
    up_again(running)
    # The models load in their own time.
    until = time.monotonic() + 60
    while time.monotonic() < until:
        before = Counter(load.outcomes)
        time.sleep(1)
        if sum(count for what, count in (load.outcomes - before).items() if what.startswith("failed")) == 0:
            break
    load.away = False
