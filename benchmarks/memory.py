"""How much the AWS services' process grows with what has been run."""

from __future__ import annotations

import json

import psutil

from benchmarks.cloud import Cloud, cloud, trivial_request
from benchmarks.figures import Figure

JOBS, AT_ONCE = 200, 20
TARGET_KILOBYTES_A_JOB = 150


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        running.raise_quota()
        request = trivial_request(client)
        client.jobs.wait(client.jobs.submit(request).job_id, timeout=60)
        before = _resident_aws(running)
        for _ in range(JOBS // AT_ONCE):
            jobs = [client.jobs.submit(request) for _ in range(AT_ONCE)]
            for job in jobs:
                client.jobs.wait(job.job_id, timeout=180)
        after = _resident_aws(running)
    return [
        Figure("resident memory of the AWS services after one job", before, "MB"),
        Figure(f"the same after {JOBS} more", after, "MB"),
        Figure("growth per job", (after - before) * 1000 / JOBS, "kB", TARGET_KILOBYTES_A_JOB),
    ]


def _resident_aws(running: Cloud) -> float:
    parts = json.loads((running.state / "run.json").read_bytes())["parts"]
    pid = next(part["pid"] for part in parts if part["name"] == "aws")
    return float(psutil.Process(pid).memory_info().rss) / 1e6
