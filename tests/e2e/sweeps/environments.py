"""What environments ask for, and approvals."""

from __future__ import annotations

from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.environments.policy import ApprovalDecision
from chalicelib.environments.request import ApprovalRequest, EnvironmentPolicyRequest
from tests.e2e.sweeps import models
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World


def handlers(on: Services) -> list[Handler]:
    register = models.handlers(on)[0]
    environments = on.platform.environments

    def put(world: World) -> None:
        document: dict[str, Any] = {"approvals": {"approvers": [world.admin.user]}}
        environments.set(world.admin, "staging", EnvironmentPolicyRequest.model_validate(document))

    def clear(world: World) -> None:
        environments.clear(world.admin, "staging")

    def approve(world: World) -> None:
        environments.approve(world.admin, world.model_id, ApprovalRequest(environment="staging"))

    def with_policy() -> World:
        world = on.world()
        put(world)
        return world

    def registered() -> World:
        world: World = register.prepare()
        register.run(world)
        put(world)
        return world

    def is_set(world: World) -> None:
        assert environments.get(world.admin, "staging").approvers == (world.admin.user,)
        assert on.actions(world, Action.SET_ENVIRONMENT) >= 1

    def is_cleared(world: World) -> None:
        assert environments.get(world.admin, "staging").approvals == 0
        assert on.actions(world, Action.CLEAR_ENVIRONMENT) == 1

    def is_approved(world: World) -> None:
        (given,) = environments.approvals(world.admin, world.model_id)
        assert (given.user, given.decision) == (world.admin.user, ApprovalDecision.APPROVED)
        assert on.actions(world, Action.APPROVE_MODEL) >= 1

    return [
        Handler("setEnvironment", on.world, put, is_set),
        Handler("clearEnvironment", with_policy, clear, is_cleared),
        Handler("approveModel", registered, approve, is_approved),
    ]
