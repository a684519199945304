"""The real HTTP app on a port of its own, in a thread, over fakes: for tests that speak to it with boto3."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import httpx
import uvicorn
from botocore.config import Config

from localcloud.compute.wiring import make_app, make_host
from tests.unit.compute.fakes import FakeControl, FakeLogs, FakeMetrics, FakeObjects
from tests.unit.compute.harness import SETTINGS

SECRET = "the control secret of this test"


@dataclass(frozen=True)
class Served:
    url: str
    control: FakeControl
    objects: FakeObjects
    logs: FakeLogs

    def client(self, service: Any) -> Any:
        return client(self.url, service)

    def internal(self, method: str, path: str, **options: Any) -> httpx.Response:
        options.setdefault("headers", {"X-Aimatrix-Control": SECRET})
        return httpx.request(method, self.url + path, timeout=20, trust_env=False, **options)


def client(url: str, service: Any) -> Any:
    """A boto3 client that validates nothing itself: the emulator has to."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, proxies={}),
    )


@contextmanager
def served(state: Path, **changes: Any) -> Iterator[Served]:
    control, objects, logs = FakeControl(), FakeObjects(), FakeLogs()
    objects.put("s3://data/train/rows.csv", b"1,2\n")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        host = make_host(
            replace(SETTINGS, state=state, own_url=url, **changes),
            lambda _: control,
            objects.as_role,
            logs,
            FakeMetrics(),
        )
        config = uvicorn.Config(
            make_app(host, SECRET), log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1
        )
        servers.append(uvicorn.Server(config))
        await servers[0].serve(sockets=[listener])

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        # The listener takes connections already; the answer comes once the app has started.
        httpx.get(f"{url}/_compute/health", timeout=20, trust_env=False).raise_for_status()
        yield Served(url, control, objects, logs)
    finally:
        servers[0].should_exit = True
        thread.join()
