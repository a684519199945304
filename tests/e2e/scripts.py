"""Small training scripts and data, submitted as a user would."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aimatrix.client import Client, Job, JobRequest
from aimatrix.client.uploads import UploadFile

DATA = "a,b,target\n" + "".join(f"{row % 7},{row % 5},{(row % 7 + row % 5) % 2}\n" for row in range(200))


def submit(client: Client, folder: Path, script: str, **values: Any) -> Job:
    """Upload a script with a small dataset, and submit it."""
    return client.jobs.submit(request(client, folder, script, **values))


def request(client: Client, folder: Path, script: str, **values: Any) -> JobRequest:
    """Upload a script (and what `files` adds) with a small dataset; what would be submitted.

    Args:
        files: more files beside the script, name → content.
        data: the dataset's text.
    """
    files = {"train.py": script, "data.csv": values.pop("data", DATA), **values.pop("files", {})}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    upload = client.upload([UploadFile(folder / name, name) for name in files])
    defaults = {"name": "e2e", "framework": "custom", "max_runtime_seconds": 120}
    paths = {"script_path": upload["train.py"], "dataset_path": upload["data.csv"]}
    return JobRequest(**{**defaults, **paths, **values})


def run(client: Client, folder: Path, script: str, **values: Any) -> Job:
    """Submit and wait for the end."""
    return client.jobs.wait(submit(client, folder, script, **values).job_id, timeout=180)


def lines(client: Client, job: Job) -> list[str]:
    """All that the script itself printed."""
    return [entry.message for entry in client.jobs.follow_logs(job.job_id) if entry.source == "script"]


def first_line(client: Client, job: Job) -> str:
    """Wait for the first line that the script prints."""
    return next(entry.message for entry in client.jobs.follow_logs(job.job_id) if entry.source == "script")


def until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    """Look again and again at what is another process's: nothing signals it here."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.2)
