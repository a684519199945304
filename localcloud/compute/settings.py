"""Settings of the compute emulator, as one frozen value made from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Everything the emulator is told at start. Seconds and bytes throughout.

    Attributes:
        state: directory that holds the database, the job directories and the cached environments.
        aws_url: the embedded cloud's address, for S3, CloudWatch Logs, and as ``AWS_ENDPOINT_URL`` of each job.
        control_url: base of the control endpoints (authorize, credentials, events).
        own_url: where this emulator listens, as jobs see it.
        python: what ``python3`` or ``python`` as first word of an entrypoint becomes.
        host_slots: processes of training jobs that run at once; more wait in Starting.
        instance_limits: running training jobs per instance type; a type that is not named has `default_instance_limit`.
        stop_grace: between SIGTERM and SIGKILL (AWS: 120).
        log_bytes_limit: of one job; what it prints beyond this is counted and dropped, with a line that says so.
        keep_directories: leave a job's directory after it ended (to look into it).
    """

    state: Path
    aws_url: str
    control_url: str
    own_url: str
    python: str = sys.executable
    region: str = "us-east-1"
    account: str = "000000000000"
    host_slots: int = field(default_factory=lambda: max(4, 4 * (os.cpu_count() or 1)))
    instance_limits: Mapping[str, int] = field(default_factory=dict)
    default_instance_limit: int = 100
    stop_grace: float = 10.0
    log_bytes_limit: int = 64 * 1024 * 1024
    disk_check_interval: float = 2.0
    checkpoint_sync_interval: float = 2.0
    blocking_threads: int = 16
    keep_directories: bool = False

    @property
    def jobs_directory(self) -> Path:
        return self.state / "jobs"

    @property
    def environments_directory(self) -> Path:
        return self.state / "environments"

    @property
    def database(self) -> Path:
        return self.state / "compute.sqlite3"
