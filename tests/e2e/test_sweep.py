"""Whatever call is lost, and whoever dies: after a repetition everything is as it must be.

The AWS calls that are struck are those that an operation is seen to make, so a new one is struck as soon as it exists.
"""

from __future__ import annotations

import json

import pytest

from infra import names
from tests.e2e.conftest import ROOT, Cloud
from tests.e2e.sweeps.left_out import LEFT_OUT
from tests.e2e.sweeps.rooms import ROOMS, rooms_on, sweep_room
from tests.faults import Shows

pytestmark = pytest.mark.e2e

IN_FILES_OF_THEIR_OWN = {"jobs", "webhooks"}


def changing() -> set[str]:
    """Every operation that is not a GET, and every function."""
    document = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
    operations = {
        each["operationId"]
        for methods in document["paths"].values()
        for method, each in methods.items()
        if method != "get"
    }
    return operations | {function.name for function in names.FUNCTIONS}


class TestSweep:
    def test_is_over_everything_that_changes_something(self, cloud: Cloud) -> None:
        with rooms_on(cloud) as (_, rooms):
            swept = {handler.name for handlers in rooms.values() for handler in handlers}
        assert set(rooms) == set(ROOMS)
        assert swept | LEFT_OUT.keys() == changing()
        assert not swept & LEFT_OUT.keys()

    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("room", [room for room in ROOMS if room not in IN_FILES_OF_THEIR_OWN])
    def test_leaves_no_difference_at_any_point(self, cloud: Cloud, room: str, shows: Shows) -> None:
        sweep_room(cloud, room, shows)
