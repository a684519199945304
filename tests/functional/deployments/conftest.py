"""The deployments room on moto's DynamoDB, with SageMaker in memory and the state machine's steps as calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws

from chalicelib.captures.capturing import Capturing
from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.finishing import Finishing
from chalicelib.deployments.history import RevisionHistory
from chalicelib.deployments.invocations import Invocations
from chalicelib.deployments.plan import Surroundings
from chalicelib.deployments.planning import EndpointBusy, Planning
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.deployments.revising import Revising
from chalicelib.deployments.rolling_back import RollingBack
from chalicelib.deployments.scaling import Scaling
from chalicelib.deployments.scaling_report import ScalingReport
from chalicelib.deployments.service import DeploymentService
from chalicelib.deployments.smoke import SmokeTest
from chalicelib.deployments.store import DeploymentStore
from chalicelib.deployments.tasks import error_text
from chalicelib.deployments.waiting import Waiting
from chalicelib.deployments.weighing import Weighing
from chalicelib.environments.guard import EnvironmentGuard
from chalicelib.environments.service import EnvironmentService
from chalicelib.environments.store import ApprovalStore, EnvironmentStore
from chalicelib.identity.caller import Caller
from chalicelib.models.model import Archive, Model, ModelStatus
from chalicelib.models.store import ModelStore
from chalicelib.table import Table
from tests.functional.audit_log import AuditLog
from tests.functional.deployments.fakes import (
    FakeAutoScaling,
    FakeEndpointRuntime,
    FakeExposures,
    FakeMachine,
    FakeSageMaker,
    FakeWaiters,
)
from tests.functional.models.conftest import Ticking
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DEPLOYER = Caller("acme", "dora", frozenset({"MODEL_DEPLOYER"}))
USER = Caller("acme", "alice", frozenset({"USER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
STRANGER = Caller("umbrella", "dora", frozenset({"ADMIN"}))

NOWHERE: Any = None
"""Where nothing is captured to: no deployment of these tests is."""
EXAMPLE = {"inputs": [[1.0, 2.0], [3.0, 4.0]]}


@dataclass
class Deployments:
    """Everything of the room, over one clock.

    Attributes:
        times: how often each step of the machine is called, as a repeated task does.
    """

    clock: Ticking
    store: DeploymentStore
    models: ModelStore
    deploy_machine: FakeMachine
    undeploy_machine: FakeMachine
    sagemaker: FakeSageMaker
    exposures: FakeExposures
    auto_scaling: FakeAutoScaling
    scaling: Scaling
    scaling_report: ScalingReport
    waiters: FakeWaiters
    runtime: FakeEndpointRuntime
    revising: Revising
    environments: EnvironmentService
    guard: EnvironmentGuard
    rolling_back: RollingBack
    weighing: Weighing
    service: DeploymentService
    invocations: Invocations
    planning: Planning
    waiting: Waiting
    smoke: SmokeTest
    finishing: Finishing
    pauses: list[float]
    log: AuditLog
    times: int = 1

    def model(self, version: str = "1", **changes: Any) -> Model:
        values: dict[str, Any] = {
            "tenant": "acme",
            "model_id": f"model-{changes.get('name', 'churn')}-{version}",
            "user": "alice",
            "name": "churn",
            "version": version,
            "framework": "sklearn",
            "archive": Archive("s3://artifacts/tenants/acme/jobs/j/attempt-1/model.tar.gz", 9, "a" * 64),
            "created_at": self.clock(),
            "updated_at": self.clock(),
            "kind": "sklearn",
            "servable": True,
            "status": ModelStatus.READY,
            "input_example": EXAMPLE,
            **changes,
        }
        return self.models.create(Model(**values))

    def deploy(self, model: Model, caller: Caller = DEPLOYER, **config: Any) -> Deployment:
        document = {"environment": "staging", **config}
        return self.service.deploy(caller, model.model_id, DeploymentConfig.model_validate(document))

    def drive(self, deployment: Deployment) -> Deployment:
        """Run the machine `deploy_model` over the deployment's target, and come back with the record."""
        tenant, key, number = deployment.tenant, deployment.deployment_id, deployment.target.number
        assert self.deploy_machine.started[f"{key}-{number}"] == {
            "tenant": tenant,
            "deployment_id": key,
            "revision": number,
        }
        error: Any = None
        try:
            plan = self._repeated(lambda: self._plan(deployment, number))
            if plan["next"] in {"create", "update"}:
                self.sagemaker.carry_out(plan)
            if plan["next"] != "finish":
                error = self._await(deployment, number)
            if error is None and plan["next"] != "finish":
                self._repeated(lambda: self.smoke.run(tenant, key, number))
        except Exception as caught:  # noqa: BLE001  the machine catches States.ALL
            error = {"Error": type(caught).__name__, "Cause": f'{{"errorMessage": "{caught}"}}'}
        self._repeated(lambda: self._finish(deployment, number, error_text(error)))
        return self.get(deployment)

    def _plan(self, deployment: Deployment, number: int) -> Any:
        """The machine's first state, which waits for an endpoint that goes to other weights; a busy one fails the test."""
        try:
            return self.planning.plan(deployment.tenant, deployment.deployment_id, number)
        except EndpointBusy:
            if deployment.target.base is None:
                raise
            self.sagemaker.settle(deployment.endpoint)
            return self.planning.plan(deployment.tenant, deployment.deployment_id, number)

    def _finish(self, deployment: Deployment, number: int, error: str | None) -> None:
        """The machine's last state, which is repeated while the endpoint changes."""
        while True:
            try:
                self.finishing.finish(deployment.tenant, deployment.deployment_id, number, error)
            except EndpointBusy:
                self.sagemaker.settle(deployment.endpoint)
            else:
                return

    def take_down(self, deployment: Deployment, *, delete: bool = True) -> Deployment:
        """Run the machine `undeploy_model`."""
        tenant, key = deployment.tenant, deployment.deployment_id
        plan = self._repeated(lambda: self.planning.plan_undeploy(tenant, key))
        error = None if delete else {"Error": "SageMaker.SageMakerException", "Cause": "Rate exceeded"}
        if plan["next"] == "delete" and delete:
            self.sagemaker.delete(plan["endpoint_name"])
            for name in plan["endpoint_config_names"]:
                self.sagemaker.configs.pop(name, None)
            for name in plan["model_names"]:
                self.sagemaker.models.pop(name, None)
        self._repeated(lambda: self.finishing.finish_undeploy(tenant, key, error_text(error)))
        return self.get(deployment)

    def active(self, model: Model, **config: Any) -> Deployment:
        return self.drive(self.deploy(model, **config))

    def get(self, deployment: Deployment) -> Deployment:
        found = self.store.get(deployment.tenant, deployment.deployment_id)
        assert found is not None
        return found

    def again(self, model: Model) -> Model:
        found = self.models.get(model.tenant, model.model_id)
        assert found is not None
        return found

    def _await(self, deployment: Deployment, number: int) -> Any:
        token = f"token-of-{deployment.deployment_id}-{number}"
        for _ in range(self.times):
            self.waiting.begin(deployment.tenant, deployment.deployment_id, number, token)
        if token not in self.waiters.answers:
            self.sagemaker.settle(deployment.endpoint)
            for _ in range(self.times):
                self.waiting.look(deployment.endpoint)
        name, cause = self.waiters.answers[token]
        return None if name == "succeeded" else {"Error": name, "Cause": cause}

    def _repeated(self, step: Callable[[], Any]) -> Any:
        return [step() for _ in range(self.times)][-1]


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    client: DynamoDBClient = _client("dynamodb")
    return client


