"""Rollouts, as far as they come without an endpoint: what SageMaker does behind one is not this service's call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.models.model import Model
from chalicelib.rollouts import tasks
from chalicelib.rollouts.request import RolloutRequest
from chalicelib.rollouts.rollout import Rollout, RolloutStatus
from tests.e2e.sweeps import models
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

OTHER = "00000000-0000-4000-8000-000000000002"
PLAN = {"to": {"model_id": OTHER}, "steps": [{"weight": 10.0}, {"weight": 100.0}]}


def handlers(on: Services) -> list[Handler]:
    register = models.handlers(on)[0]
    request = RolloutRequest.model_validate(PLAN)
    platform = on.platform

    def serving() -> World:
        """A deployment as a record has it, and another version: there is no endpoint here."""
        world: World = register.prepare()
        register.run(world)
        first = platform.model_store.get(world.caller.tenant, world.model_id)
        assert isinstance(first, Model)
        platform.model_store.create(replace(first, model_id=OTHER, version="2"))
        config = DeploymentConfig.model_validate({"environment": "staging"})
        deploying = platform.deployments.deploy(world.admin, world.model_id, config)
        world.deployment = settle(deploying)
        return world

    def settle(deployment: Deployment) -> Deployment:
        return platform.deployment_store.update(deployment, deployment.activated(on.clock()), on.clock())

    def there(world: World) -> Deployment:
        assert world.deployment is not None
        found = platform.deployment_store.get(world.caller.tenant, world.deployment.deployment_id)
        assert found is not None
        return found

    def rollout(world: World) -> Rollout:
        found = platform.rollout_store.get(world.caller.tenant, there(world).deployment_id, 1)
        assert found is not None
        return found

    def start(world: World) -> None:
        platform.rollouts.start(world.admin, there(world).deployment_id, request)

    def started() -> World:
        world = serving()
        start(world)
        return world

    turn = on.function(tasks.advance_rollout, lambda world: _event(there(world)))

    def begun() -> World:
        """At its first step, as the records have it."""
        world = started()
        turn(world)
        settle(there(world))
        before = rollout(world)
        now = on.clock()
        platform.deployment_store.write(platform.rollout_store.change(before, before.began_step(now, 0), now))
        return world

    def paused() -> World:
        world = begun()
        platform.rollouts.pause(world.admin, there(world).deployment_id, "1")
        return world

    def is_(status: RolloutStatus, action: Action, weights: dict[str, float] | None, revisions: int) -> Hold:
        """One rollout in this status; the deployment wants these weights, and the log says once who asked."""

        def hold(world: World) -> None:
            deployment, found = there(world), rollout(world)
            assert (found.status, deployment.rollout, deployment.rollouts) == (status, 1, 1)
            assert deployment.revisions == revisions
            assert (deployment.status is DeploymentStatus.DEPLOYING) is (weights is not None)
            if weights is not None:
                assert deployment.target.weights == weights
                assert found.revision == revisions
            assert on.actions(world, action) == 1

        return hold

    def by_hand(action: str) -> Callable[[World], None]:
        def run(world: World) -> None:
            getattr(platform.rollouts, action)(world.admin, there(world).deployment_id, "1")

        return run

    def begins_anew(world: World) -> None:
        is_(RolloutStatus.RUNNING, Action.START_ROLLOUT, None, 2)(world)
        assert rollout(world).passage is None

    running, back = RolloutStatus.RUNNING, RolloutStatus.ROLLING_BACK
    return [
        Handler("startRollout", serving, start, is_(running, Action.START_ROLLOUT, None, 1)),
        Handler("advance_rollout", started, turn, is_(running, Action.CHANGE_WEIGHTS, {"v1": 90, "v2": 10}, 2)),
        Handler("advance_rollout", begun, turn, begins_anew, about="endpoint gone"),
        Handler("pauseRollout", begun, by_hand("pause"), is_(RolloutStatus.PAUSED, Action.PAUSE_ROLLOUT, None, 2)),
        Handler("resumeRollout", paused, by_hand("resume"), is_(running, Action.RESUME_ROLLOUT, None, 2)),
        Handler("promoteRollout", begun, by_hand("promote"), is_(running, Action.PROMOTE_ROLLOUT, {"v2": 1}, 3)),
        Handler("abortRollout", begun, by_hand("abort"), is_(back, Action.ABORT_ROLLOUT, {"v1": 100, "v2": 0}, 3)),
    ]


Hold = Callable[[World], None]


def _event(deployment: Deployment) -> dict[str, Any]:
    return {"tenant": deployment.tenant, "deployment_id": deployment.deployment_id, "rollout": 1, "turns": 0}
