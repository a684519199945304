"""Runs the real bundle as a real process against fakes, in a directory laid out like a SageMaker container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.functional.trainer.fake_s3 import FakeS3

BUCKET = "artifacts"
PREFIX = f"{BUCKET}/tenants/default/jobs/job-1/attempt-1/"
MARK = "#aimatrix "
TOKEN = "token-of-the-attempt"


@dataclass
class Finished:
    """What one run of the agent left."""

    code: int
    stdout: bytes
    stderr: bytes
    root: Path
    s3: FakeS3

    @property
    def manifest(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.s3.objects[PREFIX + "manifest.json"])
        return document

    @property
    def failure(self) -> str:
        return (self.root / "output" / "failure").read_text("utf-8")

    def lines(self) -> list[str]:
        """What the user sees: standard output without structured lines."""
        return [line for line in self.stdout.decode("utf-8").split("\n") if line and not line.startswith(MARK)]

    def script_lines(self) -> list[str]:
        """What the script itself printed to its standard output."""
        return [line for line in self.lines() if not line.startswith("aimatrix: ")]

    def structured(self, kind: str) -> list[dict[str, Any]]:
        """The structured lines of one type."""
        found = []
        for line in self.stdout.decode("utf-8").split("\n"):
            if line.startswith(MARK):
                document = json.loads(line[len(MARK) :])
                if document["t"] == kind:
                    found.append(document)
        return found

    def points(self) -> list[tuple[str, Any, int]]:
        """Name, value and step of every metric value reported."""
        return [
            (name, value, step) for line in self.structured("metrics") for name, value, step, _, _ in line["points"]
        ]


@dataclass
class Container:
    """A container about to run the agent; change what a test is about, then `run`."""

    agent: Path
    root: Path
    s3: FakeS3
    script: str | bytes = "print('hello')\n"
    spec: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> tuple[list[str], dict[str, str]]:
        """Puts spec and script into S3; returns the command and its environment."""
        script = self.script.encode() if isinstance(self.script, str) else self.script
        self.s3.objects.setdefault(f"{BUCKET}/uploads/train.py", script)
        self.s3.objects.setdefault(f"{BUCKET}/uploads/data.csv", b"a,b\n1,2\n")
        spec = {
            "schema": 1,
            "tenant": "default",
            "user": "ann",
            "job_id": "job-1",
            "attempt": 1,
            "token": TOKEN,
            "name": "iris",
            "framework": "sklearn",
            "script": {"uri": f"s3://{BUCKET}/uploads/train.py", "name": "train.py"},
            "requirements": None,
            "inference": None,
            "dataset": {"uri": f"s3://{BUCKET}/uploads/data.csv", "objects": 1, "bytes": 8},
            "parameters": {},
            "environment_variables": {},
            "arguments": "auto",
            "metric_definitions": [],
            "gpu_count": 0,
            "max_runtime_seconds": 60,
            "limits": {"disk_bytes": 10**9, "log_bytes": 10**9},
            "prefix": f"s3://{PREFIX}",
            "mlflow": {"experiment_name": "iris", "run_name": "job-1"},
            **self.spec,
        }
        self.s3.objects[PREFIX + "spec.json"] = json.dumps(spec).encode()
        env = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.s3.url,
            "AIMATRIX_SPEC_URI": f"s3://{PREFIX}spec.json",
            "AIMATRIX_GRACE_SECONDS": "0.5",
            **self.environ,
        }
        return [sys.executable, os.fspath(self.agent), "train", "--root", os.fspath(self.root)], env

    def run(self, *, when: Callable[[subprocess.Popen[bytes], bytes], None] | None = None) -> Finished:
        """Runs the agent to its end.

        Args:
            when: Called with the process and each line of its standard output, as it comes.
        """
        command, env = self.prepare()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else b""))
        reader.start()
        watchdog = threading.Timer(240, lambda: process.send_signal(signal.SIGKILL))
        watchdog.start()
        try:
            output = bytearray()
            for line in process.stdout:
                output += line
                if when is not None:
                    when(process, line)
            code = process.wait()
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            reader.join()
            process.stdout.close()
            process.stderr.close()
        return Finished(code, bytes(output), b"".join(errors), self.root, self.s3)
