"""How long from the HTTP request to the first line of the user's script."""

from __future__ import annotations

import statistics
import time

from benchmarks.cloud import cloud, trivial_request
from benchmarks.figures import Figure

RUNS, WARM_UP = 20, 3
TARGET_SECONDS = 0.6


def measure() -> list[Figure]:
    """The script prints its own clock, which is this machine's, first thing."""
    taken = []
    with cloud() as running, running.client() as client:
        request = trivial_request(client)
        for index in range(RUNS + WARM_UP):
            began = time.time()
            job = client.jobs.submit(request)
            first = next(line for line in client.jobs.follow_logs(job.job_id) if line.source == "script")
            client.jobs.wait(job.job_id, timeout=60)
            if index >= WARM_UP:
                taken.append(float(first.message) - began)
    return [
        Figure("HTTP submit → first line of the script, median of 20", statistics.median(taken), "s", TARGET_SECONDS),
        Figure("the fastest", min(taken), "s"),
        Figure("the slowest", max(taken), "s"),
    ]
