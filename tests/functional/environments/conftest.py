"""What environments ask for, over the rooms of deployments, rollouts and auto-deployment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.environments.routes import rooms
from tests.functional.auto_deployment.conftest import Room
from tests.functional.auto_deployment.conftest import deployments as deployments
from tests.functional.auto_deployment.conftest import dynamodb as dynamodb
from tests.functional.auto_deployment.conftest import rollouts as rollouts
from tests.functional.auto_deployment.conftest import room as room
from tests.functional.auto_deployment.conftest import validate as validate
from tests.functional.rest import Gateway


@pytest.fixture
def api(room: Room) -> Gateway:
    platform: Any = SimpleNamespace(environments=room.rollouts.room.environments)
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))
