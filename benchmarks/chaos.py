"""Jobs under everything that can be made to go wrong, seeded: each has to end, rightly, and nothing may be left.

AIMATRIX_CHAOS_JOBS says how many (500): on SageMaker, on SageMaker's spot, and on Batch in turns. A third is cancelled at
a random moment, a tenth has its execution aborted by hand, the compute emulator injects what AWS does to calls, to jobs and
to its own events, and the supervisor with all below it is killed once in the middle.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx

from aimatrix.client import AimatrixError, Client, ConflictError, Job
from benchmarks.cloud import Cloud, cloud, kill, trivial_request, up_again
from benchmarks.figures import Figure

JOBS = int(os.environ.get("AIMATRIX_CHAOS_JOBS", "500"))
SEED = 7
SECONDS_FOR_THE_REST = 1800.0
SCRIPT = "import time\nprint('begun', flush=True)\ntime.sleep(0.5)\n"
FAULTS = {
    "seed": SEED,
    "rules": [
        {"operation": "CreateTrainingJob", "fault": "throttle", "probability": 0.1},
        {"operation": "CreateTrainingJob", "fault": "internal_error", "probability": 0.05},
        {"operation": "CreateTrainingJob", "fault": "resource_limit", "probability": 0.03},
        {"operation": "SubmitJob", "fault": "throttle", "probability": 0.1},
        {"operation": "SubmitJob", "fault": "internal_error", "probability": 0.05},
        {"fault": "no_capacity", "probability": 0.05, "seconds": 1},
        {"fault": "slow_start", "probability": 0.1, "seconds": 2},
        {"fault": "spot_interruption", "probability": 0.05, "after_seconds": 0.2},
        {"fault": "crash", "probability": 0.05, "after_seconds": 0.2},
        {"fault": "event_lost", "probability": 0.1},
        {"fault": "event_doubled", "probability": 0.1},
    ],
}


@dataclass
class World:
    """What was done to which job, and when it was seen to end."""

    rng: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311  a seeded world is the point
    submitted: dict[str, str] = field(default_factory=dict)
    """Each job, and what it is to run on."""
    cancelled: dict[str, float] = field(default_factory=dict)
    aborted: set[str] = field(default_factory=set)
    repairs: int = 0
    orphan_seconds: float = 0.0


def measure() -> list[Figure]:
    world = World()
    with cloud() as running:
        running.raise_quota()
        _inject(running)
        with running.client() as client:
            _submit(running, client, world)
        ended, stops = _wait(running, world)
        with running.client() as client:
            unlike = [job_id for job_id in ended if not client.jobs.history(job_id).is_equal]
        first, second = _sweep(running), _sweep(running)
        with Client.connect(api=running.api, token=running.token("root", "ADMIN")) as admin:
            differences = len(admin.quotas.check().differences)
        alive = _alive(running)
    wrong = [job for job in ended.values() if not _is_right(job, world)]
    figures = [
        Figure("jobs that had ended", len(ended), "jobs", len(world.submitted), more_is_better=True),
        Figure("of them with the wrong end", len(wrong), "jobs", 0),
        Figure("of them with a record that the replay of its ledger is not", len(unlike), "jobs", 0),
        Figure("counters of quotas that differ", differences, "", 0),
        Figure("repairs of all sweeps", world.repairs, ""),
        Figure("orphan-seconds that they found", world.orphan_seconds, "s"),
        Figure("repairs of two more sweeps, once all had ended", len(first.repairs) + len(second.repairs), "", 0),
        Figure("jobs that SageMaker and Batch still run", alive, "jobs", 0),
    ]
    counts = Counter(f"{world.submitted[job_id]}, that ended {job.status}" for job_id, job in ended.items())
    figures += [Figure(f"jobs on {what}", counts[what], "jobs") for what in sorted(counts)]
    if stops:
        ordered = sorted(stops)
        figures.append(Figure("cancel → ended, median", statistics.median(ordered), "s"))
        figures.append(Figure("cancel → ended, p99", ordered[int(len(ordered) * 0.99)], "s"))
    return figures


def _submit(running: Cloud, client: Client, world: World) -> None:
    plain = trivial_request(client, SCRIPT)
    kinds = (
        ("SageMaker", plain),
        ("SageMaker's spot", replace(plain, spot=True, max_wait_seconds=1200, max_attempts=4)),
        ("Batch", replace(plain, backend="batch")),
    )
    executions = running.boto("stepfunctions")
    (machine,) = (
        each["stateMachineArn"]
        for each in executions.list_state_machines()["stateMachines"]
        if each["name"].endswith("train-job")
    )
    prefix = machine.replace(":stateMachine:", ":execution:")
    for number in range(JOBS):
        if number == JOBS // 2:
            _kill(running)
        where, request = kinds[number % len(kinds)]
        world.submitted[client.jobs.submit(request).job_id] = where
        if world.rng.random() < 1 / 3:
            _cancel(client, world, world.rng.choice([*world.submitted]))
        if world.rng.random() < 1 / 10:
            _abort(executions, prefix, world, world.rng.choice([*world.submitted]))


def _cancel(client: Client, world: World, job_id: str) -> None:
    try:
        client.jobs.cancel(job_id)
    except ConflictError:
        return  # it had ended
    world.cancelled.setdefault(job_id, time.time())


def _abort(executions: Any, prefix: str, world: World, job_id: str) -> None:
    try:
        executions.stop_execution(executionArn=f"{prefix}:{job_id}", error="Chaos", cause="by the benchmark")
    except executions.exceptions.ClientError:
        return  # it had ended, or is gone with the kill
    world.aborted.add(job_id)


def _kill(running: Cloud) -> None:
    kill(running)
    up_again(running)
    _inject(running)


def _inject(running: Cloud) -> None:
    settings = json.loads((running.state / "settings.json").read_bytes())
    address = f"http://127.0.0.1:{settings['compute_port']}/_compute/faults"
    httpx.put(address, json=FAULTS, headers={"X-Aimatrix-Control": settings["control_secret"]}).raise_for_status()


def _wait(running: Cloud, world: World) -> tuple[dict[str, Job], list[float]]:
    """Every job's end, as far as it came in time, and how long cancelled ones took from the wish to the end."""
    ended: dict[str, Job] = {}
    stops: list[float] = []
    deadline = time.monotonic() + SECONDS_FOR_THE_REST
    with running.client() as client:
        while len(ended) < len(world.submitted) and time.monotonic() < deadline:
            for job_id in world.submitted:
                if job_id in ended:
                    continue
                try:
                    job = client.jobs.get(job_id)
                except AimatrixError:
                    continue
                if job.is_finished():
                    ended[job_id] = job
                    if job_id in world.cancelled and job.completed_at:
                        stops.append(max(0.0, _seconds(job.completed_at) - world.cancelled[job_id]))
            time.sleep(1)
            if len(ended) < len(world.submitted):
                swept = _sweep(running)
                world.repairs += len(swept.repairs)
                world.orphan_seconds += swept.orphan_seconds
    return ended, stops


def _alive(running: Cloud) -> int:
    """Jobs that the backends have not ended."""
    sagemaker, batch = running.boto("sagemaker"), running.boto("batch")
    jobs = sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals="InProgress")
    found = sum(len(page["TrainingJobSummaries"]) for page in jobs)
    queues = [each["jobQueueName"] for each in batch.describe_job_queues()["jobQueues"]]
    for queue in queues:
        for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"):
            pages = batch.get_paginator("list_jobs").paginate(jobQueue=queue, jobStatus=status)
            found += sum(len(page["jobSummaryList"]) for page in pages)
    return found


def _sweep(running: Cloud) -> Any:
    with Client.connect(api=running.api, token=running.token("root", "ADMIN")) as admin:
        return admin.reconciler.run()


def _is_right(job: Job, world: World) -> bool:
    """Whether an end is one that what was done to the job allows."""
    if job.status == "cancelled":
        return job.job_id in world.cancelled
    if job.job_id in world.cancelled:
        return False
    if job.status == "completed":
        return True
    return bool(job.failure_reason)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
