"""A model served by a real process, as a test sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from trainer.serving import server

SERVER = Path(server.__file__)
START_SECONDS = 90.0


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server process."""

    process: subprocess.Popen[bytes]
    url: str

    def request(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "GET" if body is None else "POST"
        response = httpx.request(method, f"{self.url}{path}", content=body, headers=named, timeout=30, trust_env=False)
        return Answer(response.status_code, response.headers.get("content-type", ""), response.content)

    def predict(self, document: Any, **headers: str) -> Answer:
        headers = {"Content_Type": "application/json", **headers}
        return self.request("/invocations", json.dumps(document).encode(), **headers)

    def predictions(self, document: Any) -> Any:
        answer = self.predict(document)
        assert answer.status == 200, answer.body
        return answer.json()["predictions"]

    def wait_until_loaded(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.request("/ping").status != 200:
            assert self.process.poll() is None, "the server ended while loading the model"
            assert time.monotonic() < deadline, "the model was not loaded in time"


@contextmanager
def started(directory: Path, *, python: str = sys.executable) -> Iterator[Served]:
    """The server process, as soon as it listens; the model may not be loaded yet."""
    process = subprocess.Popen(
        [python, str(SERVER), "--model", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        assert first.startswith("listening on 127.0.0.1:"), first
        yield Served(process, f"http://{first.split()[-1]}")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def serving(directory: Path) -> Iterator[Served]:
    """The server process with its model loaded."""
    with started(directory) as served:
        served.wait_until_loaded()
        yield served
