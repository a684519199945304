"""Every operation that changes something and every function of the template, room by room.

Each file of tests sweeps some rooms: files are run beside each other, and a whole sweep takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.conftest import Cloud
from tests.e2e.receiver import receiving
from tests.e2e.sweeps import (
    administration,
    bandits,
    deployments,
    environments,
    experiments,
    jobs,
    models,
    policies,
    retraining,
    rollouts,
    streams,
    transforms,
    webhooks,
)
from tests.e2e.sweeps.faulty import DEATHS, Fault, Handler, sweep
from tests.e2e.sweeps.services import Services, services_on
from tests.faults import Shows

ROOMS = (
    "jobs",
    "models",
    "deployments",
    "rollouts",
    "transforms",
    "policies",
    "retraining",
    "environments",
    "experiments",
    "bandits",
    "administration",
    "streams",
    "webhooks",
)


@contextmanager
def _nobody_else_deploys(cloud: Cloud) -> Iterator[None]:
    """The cloud's own functions would deploy what is swept here."""
    client = cloud.boto("lambda")
    mappings = client.list_event_source_mappings()["EventSourceMappings"]
    deploying = ("deploy-ready-models", "steer-traffic")
    found = [each["UUID"] for each in mappings if each["FunctionArn"].endswith(deploying)]
    assert found
    for uuid in found:
        client.update_event_source_mapping(UUID=uuid, Enabled=False)
    try:
        yield
    finally:
        for uuid in found:
            client.update_event_source_mapping(UUID=uuid, Enabled=True)


@contextmanager
def rooms_on(cloud: Cloud) -> Iterator[tuple[Services, dict[str, list[Handler]]]]:
    services = services_on(cloud)
    with receiving(cloud.webhook_port) as receiver, _nobody_else_deploys(cloud):
        yield (
            services,
            {
                "jobs": jobs.handlers(services),
                "models": models.handlers(services),
                "deployments": deployments.handlers(services),
                "rollouts": rollouts.handlers(services),
                "transforms": transforms.handlers(services),
                "policies": policies.handlers(services),
                "retraining": retraining.handlers(services),
                "environments": environments.handlers(services),
                "experiments": experiments.handlers(services),
                "bandits": bandits.handlers(services),
                "administration": administration.handlers(services),
                "streams": streams.handlers(services, cloud),
                "webhooks": webhooks.handlers(services, receiver),
            },
        )
    administration.tidy(services)


def sweep_room(cloud: Cloud, room: str, shows: Shows) -> None:
    """Strike every call of every handler of a room; what must hold afterwards is asserted."""
    total, most = 0, 0
    with rooms_on(cloud) as (services, rooms):
        for handler in rooms[room]:
            points, calls = sweep(services.clients, handler)
            assert points > 0, handler
            total, most = total + points, max(most, len(calls))
        count = len(rooms[room])
    shows(2, f"{room}: {total} points of {count} handlers, up to {most} calls each, 0 violations")
    if room == "jobs":
        shows(12, f"{total} points, 0 differences")
        died = total * len(DEATHS) // len(Fault)
        shows(
            4,
            f"a process died at {died} points and was repeated at once: nothing done twice, nothing left half done",
        )
