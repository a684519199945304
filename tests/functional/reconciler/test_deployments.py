"""Deployments under the reconciler: nothing stands that nobody owns, and nothing is left that nobody drives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.gateways import Endpoint, EndpointState
from chalicelib.models.model import ModelStatus
from chalicelib.reconciler.deployments import DeploymentRepairs
from chalicelib.reconciler.gateways import Driving, Execution, Labels, Machines, Standing
from chalicelib.reconciler.repair import GRACE, Kind, Repair
from chalicelib.reconciler.rollouts import RolloutRepairs
from chalicelib.rollouts.store import RolloutStore
from tests.functional.deployments.conftest import DEPLOYER, Deployments
from tests.functional.deployments.fakes import FakeMachine

LATER = GRACE.total_seconds() + 1


@dataclass
class FakeExecutions:
    states: dict[str, Execution] = field(default_factory=dict)

    def of(self, name: str) -> Execution:
        return self.states.get(name, Execution(Driving.RUNNING))


@dataclass
class FakeStanding:
    """SageMaker's list, over the endpoints in memory.

    Attributes:
        changed: when an endpoint was changed from outside.
    """

    room: Deployments
    labelled: dict[str, Labels] = field(default_factory=dict)
    created_at: datetime | None = None
    changed: dict[str, datetime] = field(default_factory=dict)

    def all(self) -> Iterator[Standing]:
        created = self.created_at or self.room.clock.moment
        for name in self.room.sagemaker.endpoints:
            yield Standing(name, f"arn:{name}", created, self.changed.get(name, created))

    def labels(self, endpoint: Standing) -> Labels:
        return self.labelled.get(endpoint.name, Labels("ours", "acme", "some-deployment"))


@dataclass
class Room:
    deployments: Deployments
    deploy: FakeExecutions
    undeploy: FakeExecutions
    standing: FakeStanding
    repairs: DeploymentRepairs

    def sweep(self) -> list[Repair]:
        self.deployments.clock.moment += timedelta(seconds=LATER)
        endpoints = self.repairs.endpoints()
        live = list(self.repairs.live())
        done = [repair for each in live for repair in self.repairs.look_at(each, endpoints.get(each.endpoint))]
        for name in endpoints.keys() - {each.endpoint for each in live}:
            done += self.repairs.owned(endpoints[name])
        return done

    def kinds(self) -> list[Kind]:
        return [repair.kind for repair in self.sweep()]

    def deploying(self) -> Deployment:
        """Its execution has made the endpoint, which is still coming up."""
        deployment = self.deployments.deploy(self.deployments.model())
        plan = self.deployments.planning.plan("acme", deployment.deployment_id, 1)
        self.deployments.sagemaker.carry_out(plan)
        return deployment

    def ended(self, deployment: Deployment, execution: Execution) -> None:
        self.deploy.states[f"{deployment.deployment_id}-{deployment.target.number}"] = execution


@pytest.fixture
def room(deployments: Deployments) -> Room:
    deploy, undeploy, standing = FakeExecutions(), FakeExecutions(), FakeStanding(deployments)
    fakes: Any = (deploy, undeploy, standing)
    machine: Any = FakeMachine()
    repairs = DeploymentRepairs(
        store=deployments.store,
        deploy=Machines(deployments.deploy_machine, fakes[0]),  # type: ignore[arg-type]
        undeploy=Machines(deployments.undeploy_machine, fakes[1]),  # type: ignore[arg-type]
        finishing=deployments.finishing,
        describing=deployments.sagemaker,  # type: ignore[arg-type]
        scaling=deployments.scaling,
        standing=fakes[2],
        rollouts=RolloutRepairs(
            RolloutStore(deployments.store.table),
            deployments.store,
            Machines(machine, fakes[0]),
            deployments.clock,
        ),
        stack="ours",
        now=deployments.clock,
    )
    standing.created_at = deployments.clock.moment
    return Room(deployments, deploy, undeploy, standing, repairs)


class TestADeploymentOnItsWay:
    def test_that_is_driven_is_left_alone(self, room: Room) -> None:
        deployment = room.deploying()
        assert room.sweep() == []
        assert room.deployments.get(deployment) == deployment

    def test_whose_start_was_lost_is_started(self, room: Room) -> None:
        room.deployments.deploy_machine.lost = 1
        with pytest.raises(ConnectionError):
            room.deployments.deploy(room.deployments.model())
        (deployment,) = room.repairs.live()
        room.ended(deployment, Execution(Driving.ABSENT))
        assert room.kinds() == [Kind.STARTED]
        assert room.deployments.drive(deployment).status is DeploymentStatus.ACTIVE

    def test_whose_execution_was_aborted_settles_once_its_endpoint_has(self, room: Room) -> None:
        deployment = room.deploying()
        room.ended(deployment, Execution(Driving.ABORTED, "Operator: tidying"))
        assert room.kinds() == [Kind.STOPPING]
        room.deployments.sagemaker.settle(deployment.endpoint)
        (repair,) = room.sweep()
        assert repair.kind is Kind.FINISHED
        assert repair.subject == f"deployment/{deployment.deployment_id}"
        settled = room.deployments.get(deployment)
        assert settled.status is DeploymentStatus.FAILED
        assert settled.failure_reason == "The state machine's execution was aborted: Operator: tidying"
        assert room.deployments.sagemaker.deleted == [deployment.endpoint]
        assert room.sweep() == []

    def test_whose_update_was_aborted_goes_back_to_the_revision_before(self, room: Room) -> None:
        active = room.deployments.active(room.deployments.model())
        updated = room.deployments.deploy(room.deployments.model("2"))
        room.deployments.sagemaker.carry_out(room.deployments.planning.plan("acme", active.deployment_id, 2))
        room.deployments.sagemaker.settle(active.endpoint)
        room.ended(updated, Execution(Driving.TIMED_OUT))
        assert room.kinds() == [Kind.STOPPING]
        room.deployments.sagemaker.settle(active.endpoint)
        assert room.kinds() == [Kind.FINISHED]
        kept = room.deployments.get(active)
        assert (kept.status, kept.active) == (DeploymentStatus.ACTIVE, active.active)
        assert kept.last_failure is not None
        assert room.deployments.sagemaker.describe(active.endpoint).config == f"{active.endpoint}-1"


class TestADeploymentThatIsTakenDown:
    def _inactive(self, room: Room) -> Deployment:
        active = room.deployments.active(room.deployments.model())
        return room.deployments.service.undeploy(DEPLOYER, active.deployment_id)

    def test_whose_start_was_lost_is_started(self, room: Room) -> None:
        active = room.deployments.active(room.deployments.model())
        room.deployments.undeploy_machine.lost = 1
        with pytest.raises(ConnectionError):
            room.deployments.service.undeploy(DEPLOYER, active.deployment_id)
        name = f"{active.deployment_id}-undeploy-1"
        room.undeploy.states[name] = Execution(Driving.ABSENT)
        assert room.kinds() == [Kind.STARTED]
        assert name in room.deployments.undeploy_machine.started

    def test_whose_execution_ended_is_taken_down_all_the_same(self, room: Room) -> None:
        inactive = self._inactive(room)
        room.undeploy.states[f"{inactive.deployment_id}-undeploy-1"] = Execution(Driving.FAILED, "States.Runtime")
        assert room.kinds() == [Kind.STOPPING]
        assert room.deployments.sagemaker.deleted == [inactive.endpoint]
        assert room.kinds() == [Kind.FINISHED]
        assert room.deployments.get(inactive).status is DeploymentStatus.TERMINATED
        assert room.deployments.sagemaker.configs == {}
        assert room.deployments.sagemaker.models == {}
        assert room.sweep() == []


class TestAnActiveDeployment:
    def test_whose_endpoint_is_gone_has_failed_and_frees_its_model(self, room: Room) -> None:
        model = room.deployments.model()
        active = room.deployments.active(model)
        assert room.sweep() == []
        room.deployments.sagemaker.delete(active.endpoint)
        assert room.kinds() == [Kind.LOST]
        lost = room.deployments.get(active)
        assert lost.status is DeploymentStatus.FAILED
        assert "deleted from outside" in (lost.failure_reason or "")
        assert room.deployments.again(model).status is ModelStatus.READY
        assert room.sweep() == []

    def test_whose_endpoint_was_changed_from_outside_is_changed_back(self, room: Room) -> None:
        active = room.deployments.active(room.deployments.model())
        sagemaker = room.deployments.sagemaker
        sagemaker.configs["somebody-elses"] = {}
        sagemaker.endpoints[active.endpoint] = Endpoint(EndpointState.IN_SERVICE, "somebody-elses")
        room.standing.changed[active.endpoint] = room.deployments.clock()
        assert room.kinds() == [Kind.WENT_BACK]
        sagemaker.settle(active.endpoint)
        assert sagemaker.describe(active.endpoint).config == f"{active.endpoint}-1"
        assert room.sweep() == []

    def test_whose_auto_scaling_was_taken_away_gets_it_back(self, room: Room) -> None:
        policy = {"min_replicas": 1, "max_replicas": 4}
        active = room.deployments.active(room.deployments.model(), scaling_policy=policy)
        room.standing.changed[active.endpoint] = room.deployments.clock()
        assert room.sweep() == []
        resource = f"endpoint/{active.endpoint}/variant/v1"
        del room.deployments.auto_scaling.policies[resource]["cpu"]
        assert room.kinds() == [Kind.WENT_BACK]
        assert set(room.deployments.auto_scaling.policies[resource]) == {"cpu", "memory", "queue"}
        assert room.sweep() == []


class TestAnEndpoint:
    def test_of_nobody_is_deleted_and_its_seconds_are_counted(self, room: Room) -> None:
        room.deployments.sagemaker.endpoints["aimatrix-stray"] = Endpoint(EndpointState.IN_SERVICE, "c")
        (repair,) = room.sweep()
        assert (repair.kind, repair.subject) == (Kind.DELETED_ORPHAN, "deployment/some-deployment")
        assert repair.orphan_seconds >= LATER
        assert room.deployments.sagemaker.endpoints == {}

    def test_of_a_deployment_that_has_ended_is_deleted(self, room: Room) -> None:
        deployment = room.deploying()
        room.deployments.sagemaker.broken.add(f"{deployment.endpoint}-1")
        room.deployments.sagemaker.settle(deployment.endpoint)
        room.deployments.finishing.finish("acme", deployment.deployment_id, 1, "it broke")
        room.deployments.sagemaker.endpoints[deployment.endpoint] = Endpoint(EndpointState.IN_SERVICE, "c")
        assert room.kinds() == [Kind.DELETED_ORPHAN]

    def test_that_is_still_coming_up_waits_for_the_next_sweep(self, room: Room) -> None:
        room.deployments.sagemaker.endpoints["aimatrix-stray"] = Endpoint(EndpointState.CHANGING, "c")
        assert room.sweep() == []
        room.deployments.sagemaker.settle("aimatrix-stray")
        assert room.kinds() == [Kind.DELETED_ORPHAN]

    @pytest.mark.parametrize(
        "labels", [Labels("another-stack", "acme", "d"), Labels(None, None), Labels("ours", "acme", None)]
    )
    def test_of_somebody_else_is_none_of_our_business(self, room: Room, labels: Labels) -> None:
        room.deployments.sagemaker.endpoints["aimatrix-stray"] = Endpoint(EndpointState.IN_SERVICE, "c")
        room.standing.labelled["aimatrix-stray"] = labels
        assert room.sweep() == []

    def test_since_a_moment_ago_is_left_alone(self, room: Room) -> None:
        room.deployments.sagemaker.endpoints["aimatrix-new"] = Endpoint(EndpointState.IN_SERVICE, "c")
        room.repairs = replace(room.repairs, now=lambda: room.standing.created_at or room.deployments.clock.moment)
        assert room.sweep() == []
