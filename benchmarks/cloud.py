"""An embedded cloud for a measurement: started, used from outside, ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from aimatrix.client import Client, JobRequest, Limits
from aimatrix.client.uploads import UploadFile
from localcloud.state import REGION

DATA = "a,b\n1,2\n3,4\n"


@dataclass(frozen=True)
class Cloud:
    state: Path
    api: str
    aws: str
    mlflow: str
    seconds_to_start: float

    def client(self) -> Client:
        return Client.connect(api=self.api, token=self.token())

    def raise_quota(self, user: str = "bench", tenant: str = "default") -> None:
        """Take every limit off a user, who may submit only a few jobs at once otherwise."""
        with Client.connect(api=self.api, token=self.token("root", "ADMIN", tenant)) as admin:
            admin.quotas.set_user(user, Limits())

    def token(self, user: str = "bench", role: str = "USER", tenant: str = "default") -> str:
        who = ("--user", user, "--role", role, "--tenant", tenant)
        done = _aimatrix("token", "--state", str(self.state), *who, "--json")
        token: str = done["token"]
        return token

    def boto(self, service: str) -> Any:
        """A client of the embedded AWS with the state directory's own root keys."""
        settings = json.loads((self.state / "settings.json").read_bytes())
        sdk: Any = boto3
        return sdk.client(
            service,
            endpoint_url=self.aws,
            region_name=REGION,
            aws_access_key_id=settings["access_key_id"],
            aws_secret_access_key=settings["secret_access_key"],
        )


def _aimatrix(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "aimatrix.cli", *arguments], capture_output=True, text=True, check=True
    )
    document: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return document


def up(state: Path) -> Cloud:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    began = time.monotonic()
    addresses = _aimatrix("up", "--state", str(state), "--port", str(port), "--detach", "--json")
    return Cloud(state, addresses["api"], addresses["aws"], addresses["mlflow"], time.monotonic() - began)


def up_again(running: Cloud) -> None:
    """Start a cloud whose processes were killed: on the same state, so on the same ports."""
    _aimatrix("up", "--state", str(running.state), "--detach", "--json")


def kill(running: Cloud) -> None:
    """SIGKILL to the supervisor and all that it started."""
    parts = json.loads((running.state / "run.json").read_bytes())
    for pid in sorted({int(pid) for pid in _pids(parts)}):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pids(document: Any) -> list[int]:
    """Every process id in the supervisor's notes."""
    if isinstance(document, dict):
        own = [value for name, value in document.items() if name == "pid" and isinstance(value, int)]
        return own + [pid for value in document.values() for pid in _pids(value)]
    return [pid for value in document for pid in _pids(value)] if isinstance(document, list) else []


def down(state: Path) -> None:
    _aimatrix("down", "--state", str(state), "--json")


@contextmanager
def cloud() -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory(prefix="aimatrix-bench-") as folder:
        state = Path(folder)
        try:
            yield up(state)
        finally:
            down(state)


def trivial_request(client: Client, script: str = "import time\nprint(repr(time.time()), flush=True)\n") -> JobRequest:
    """A job that does next to nothing, its files uploaded."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"train.py": script, "data.csv": DATA}
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        upload = client.upload([UploadFile(Path(folder) / name, name) for name in files])
    return JobRequest(
        name="bench",
        framework="custom",
        script_path=upload["train.py"],
        dataset_path=upload["data.csv"],
        max_runtime_seconds=600,
    )
