"""Experiments that split an endpoint's requests, as far as that comes without an endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.experiments.request import CountsRequest, ExperimentRequest
from chalicelib.experiments.tasks import steer_traffic
from chalicelib.experiments.traffic import TrafficStatus
from chalicelib.models.model import Model
from chalicelib.table import encode
from tests.e2e.sweeps import models
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

OTHER = "00000000-0000-4000-8000-000000000002"
SUCCESSES = {"1": 30, "2": 42}


def handlers(on: Services) -> list[Handler]:
    register = models.handlers(on)[0]
    platform = on.platform

    def serving() -> World:
        """Two versions behind one endpoint, as a record has it."""
        world: World = register.prepare()
        register.run(world)
        first = platform.model_store.get(world.caller.tenant, world.model_id)
        assert isinstance(first, Model)
        platform.model_store.create(replace(first, model_id=OTHER, version="2"))
        variants = [{"model_id": model_id, "weight": 1} for model_id in (world.model_id, OTHER)]
        config = DeploymentConfig.model_validate({"environment": "staging", "variants": variants})
        deploying = platform.deployments.deploy(world.admin, world.model_id, config)
        world.deployment = platform.deployment_store.update(deploying, deploying.activated(on.clock()), on.clock())
        return world

    def there(world: World) -> Deployment:
        assert world.deployment is not None
        found = platform.deployment_store.get(world.caller.tenant, world.deployment.deployment_id)
        assert found is not None
        return found

    def create(world: World) -> None:
        plan = {
            "name": "sweep",
            "variants": list(SUCCESSES),
            "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
            "max_samples_per_variant": 5000,
            "allocation": {"type": "thompson", "floor": 0.1, "deployment_id": there(world).deployment_id},
        }
        made = platform.experiments.create(world.admin, ExperimentRequest.model_validate(plan), "key")
        world.things["id"] = made.experiment_id

    def created(world: World) -> None:
        taken = platform.steering.traffic.experiment_of(world.caller.tenant, there(world).deployment_id)
        assert taken == world.things["id"]
        assert on.actions(world, Action.CREATE_EXPERIMENT) == 1

    def looked_at() -> World:
        world = serving()
        create(world)
        batch = [
            CountsRequest(variant=variant, metric="conversion", n=300, successes=count)
            for variant, count in SUCCESSES.items()
        ]
        platform.outcomes.count(world.admin, world.things["id"], batch, None)
        return world

    def record(world: World) -> dict[str, Any]:
        key = encode({"pk": f"{world.caller.tenant}#{world.things['id']}", "sk": "progress"})
        return {"Records": [{"dynamodb": {"Keys": key}}]}

    def asked_once(world: World) -> None:
        traffic = platform.steering.traffic.get(world.caller.tenant, world.things["id"])
        assert traffic is not None
        assert (traffic.status, traffic.look, traffic.revision) == (TrafficStatus.CHANGING, 1, 2)
        target = there(world).target
        assert (target.number, target.weights["v2"] > 0.8) == (2, True)
        assert on.actions(world, Action.CHANGE_WEIGHTS) == 1

    return [
        Handler("createExperiment", serving, create, created, "of a deployment"),
        Handler("steer_traffic", looked_at, on.function(steer_traffic, record), asked_once),
    ]
