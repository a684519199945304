"""Policies, and models that are deployed by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.auto_deployment import tasks
from chalicelib.auto_deployment.request import PolicyRequest
from chalicelib.deployments.deployment import DeploymentFilter, DeploymentStatus
from chalicelib.errors import NotFound
from tests.e2e.sweeps import models
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

NAME = "churn"


def handlers(on: Services) -> list[Handler]:
    register = models.handlers(on)[0]
    policies = on.platform.deployment_policies
    request = PolicyRequest.model_validate({"conditions": []})

    def put(world: World) -> None:
        policies.set(world.admin, NAME, request)

    def remove(world: World) -> None:
        try:
            policies.remove(world.admin, NAME)
        except NotFound:
            return

    def with_policy() -> World:
        world = on.world()
        put(world)
        return world

    def ready() -> World:
        """A model, and a policy that wants every model."""
        world: World = register.prepare()
        register.run(world)
        put(world)
        return world

    def is_set(*, wanted: bool, action: Action) -> Callable[[World], None]:
        def hold(world: World) -> None:
            page = policies.search(world.admin, 10, 0, None)
            assert [each.name for each in page.policies] == ([NAME] if wanted else [])
            # Setting is said each time that it is asked for, removing once.
            assert on.actions(world, action) >= 1

        return hold

    def deployed(world: World) -> None:
        tenant = world.caller.tenant
        page = on.platform.deployment_store.search(tenant, DeploymentFilter(), 10, 0, None)
        (deployment,) = page.deployments
        assert (deployment.status, deployment.revisions) == (DeploymentStatus.DEPLOYING, 1)
        model = on.platform.model_store.get(tenant, world.model_id)
        assert model is not None
        assert model.auto_deployment is not None
        assert (model.auto_deployment.deployed, model.auto_deployment.deployment_id) == (True, deployment.deployment_id)
        assert on.actions(world, Action.DEPLOY_MODEL) == 1

    def take(world: World) -> None:
        # What it could not act on it names, and the queue brings it again.
        answer: Any = on.function(tasks.deploy_ready_models, _message)(world)
        if answer["batchItemFailures"]:
            raise RuntimeError("not taken")

    return [
        Handler("setDeploymentPolicy", on.world, put, is_set(wanted=True, action=Action.SET_DEPLOYMENT_POLICY)),
        Handler(
            "removeDeploymentPolicy",
            with_policy,
            remove,
            is_set(wanted=False, action=Action.REMOVE_DEPLOYMENT_POLICY),
        ),
        Handler("deploy_ready_models", ready, take, deployed),
    ]


def _message(world: World) -> dict[str, Any]:
    detail = {"tenantId": world.caller.tenant, "modelId": world.model_id}
    return {"Records": [{"messageId": "m", "body": json.dumps({"detail": detail})}]}
