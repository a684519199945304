"""Hosting over the fakes of the compute emulator, with real serving processes."""

from __future__ import annotations

import asyncio
import io
import random
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import psutil

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.errors import ApiError
from localcloud.compute.host import Host
from localcloud.compute.host_part import HostPart
from localcloud.compute.hosting import HostingPart, HostingSettings
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.operations import Call, Operation, Part
from localcloud.compute.scaling import ScalingPart, ScalingSettings
from localcloud.compute.tags import SageMakerTags
from localcloud.compute.transforming import TransformPart
from localcloud.compute.wiring import close_host, make_host
from tests.unit.compute.fakes import FakeControl, FakeLogs, FakeMetrics, FakeObjects
from tests.unit.compute.harness import SETTINGS

ROLE = "arn:aws:iam::000000000000:role/serving"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/serving:1"
QUICK_SCALING = ScalingSettings(period=0.05, adding=2, removing=6)
QUICK = HostingSettings(restart_first=0.05, restart_most=0.2, startup_timeout=20.0)

# Answers its own name, so that a test sees which model spoke; obeys a few words in the request.
ECHO = """
import json, os, sys, time
def model_fn(model_dir):
    print("loading", flush=True)
    return open(os.path.join(model_dir, "name")).read()
def input_fn(body, content_type):
    return json.loads(body)
def predict_fn(data, model):
    if "sleep" in data:
        time.sleep(data["sleep"])
    if "die" in data:
        os._exit(3)
    if "raise" in data:
        raise KeyError("missing thing")
    if "environment" in data:
        return os.environ.get(data["environment"])
    if "niceness" in data:
        return os.nice(0)
    if "large" in data:
        return "x" * data["large"]
    return model
def output_fn(prediction, accept):
    return json.dumps({"predictions": [prediction]}), "application/json"
"""


def archive(files: dict[str, str]) -> bytes:
    """A tar.gz of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def echo_model(name: str, code: str = ECHO) -> bytes:
    return archive({"name": name, "code/inference.py": code})


class Objects(FakeObjects):
    """The fake with S3's own refusal of a key that isn't there."""

    def download(self, bucket: str, key: str, destination: Path, cancelled: Event) -> None:
        if (bucket, key) not in self.content:
            raise ObjectError("NoSuchKey", "The specified key does not exist.")
        super().download(bucket, key, destination, cancelled)


@dataclass
class World:
    """What outlives an emulator: the cloud around it, and its state directory."""

    state: Path
    control: FakeControl = field(default_factory=FakeControl)
    objects: Objects = field(default_factory=Objects)
    logs: FakeLogs = field(default_factory=FakeLogs)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)

    def statuses(self, endpoint: str) -> list[str]:
        """The endpoint's statuses as its events told them."""
        import json

        details = [json.loads(e["Detail"]) for e in self.control.events if "Endpoint State" in e["DetailType"]]
        return [detail["EndpointStatus"] for detail in details if detail["EndpointName"] == endpoint]


@dataclass
class Hosting:
    """A started hosting part."""

    host: Host
    world: World
    operations: dict[str, Operation]

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        found = self.operations[operation]
        return await found.handler(Call(found.service, operation, params, "arn:caller", "request"))

    async def refused(self, operation: str, **params: Any) -> ApiError:
        try:
            answer = await self.call(operation, **params)
        except ApiError as error:
            return error
        raise AssertionError(f"{operation} was not refused but answered {answer}")

    async def create_model(self, name: str, data: bytes | None = None, **container: Any) -> None:
        url = f"s3://models/{name}/model.tar.gz"
        self.world.objects.put(url, echo_model(name) if data is None else data)
        primary = {"Image": IMAGE, "ModelDataUrl": url, **container}
        await self.call("CreateModel", ModelName=name, PrimaryContainer=primary, ExecutionRoleArn=ROLE)

    async def create_config(self, name: str, **weights: float) -> None:
        """A configuration whose variants are named like their models."""
        await self.call(
            "CreateEndpointConfig",
            EndpointConfigName=name,
            ProductionVariants=[variant(model.replace("_", "-"), weight) for model, weight in weights.items()],
        )

    async def deploy(self, endpoint: str, data: bytes | None = None) -> dict[str, Any]:
        """Model, configuration and endpoint of one name; the description once it settled."""
        await self.create_model(endpoint, data)
        await self.create_config(endpoint, **{endpoint: 1.0})
        await self.call("CreateEndpoint", EndpointName=endpoint, EndpointConfigName=endpoint)
        return await self.settled(endpoint)

    async def settled(self, endpoint: str) -> dict[str, Any]:
        return await self.until(endpoint, lambda shown: shown["EndpointStatus"] in ("InService", "Failed"))

    async def until(self, endpoint: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while not holds(shown := await self.call("DescribeEndpoint", EndpointName=endpoint)):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return shown

    async def gone(self, endpoint: str) -> None:
        async with asyncio.timeout(30):
            while (await self.call("ListEndpoints", NameContains=endpoint))["Endpoints"]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def invoke(self, endpoint: str, body: bytes = b"{}", **params: Any) -> dict[str, Any]:
        return await self.call("InvokeEndpoint", EndpointName=endpoint, Body=body, **params)

    async def speaker(self, endpoint: str) -> str:
        """The name of the model that answers."""
        import json

        answer = await self.invoke(endpoint)
        return str(json.loads(answer["Body"])["predictions"][0])

    async def speaks_again(self, endpoint: str) -> str:
        """The same, waiting until a model answers at all."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await self.speaker(endpoint)
                except ApiError as error:
                    if error.code not in ("ServiceUnavailable", "ModelError"):
                        raise
                await asyncio.sleep(0.01)


def variant(model: str, weight: float = 1.0, count: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "VariantName": model,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
        **changes,
    }


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is looked at lives in the operating system
            await asyncio.sleep(0.01)


@asynccontextmanager
async def hosting(
    world: World, settings: HostingSettings = QUICK, dice: Callable[[], float] = random.random
) -> AsyncIterator[Hosting]:
    """A started emulator with hosting alone, on the world's state."""
    settled = replace(SETTINGS, state=world.state)
    host = make_host(settled, lambda _: world.control, world.objects.as_role, world.logs, world.metrics)
    tags = SageMakerTags()
    hosted = HostingPart(host, tags, settings, dice)
    parts: list[Part] = [
        HostPart(host, tags),
        hosted,
        TransformPart(host, Slots(2), hosted.models),
        ScalingPart(host, hosted, QUICK_SCALING),
    ]
    for part in parts:
        await part.start()
    operations = {operation.name: operation for part in parts for operation in part.operations()}
    try:
        yield Hosting(host, world, operations)
    finally:
        for part in reversed(parts):
            await part.stop()
        close_host(host)


Scenario = Callable[[Hosting], Coroutine[Any, Any, None]]


def play(world: World, scenario: Scenario, **options: Any) -> None:
    """Runs a scenario against one emulator, start to stop."""

    async def run() -> None:
        async with hosting(world, **options) as hosted:
            await scenario(hosted)

    asyncio.run(run())


def serving_processes(world: World) -> list[psutil.Process]:
    """The serving processes on this world's state directory, found as the system sees them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(world.state) in " ".join(words) and "--model" in words and "guardian.py" not in " ".join(words):
            found.append(process)
    return found