@pytest.fixture(scope="session")
def validate() -> Callable[[str, dict[str, Any]], None]:
    """Checks a request by botocore's own model of SageMaker."""
    service = _client("sagemaker").meta.service_model

    def check(operation: str, arguments: dict[str, Any]) -> None:
        report = ParamValidator().validate(arguments, service.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()

    return check


@pytest.fixture
def deployments(dynamodb: DynamoDBClient, validate: Callable[[str, dict[str, Any]], None]) -> Iterator[Deployments]:
    with mock_aws():
        store = DeploymentStore(Table(dynamodb, create_table(dynamodb, "deployments")))
        models = ModelStore(Table(dynamodb, create_table(dynamodb, "models")))
        clock = Ticking()
        deploy: Any = FakeMachine()
        undeploy: Any = FakeMachine()
        sagemaker: Any = FakeSageMaker(validate)
        waiters: Any = FakeWaiters()
        runtime: Any = FakeEndpointRuntime()
        pauses: list[float] = []
        log = AuditLog.create(dynamodb, clock)
        revising = Revising(store, models, deploy, clock)
        auto_scaling: Any = FakeAutoScaling()
        scaling = Scaling(auto_scaling)
        exposures = FakeExposures()
        history = RevisionHistory(store.table)
        guard = EnvironmentGuard(EnvironmentStore(store.table), ApprovalStore(models.table), clock)
        weighing = Weighing(revising, guard, log.recorder)
        ids = (f"00000000-0000-4000-8000-{number:012d}" for number in count(1))
        yield Deployments(
            clock=clock,
            store=store,
            models=models,
            deploy_machine=deploy,
            undeploy_machine=undeploy,
            sagemaker=sagemaker,
            exposures=exposures,
            auto_scaling=auto_scaling,
            scaling=scaling,
            scaling_report=ScalingReport(store, sagemaker, scaling),
            waiters=waiters,
            runtime=runtime,
            revising=revising,
            environments=EnvironmentService(guard.policies, guard.approvals, models, clock, log.recorder),
            guard=guard,
            rolling_back=RollingBack(store, history, revising, guard, log.recorder),
            weighing=weighing,
            service=DeploymentService(
                store, models, revising, weighing, guard, undeploy, clock, lambda: next(ids), log.recorder
            ),
            invocations=Invocations(
                store, runtime, Capturing(NOWHERE, clock, lambda: next(ids), lambda *_: 100.0), exposures
            ),
            planning=Planning(
                store=store,
                models=models,
                endpoints=sagemaker,
                scaling=scaling,
                image_of=lambda framework, gpu: f"registry/{framework}:{'gpu' if gpu else 'cpu'}",
                around=lambda tenant: Surroundings(f"arn:aws:iam::123456789012:role/{tenant}", "us-east-1", "ours"),
            ),
            waiting=Waiting(store, sagemaker, waiters),
            smoke=SmokeTest(store, models, runtime, pauses.append, clock),
            finishing=Finishing(store, models, sagemaker, scaling, history, clock),
            pauses=pauses,
            log=log,
        )


def _client(service: Any) -> Any:
    with mock_aws():
        return boto3.client(service, "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
