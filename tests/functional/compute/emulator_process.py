"""The emulator as a process of its own, over in-memory fakes of the embedded cloud: for tests that kill it.

``python -m tests.functional.compute.emulator_process STATE PYTHON``; prints its address as one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import uvicorn

from localcloud.compute.wiring import make_app, make_host
from tests.unit.compute.fakes import FakeControl, FakeLogs, FakeMetrics, FakeObjects
from tests.unit.compute.harness import SETTINGS

SECRET = "the control secret of this test"


async def serve(state: Path, listener: socket.socket, **changes: object) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    objects = FakeObjects()
    objects.put("s3://data/train/rows.csv", b"1,2\n")
    settings = replace(SETTINGS, state=state, own_url=url, **changes)  # type: ignore[arg-type]
    app = make_app(make_host(settings, lambda _: FakeControl(), objects.as_role, FakeLogs(), FakeMetrics()), SECRET)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1)
    print(json.dumps({"compute": url}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), socket.create_server(("127.0.0.1", 0))))
