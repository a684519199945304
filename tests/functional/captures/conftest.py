"""Data capture over the room of deployments, with objects in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.captures.capturing import Capturing
from chalicelib.captures.routes import rooms
from chalicelib.captures.service import CaptureService
from chalicelib.deployments.invocations import Invocations
from chalicelib.objects import Listed
from tests.functional.deployments.conftest import Deployments
from tests.functional.deployments.conftest import deployments as deployments
from tests.functional.deployments.conftest import dynamodb as dynamodb
from tests.functional.deployments.conftest import validate as validate
from tests.functional.rest import Gateway


@dataclass
class FakeObjects:
    """A bucket; can refuse to be written to."""

    stored: dict[str, bytes] = field(default_factory=dict)
    refusing: Exception | None = None

    def write(self, key: str, body: bytes, media_type: str) -> None:
        assert media_type == "application/jsonlines"
        if self.refusing:
            raise self.refusing
        self.stored[key] = body

    def page(self, prefix: str, limit: int, after: str | None) -> list[Listed]:
        keys = sorted(key for key in self.stored if key.startswith(prefix) and (after is None or key > after))
        return [Listed(key, len(self.stored[key])) for key in keys[:limit]]

    def read_json(self, key: str) -> Any:
        return json.loads(self.stored[key])

    def presigned_get(self, key: str, seconds: int) -> str:
        return f"https://bucket/{key}?expires={seconds}"

    def uri(self, key: str) -> str:
        return f"s3://bucket/{key}"


@dataclass
class Room:
    """
    Attributes:
        chance: what is drawn next, from 0 to 100.
    """

    deployments: Deployments
    objects: FakeObjects
    service: CaptureService
    invocations: Invocations
    chance: list[float]


@pytest.fixture
def room(deployments: Deployments) -> Room:
    objects: Any = FakeObjects()
    chance, ids = [0.0], count(1)
    capturing = Capturing(objects, deployments.clock, lambda: f"event-{next(ids)}", lambda _least, _most: chance[0])
    runtime: Any = deployments.runtime
    service = CaptureService(deployments.store, objects, deployments.clock, deployments.log.recorder)
    return Room(
        deployments, objects, service, Invocations(deployments.store, runtime, capturing, deployments.exposures), chance
    )


@pytest.fixture
def api(room: Room) -> Gateway:
    platform: Any = SimpleNamespace(captures=room.service)
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))
