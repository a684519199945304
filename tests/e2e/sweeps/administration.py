"""Keys, limits, pools and uploads."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.api_keys.request import ApiKeyRequest
from chalicelib.audit.entry import Action
from chalicelib.capacity.request import PoolRequest
from chalicelib.errors import NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import DEFAULT_TENANT
from chalicelib.quotas.quota import Limits
from chalicelib.uploads.service import UploadRequest
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

POOL = "sagemaker/h100"
# Pools belong to the installation.
OPERATOR = Caller(DEFAULT_TENANT, "root", frozenset({"ADMIN"}))


def handlers(on: Services) -> list[Handler]:
    platform = on.platform

    def create_key(world: World) -> None:
        request = ApiKeyRequest.model_validate({"name": "ci", "scopes": ["jobs:read"]})
        world.things["key"] = platform.api_keys.create(world.caller, request).key.key_id

    def keys_are_told(world: World) -> None:
        """A key whose text was lost with its answer is there, unknown to anybody, and in the log like every other."""
        page = platform.api_keys.search(world.caller, None, 10, 0, None)
        assert world.things["key"] in [key.key_id for key in page.keys]
        assert on.actions(world, Action.CREATE_API_KEY) == len(page.keys) <= 2

    def with_key() -> World:
        world = on.world()
        create_key(world)
        return world

    def revoked(world: World) -> None:
        assert platform.api_keys.get(world.caller, world.things["key"]).revoked_at is not None
        assert on.actions(world, Action.REVOKE_API_KEY) == 1

    def set_limits(user: str | None) -> Callable[[World], object]:
        return lambda world: platform.accounts.set_limits(world.admin, user, Limits(max_concurrent_jobs=7))

    def limited(user: str | None, action: Action) -> Callable[[World], None]:
        def hold(world: World) -> None:
            account, _ = platform.accounts.account(world.admin, user)
            assert account.limits.max_concurrent_jobs == 7
            assert on.actions(world, action) >= 1

        return hold

    def set_pool(_: World) -> None:
        platform.pools.set_pool(OPERATOR, POOL, PoolRequest(limit=3))

    def with_pool() -> World:
        world = on.world()
        set_pool(world)
        return world

    def pool_is_set(_: World) -> None:
        assert platform.pools.pool(OPERATOR, POOL).limit == 3

    def remove_pool(_: World) -> None:
        try:
            platform.pools.remove_pool(OPERATOR, POOL)
        except NotFound:
            return

    def pool_is_gone(_: World) -> None:
        assert POOL not in [pool.name for pool in platform.pools.pools(OPERATOR) if pool.limit is not None]

    def upload(world: World) -> None:
        request = UploadRequest.model_validate({"files": [{"name": "train.py", "size": 9}]})
        world.things["upload"] = platform.uploads.create(world.caller, request)

    def uploads_are_told(world: World) -> None:
        assert world.things["upload"].targets[0].url.startswith("http")
        assert on.actions(world, Action.CREATE_UPLOAD) in {1, 2}

    return [
        Handler("createApiKey", on.world, create_key, keys_are_told),
        Handler(
            "revokeApiKey",
            with_key,
            lambda world: platform.api_keys.revoke(world.caller, world.things["key"]),
            revoked,
        ),
        Handler("setUserQuota", on.world, set_limits("bob"), limited("bob", Action.SET_USER_QUOTA)),
        Handler("setTenantQuota", on.world, set_limits(None), limited(None, Action.SET_TENANT_QUOTA)),
        Handler("setCapacityPool", on.world, set_pool, pool_is_set),
        Handler("removeCapacityPool", with_pool, remove_pool, pool_is_gone),
        Handler("createUpload", on.world, upload, uploads_are_told),
    ]


def tidy(on: Services) -> None:
    """Takes the limit away that the last point has set."""
    if any(pool.name == POOL for pool in on.platform.pools.pools(OPERATOR)):
        on.platform.pools.remove_pool(OPERATOR, POOL)
