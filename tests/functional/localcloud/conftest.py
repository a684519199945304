"""Real processes on ports of their own. Every cloud is ended by the fixture that started it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest
from botocore.config import Config

from localcloud import commands
from localcloud.state import REGION, Settings, StateDir, with_free_ports
from tests.functional.localcloud import tiny

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

# Generous: a busy machine takes its time, and nothing waits longer than it has to.
GONE_SECONDS = 60.0
_CONFIG = Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=30)


@dataclass(frozen=True)
class Cloud:
    """A running cloud and clients for it."""

    root: Path
    addresses: commands.Addresses

    @property
    def settings(self) -> Settings:
        settings = StateDir(self.root).load()
        assert settings is not None
        return settings

    @property
    def run(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(StateDir(self.root).run_file.read_bytes())
        return document

    @property
    def outputs(self) -> dict[str, str]:
        outputs: dict[str, str] = json.loads(StateDir(self.root).deployment_file.read_bytes())["outputs"]
        return outputs

    def part(self, name: str) -> commands.PartStatus:
        return next(part for part in commands.status(self.root) if part.name == name)

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        supervisor = psutil.Process(self.run["pid"])
        return [supervisor, *supervisor.children(recursive=True)]

    def session(self, key: str | None = None, secret: str | None = None, token: str | None = None) -> boto3.Session:
        settings = self.settings
        return boto3.Session(
            key or settings.access_key_id, secret or settings.secret_access_key, token, region_name=REGION
        )

    @property
    def dynamodb(self) -> DynamoDBClient:
        return self.session().client("dynamodb", endpoint_url=self.settings.aws_url, config=_CONFIG)

    @property
    def s3(self) -> S3Client:
        return self.session().client("s3", endpoint_url=self.settings.aws_url, config=_CONFIG)

    @property
    def logs(self) -> CloudWatchLogsClient:
        return self.session().client("logs", endpoint_url=self.settings.aws_url, config=_CONFIG)

    @property
    def stepfunctions(self) -> SFNClient:
        return self.session().client("stepfunctions", endpoint_url=self.settings.aws_url, config=_CONFIG)

    @property
    def sagemaker(self) -> SageMakerClient:
        return self.session().client("sagemaker", endpoint_url=self.settings.compute_url, config=_CONFIG)


Start = Callable[[Path], Cloud]


def free_port() -> int:
    """A port for a front door; the others are chosen by the state directory itself."""
    blank = Settings("", 0, os.getpid() % 1000 + 20_000, 0, 0, "", "", "")
    return with_free_ports(blank).compute_port


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again and again until it is so; fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it was not so in time"
        time.sleep(0.02)


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them end in time; one that nobody has reaped yet has ended."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def start(build: Path) -> Iterator[Start]:
    """Starts clouds; starting one again on the same directory is fine."""
    roots: list[Path] = []

    def begin(root: Path) -> Cloud:
        roots.append(root)
        settings = StateDir(root).load()
        port = settings.port if settings else free_port()
        return Cloud(root, commands.up(root, port, detach=True, build=build))

    yield begin
    for root in set(roots):
        commands.down(root)


@pytest.fixture(scope="session")
def cloud(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """A cloud that no test ends."""
    return start(tmp_path_factory.mktemp("cloud"))
