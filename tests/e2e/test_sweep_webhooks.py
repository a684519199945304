"""Whatever call about webhooks is lost, and whoever dies: `test_sweep.py`, of a room that takes minutes."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Cloud
from tests.e2e.sweeps.rooms import sweep_room
from tests.faults import Shows

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(900)
def test_leaves_no_difference_at_any_point(cloud: Cloud, shows: Shows) -> None:
    sweep_room(cloud, "webhooks", shows)
