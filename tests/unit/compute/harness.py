"""A whole emulator in this process, without HTTP: parts over fakes, called as the app would call them."""

from __future__ import annotations

import asyncio
import io
import sys
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.compute.host import Host, ObjectStore, RoleCredentials
from localcloud.compute.operations import Call, OperationRegistry, Part
from localcloud.compute.settings import Settings
from localcloud.compute.wiring import close_host, make_host, make_parts
from tests.unit.compute.fakes import ROLE, FakeControl, FakeLogs, FakeMetrics, FakeObjects

SETTINGS = Settings(
    state=Path(),
    aws_url="http://127.0.0.1:1",
    control_url="http://127.0.0.1:1/_aimatrix",
    own_url="http://127.0.0.1:2",
    python=sys.executable,
    host_slots=4,
    stop_grace=0.5,
    disk_check_interval=0.05,
    checkpoint_sync_interval=0.05,
)


POLL_SECONDS = 0.005


async def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns as soon as `holds`; what is looked at belongs to other processes and threads, which signal nothing here."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)


@dataclass
class Emulator:
    host: Host
    parts: list[Part]
    control: FakeControl
    objects: FakeObjects
    logs: FakeLogs

    async def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        registry = OperationRegistry()
        for part in self.parts:
            registry.add(part.operations())
        found = registry.find(service, operation)
        assert found is not None
        return await found.handler(Call(service, operation, params, "arn:caller", "request"))

    async def train(self, name: str, source: str, **changes: Any) -> dict[str, Any]:
        """Submits a Python program as a training job."""
        return await self.call("sagemaker", "CreateTrainingJob", **training_request(name, source, **changes))

    async def ended(self, name: str) -> dict[str, Any]:
        """The description once the job is terminal."""
        return await self.until(name, lambda shown: shown["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"))

    async def until(self, name: str, holds: Any, seconds: float = 15.0) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while True:
                shown = await self.call("sagemaker", "DescribeTrainingJob", TrainingJobName=name)
                if holds(shown):
                    return shown
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def emulator(
    state: Path,
    control: FakeControl | None = None,
    objects: FakeObjects | None = None,
    logs: FakeLogs | None = None,
    as_role: Callable[[RoleCredentials], ObjectStore] | None = None,
    **settings: Any,
) -> AsyncIterator[Emulator]:
    """A started emulator on `state`."""
    control, objects, logs = control or FakeControl(), objects or FakeObjects(), logs or FakeLogs()
    objects.put("s3://data/train/rows.csv", b"1,2\n")
    role = as_role or objects.as_role
    host = make_host(replace(SETTINGS, state=state, **settings), lambda _: control, role, logs, FakeMetrics())
    parts = list(make_parts(host))
    for part in parts:
        await part.start()
    try:
        yield Emulator(host, parts, control, objects, logs)
    finally:
        for part in reversed(parts):
            await part.stop()
        close_host(host)


async def printed(emulated: Emulator, beginning: str) -> str:
    """The first line that begins so, once it has been delivered."""
    await eventually(lambda: any(line.startswith(beginning) for line in emulated.logs.lines()))
    return next(line for line in emulated.logs.lines() if line.startswith(beginning))


def statuses(shown: dict[str, Any]) -> list[str]:
    """The secondary statuses a training job went through."""
    return [step["Status"] for step in shown["SecondaryStatusTransitions"]]


def archived(archive: bytes) -> list[str]:
    """Names in a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return sorted(tar.getnames())


def program_request(name: str, directory: Path, source: str) -> dict[str, Any]:
    """A job whose program is a file: an entrypoint's words have at most 256 characters."""
    program = directory / f"{name}.py"
    program.write_text(source)
    request = training_request(name, "")
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = ["python3", str(program)]
    return request


def training_request(name: str, source: str, **changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": "000000000000.dkr.ecr.us-east-1.amazonaws.com/sklearn:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", source],
        },
        "RoleArn": ROLE,
        "InputDataConfig": [
            {
                "ChannelName": "training",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train/"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://out/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }
