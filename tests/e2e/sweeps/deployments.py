"""Deployments, as far as they come without an endpoint: what SageMaker does behind one is not this service's call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.captures.request import DataCaptureRequest
from chalicelib.deployments import tasks
from chalicelib.deployments.deployment import DataCapture, Deployment, DeploymentFilter, DeploymentStatus, Variant
from chalicelib.deployments.request import DeploymentConfig, RollbackRequest, WeightsRequest
from chalicelib.models.model import ModelFilter, ModelStatus
from tests.e2e.sweeps import models
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

OTHER = "00000000-0000-4000-8000-000000000002"


def handlers(on: Services) -> list[Handler]:
    register = models.handlers(on)[0]
    config = DeploymentConfig.model_validate({"environment": "staging"})

    def registered() -> World:
        world: World = register.prepare()
        register.run(world)
        return world

    def deploy(world: World) -> None:
        world.deployment = on.platform.deployments.deploy(world.admin, world.model_id, config)

    def deploying() -> World:
        world = registered()
        deploy(world)
        return world

    def finish(world: World) -> None:
        deployment = _deployment(world)
        on.platform.deployment_finishing.finish(deployment.tenant, deployment.deployment_id, 1, "no capacity")

    def failed() -> World:
        world = deploying()
        finish(world)
        return world

    def undeploy(world: World) -> None:
        on.platform.deployments.undeploy(world.admin, _deployment(world).deployment_id)

    def inactive() -> World:
        world = failed()
        undeploy(world)
        return world

    def waiting() -> World:
        world = deploying()
        on.platform.deployment_store.put_waiter(_deployment(world), 1, "nobody-waits")
        return world

    def is_(status: DeploymentStatus, action: Action, times: int = 1) -> Callable[[World], None]:
        """One deployment in this status, its model free if nothing wants it, and the log says who asked."""

        def hold(world: World) -> None:
            tenant = world.caller.tenant
            page = on.platform.deployment_store.search(tenant, DeploymentFilter(), 10, 0, None)
            assert [each.status for each in page.deployments] == [status]
            (model,) = on.platform.model_store.search(tenant, ModelFilter(), 10, 0, None).models
            assert model.status is ModelStatus.READY
            assert bool(model.uses) is (status is DeploymentStatus.DEPLOYING)
            assert on.actions(world, action) == times

        return hold

    def serving() -> World:
        """Two versions, as a record has them: there is no endpoint here."""
        world = deploying()
        before = _deployment(world)
        other = Variant("v2", OTHER, "2")
        target = replace(before.target, variants=(*before.target.variants, other))
        active = replace(before, target=target).activated(on.clock())
        world.deployment = on.platform.deployment_store.update(before, active, on.clock())
        return world

    def weigh(world: World) -> None:
        wanted = [{"model_id": world.model_id, "weight": 1}, {"model_id": OTHER, "weight": 3}]
        request = WeightsRequest.model_validate({"variants": wanted})
        on.platform.deployments.reweigh(world.admin, _deployment(world).deployment_id, request)

    def weighed(world: World) -> None:
        deployment = on.platform.deployment_store.get(world.caller.tenant, _deployment(world).deployment_id)
        assert deployment is not None
        assert (deployment.status, deployment.revisions) == (DeploymentStatus.DEPLOYING, 2)
        assert deployment.target.weights == {"v1": 1, "v2": 3}
        assert on.actions(world, Action.CHANGE_WEIGHTS) == 1

    def replaced() -> World:
        """A deployment that failed after it had served: its first revision is there to come back."""
        world = deploying()
        before = _deployment(world)
        settled = before.activated(on.clock())
        past = on.platform.revision_history.settled(before, settled, on.clock())
        before = on.platform.deployment_store.update(before, settled, on.clock(), past)
        world.deployment = on.platform.deployment_store.update(before, before.failed("it was lost"), on.clock())
        return world

    def roll_back(world: World) -> None:
        request = RollbackRequest(revision=1)
        on.platform.rolling_back.roll_back(world.admin, _deployment(world).deployment_id, request)

    def rolled_back(world: World) -> None:
        deployment = on.platform.deployment_store.get(world.caller.tenant, _deployment(world).deployment_id)
        assert deployment is not None
        assert (deployment.status, deployment.revisions) == (DeploymentStatus.DEPLOYING, 2)
        assert deployment.target.model_id == world.model_id
        assert on.actions(world, Action.ROLL_BACK_DEPLOYMENT) == 1

    def capture(world: World) -> None:
        request = DataCaptureRequest(percentage=10, redact=["email"])
        on.platform.captures.set(world.admin, _deployment(world).deployment_id, request)

    def capturing() -> World:
        world = serving()
        capture(world)
        return world

    def end_capture(world: World) -> None:
        on.platform.captures.end(world.admin, _deployment(world).deployment_id)

    def captures(wanted: DataCapture | None, action: Action) -> Callable[[World], None]:
        def hold(world: World) -> None:
            deployment = on.platform.deployment_store.get(world.caller.tenant, _deployment(world).deployment_id)
            assert deployment is not None
            assert deployment.capture == wanted
            assert on.actions(world, action) == 1

        return hold

    def answered(world: World) -> None:
        waiter = on.platform.deployment_store.waiter(_deployment(world))
        assert waiter is not None
        assert waiter.is_answered

    call = on.function
    on_its_way = is_(DeploymentStatus.DEPLOYING, Action.DEPLOY_MODEL)
    return [
        Handler("deployModel", registered, deploy, on_its_way),
        Handler("changeWeights", serving, weigh, weighed),
        Handler("setDataCapture", serving, capture, captures(DataCapture(10, ("email",)), Action.SET_DATA_CAPTURE)),
        Handler("endDataCapture", capturing, end_capture, captures(None, Action.END_DATA_CAPTURE)),
        Handler("rollBackDeployment", replaced, roll_back, rolled_back),
        Handler("deleteDeployment", failed, undeploy, is_(DeploymentStatus.INACTIVE, Action.DELETE_DEPLOYMENT)),
        Handler("plan_deployment", deploying, call(tasks.plan_deployment, _revision), on_its_way),
        Handler("await_endpoint", deploying, call(tasks.await_endpoint, _waiter), answered),
        Handler("on_endpoint_event", waiting, call(tasks.on_endpoint_event, _endpoint_event), answered),
        Handler("smoke_test", deploying, call(tasks.smoke_test, _revision), on_its_way),
        Handler(
            "finish_deployment",
            deploying,
            call(tasks.finish_deployment, lambda world: {**_revision(world), "error": {"Error": "E", "Cause": "no"}}),
            is_(DeploymentStatus.FAILED, Action.DEPLOY_MODEL),
        ),
        Handler(
            "finish_deployment",
            inactive,
            call(tasks.finish_deployment, lambda world: {**_revision(world), "action": "undeploy"}),
            is_(DeploymentStatus.TERMINATED, Action.DELETE_DEPLOYMENT),
            about="taken down",
        ),
    ]


def _deployment(world: World) -> Deployment:
    assert world.deployment is not None
    return world.deployment


def _revision(world: World) -> dict[str, Any]:
    deployment = _deployment(world)
    return {"tenant": deployment.tenant, "deployment_id": deployment.deployment_id, "revision": 1}


def _waiter(world: World) -> dict[str, Any]:
    return {**_revision(world), "token": "nobody-waits"}


def _endpoint_event(world: World) -> dict[str, Any]:
    return {"detail": {"EndpointName": _deployment(world).endpoint}}
