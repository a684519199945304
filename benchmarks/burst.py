"""Twenty trivial jobs, submitted one after another."""

from __future__ import annotations

import time

from benchmarks.cloud import cloud, trivial_request
from benchmarks.figures import Figure

JOBS = 20
TARGET_PER_SECOND, TARGET_SECONDS = 32, 13.0


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        running.raise_quota()
        request = trivial_request(client)
        client.jobs.wait(client.jobs.submit(request).job_id, timeout=60)
        began = time.monotonic()
        jobs = [client.jobs.submit(request) for _ in range(JOBS)]
        accepted = time.monotonic() - began
        finished = [client.jobs.wait(job.job_id, timeout=120) for job in jobs]
        completed = time.monotonic() - began
    failed = sum(job.status != "completed" for job in finished)
    return [
        Figure("20 trivial jobs, accepted", JOBS / accepted, "per s", TARGET_PER_SECOND, more_is_better=True),
        Figure("20 trivial jobs, all completed after", completed, "s", TARGET_SECONDS),
        Figure("of them not completed", failed, "jobs", 0),
    ]
