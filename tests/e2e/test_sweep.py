"""Whatever call is lost, and whoever dies: after a repetition everything is as it must be.

Every operation that changes something and every function of the template is swept; the AWS calls are those that it is seen
to make, so a new one is struck as soon as it exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from infra import names
from tests.e2e.conftest import ROOT, Cloud
from tests.e2e.receiver import receiving
from tests.e2e.sweeps import administration, deployments, experiments, jobs, models, streams, webhooks
from tests.e2e.sweeps.faulty import DEATHS, Fault, Handler, sweep
from tests.e2e.sweeps.left_out import LEFT_OUT
from tests.e2e.sweeps.services import Services, services_on
from tests.faults import Shows

pytestmark = pytest.mark.e2e

ROOMS = ("jobs", "models", "deployments", "experiments", "administration", "streams", "webhooks")


@pytest.fixture(scope="module")
def services(cloud: Cloud) -> Services:
    return services_on(cloud)


@pytest.fixture(scope="module")
def rooms(cloud: Cloud, services: Services) -> Iterator[dict[str, list[Handler]]]:
    with receiving(cloud.webhook_port) as receiver:
        yield {
            "jobs": jobs.handlers(services),
            "models": models.handlers(services),
            "deployments": deployments.handlers(services),
            "experiments": experiments.handlers(services),
            "administration": administration.handlers(services),
            "streams": streams.handlers(services, cloud),
            "webhooks": webhooks.handlers(services, receiver),
        }
    administration.tidy(services)


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
    def test_is_over_everything_that_changes_something(self, rooms: dict[str, list[Handler]]) -> None:
        swept = {handler.name for handlers in rooms.values() for handler in handlers}
        assert swept | LEFT_OUT.keys() == changing()
        assert not swept & LEFT_OUT.keys()

    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("room", ROOMS)
    def test_leaves_no_difference_at_any_point(
        self, services: Services, rooms: dict[str, list[Handler]], room: str, shows: Shows
    ) -> None:
        total, most = 0, 0
        for handler in rooms[room]:
            points, calls = sweep(services.clients, handler)
            assert points > 0, handler
            total, most = total + points, max(most, len(calls))
        said = f"{room}: {total} points of {len(rooms[room])} handlers, up to {most} calls each, 0 violations"
        shows(2, said)
        if room == "jobs":
            shows(12, f"{total} points, 0 differences")
            died = total * len(DEATHS) // len(Fault)
            shows(
                4,
                f"a process died at {died} points and was repeated at once: nothing done twice, nothing left half done",
            )
