"""Batch transforms, as far as they come without a job: what SageMaker does with one is not this service's call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.models.model import Model
from chalicelib.transforms import tasks
from chalicelib.transforms.request import TransformRequest
from chalicelib.transforms.transform import Transform, TransformStatus
from tests.e2e.sweeps import models
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

KEY = "the-key"


def handlers(on: Services) -> list[Handler]:
    register = models.handlers(on)[0]
    platform = on.platform

    def ready() -> World:
        world: World = register.prepare()
        register.run(world)
        return world

    def start(world: World) -> None:
        request = TransformRequest.model_validate({"input": world.request.config.dataset_path})
        platform.transforms.start(on_behalf(world), world.model_id, request, KEY)

    def started() -> World:
        world = ready()
        start(world)
        return world

    def there(world: World) -> Transform:
        (found,) = platform.transforms.search(world.admin, None, 10, 0, None).transforms
        again = platform.transform_store.get(found.tenant, found.transform_id)
        assert again is not None
        return again

    def model(world: World) -> Model:
        found = platform.model_store.get(world.caller.tenant, world.model_id)
        assert found is not None
        return found

    def is_(status: TransformStatus, action: Action) -> Callable[[World], None]:
        """One transform in this status, which holds its model while it is open; the log says once who asked."""

        def hold(world: World) -> None:
            transform = there(world)
            assert transform.status is status
            assert (transform.transform_id in model(world).uses) is status.is_open
            assert on.actions(world, action) == 1

        return hold

    def cancel(world: World) -> None:
        platform.transforms.cancel(on_behalf(world), there(world).transform_id)

    def event(world: World) -> dict[str, Any]:
        return {"tenant": world.caller.tenant, "transform_id": there(world).transform_id, "error": None}

    in_progress, asked = TransformStatus.IN_PROGRESS, Action.START_TRANSFORM
    plan, finish = on.function(tasks.plan_transform, event), on.function(tasks.finish_transform, event)
    return [
        Handler("startTransform", ready, start, is_(in_progress, asked)),
        Handler("cancelTransform", started, cancel, is_(TransformStatus.CANCELLING, Action.CANCEL_TRANSFORM)),
        Handler("plan_transform", started, plan, is_(in_progress, asked)),
        Handler("finish_transform", started, finish, is_(TransformStatus.FAILED, asked)),
    ]


def on_behalf(world: World) -> Any:
    """The user whose data it is, as one who may deploy too."""
    return replace(world.caller, roles=frozenset({"USER", "MODEL_DEPLOYER"}))
