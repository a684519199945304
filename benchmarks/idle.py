"""What the embedded cloud costs while nothing happens, and how fast it starts again."""

from __future__ import annotations

import time

import psutil

from benchmarks.cloud import Cloud, cloud, down, trivial_request, up
from benchmarks.figures import Figure

IDLE_SECONDS = 300
TARGET_MEGABYTES, TARGET_START_SECONDS = 900, 20


def measure() -> list[Figure]:
    with cloud() as running:
        with running.client() as client:
            client.jobs.wait(client.jobs.submit(trivial_request(client)).job_id, timeout=60)
        busy = _resident(running)
        time.sleep(IDLE_SECONDS)
        idle = _resident(running)
        down(running.state)
        warm = up(running.state).seconds_to_start
    return [
        Figure("resident memory after five minutes without a request", idle, "MB", TARGET_MEGABYTES),
        Figure("resident memory right after a job", busy, "MB"),
        Figure("`up` on a state that was up before", warm, "s", TARGET_START_SECONDS),
    ]


def _resident(running: Cloud) -> float:
    """Resident memory of one cloud in MB: all who name its state directory in their command line, and their children."""
    mark = str(running.state)
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if any(mark in part for part in process.cmdline()):
                found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    total = 0
    for process in found.values():
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6
