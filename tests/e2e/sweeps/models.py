"""Models: registered from outside, deprecated, deleted."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.audit.entry import Action
from chalicelib.errors import Conflict, NotFound
from chalicelib.models.model import ModelFilter, ModelStatus
from chalicelib.models.request import ModelRegistrationRequest
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World


def handlers(on: Services) -> list[Handler]:
    def uploaded() -> World:
        world = on.world()
        bucket = on.platform.settings.artifacts_bucket
        key = f"{world.caller.prefix}u/model.tar.gz"
        on.clients.s3.put_object(Bucket=bucket, Key=key, Body=b"a model")
        world.things["uri"] = f"s3://{bucket}/{key}"
        return world

    def register(world: World) -> None:
        values = {"name": "churn", "framework": "sklearn", "artifact_path": world.things["uri"], "version": "1"}
        try:
            model = on.platform.models.register(world.caller, ModelRegistrationRequest.model_validate(values))
        except Conflict:
            # The answer was lost and the version is there: that is what a caller who repeats it is told.
            (model,) = on.platform.model_store.search(world.caller.tenant, ModelFilter(), 10, 0, None).models
        world.model_id = model.model_id

    def one(status: ModelStatus, action: Action) -> Callable[[World], None]:
        def hold(world: World) -> None:
            page = on.platform.model_store.search(world.caller.tenant, ModelFilter(), 10, 0, None)
            assert [model.status for model in page.models] == [status]
            assert on.actions(world, action) == 1

        return hold

    def registered() -> World:
        world = uploaded()
        register(world)
        return world

    def delete(world: World) -> None:
        try:
            on.platform.models.delete(world.admin, world.model_id)
        except NotFound:
            return

    def deleted(world: World) -> None:
        assert on.platform.model_store.search(world.caller.tenant, ModelFilter(), 10, 0, None).models == ()
        assert on.actions(world, Action.DELETE_MODEL) == 1

    return [
        Handler(
            "registerExternalModel",
            uploaded,
            register,
            one(ModelStatus.READY, Action.REGISTER_EXTERNAL_MODEL),
        ),
        Handler(
            "changeModel",
            registered,
            lambda world: on.platform.models.deprecate(world.caller, world.model_id),
            one(ModelStatus.DEPRECATED, Action.CHANGE_MODEL),
        ),
        Handler("deleteModel", registered, delete, deleted),
    ]
