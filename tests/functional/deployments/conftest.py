"""The deployments room on moto's DynamoDB, with SageMaker in memory and the state machine's steps as calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws

from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.finishing import Finishing
from chalicelib.deployments.gateways import ABSENT, Endpoint, EndpointState
from chalicelib.deployments.invocations import Answer, Invocation, Invocations
from chalicelib.deployments.plan import Surroundings
from chalicelib.deployments.planning import Planning
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.deployments.service import DeploymentService
from chalicelib.deployments.smoke import SmokeTest
from chalicelib.deployments.store import DeploymentStore
from chalicelib.deployments.tasks import error_text
from chalicelib.deployments.waiting import Waiting
from chalicelib.identity.caller import Caller
from chalicelib.models.model import Archive, Model, ModelStatus
from chalicelib.models.store import ModelStore
from chalicelib.table import Table
from tests.functional.models.conftest import Ticking
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DEPLOYER = Caller("acme", "dora", frozenset({"MODEL_DEPLOYER"}))
USER = Caller("acme", "alice", frozenset({"USER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
STRANGER = Caller("umbrella", "dora", frozenset({"ADMIN"}))

EXAMPLE = {"inputs": [[1.0, 2.0], [3.0, 4.0]]}


@dataclass
class FakeMachine:
    """Remembers what was started, each name once; can lose a call, as a network does."""

    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: int = 0

    def start(self, name: str, document: dict[str, Any]) -> None:
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the call was lost")
        self.started.setdefault(name, document)


@dataclass
class FakeWaiters:
    """Step Functions' tokens: each takes one answer."""

    answers: dict[str, tuple[str, str]] = field(default_factory=dict)

    def succeed(self, token: str, result: dict[str, Any]) -> None:
        self.answers.setdefault(token, ("succeeded", ""))

    def fail(self, token: str, error_name: str, cause: str) -> None:
        self.answers.setdefault(token, (error_name, cause))


@dataclass
class FakeSageMaker:
    """Endpoints that change in two steps, as SageMaker's do; what is created is checked by botocore's own model.

    Attributes:
        broken: configurations whose containers never come up.
    """

    validate: Callable[[str, dict[str, Any]], None]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)

    def carry_out(self, plan: dict[str, Any]) -> None:
        """What the machine's states do with a plan."""
        self.validate("CreateModel", plan["model"])
        self.validate("CreateEndpointConfig", plan["config"])
        name = plan["model"]["ModelName"]
        assert name not in self.models, "SageMaker refuses to create a model twice"
        assert plan["config"]["EndpointConfigName"] not in self.configs, "and a configuration"
        self.models[name] = plan["model"]
        self.configs[name] = plan["config"]
        endpoint, config = plan["endpoint"]["EndpointName"], plan["endpoint"]["EndpointConfigName"]
        if plan["next"] == "create":
            self.validate("CreateEndpoint", plan["endpoint"])
            assert endpoint not in self.endpoints, "SageMaker refuses to create an endpoint twice"
            self.endpoints[endpoint] = Endpoint(EndpointState.CHANGING, config)
        else:
            self.validate(
                "UpdateEndpoint", {key: plan["endpoint"][key] for key in ("EndpointName", "EndpointConfigName")}
            )
            self.go_back(endpoint, config)

    def settle(self, name: str) -> None:
        """The containers are up, or are not."""
        found = self.endpoints[name]
        wanted = found.coming or found.config
        if wanted not in self.broken:
            self.endpoints[name] = Endpoint(EndpointState.IN_SERVICE, wanted)
        elif found.coming:
            self.endpoints[name] = Endpoint(EndpointState.IN_SERVICE, found.config)
        else:
            self.endpoints[name] = Endpoint(
                EndpointState.FAILED, found.config, reason="The container did not pass the ping."
            )

    def describe(self, name: str) -> Endpoint:
        return self.endpoints.get(name, ABSENT)

    def go_back(self, name: str, config: str) -> None:
        found = self.endpoints[name]
        assert found.state is EndpointState.IN_SERVICE, "SageMaker updates only what is in service"
        assert config in self.configs
        self.endpoints[name] = Endpoint(EndpointState.CHANGING, found.config, config)

    def delete(self, name: str) -> None:
        if self.endpoints.pop(name, None):
            self.deleted.append(name)

    def delete_revision(self, resource: str) -> None:
        self.configs.pop(resource, None)
        self.models.pop(resource, None)


@dataclass
class FakeEndpointRuntime:
    """Containers that answer what the test puts here, in order; the last answer stays."""

    answers: list[Answer | Exception] = field(
        default_factory=lambda: [Answer(b'{"predictions": [0, 1]}', "application/json", "v1")]
    )
    invocations: list[tuple[str, Invocation]] = field(default_factory=list)

    def invoke(self, endpoint: str, invocation: Invocation) -> Answer:
        self.invocations.append((endpoint, invocation))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


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
    waiters: FakeWaiters
    runtime: FakeEndpointRuntime
    service: DeploymentService
    invocations: Invocations
    planning: Planning
    waiting: Waiting
    smoke: SmokeTest
    finishing: Finishing
    pauses: list[float]
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
            plan = self._repeated(lambda: self.planning.plan(tenant, key, number))
            if plan["next"] in {"create", "update"}:
                self.sagemaker.carry_out(plan)
            if plan["next"] != "finish":
                error = self._await(deployment, number)
            if error is None and plan["next"] != "finish":
                self._repeated(lambda: self.smoke.run(tenant, key, number))
        except Exception as caught:  # noqa: BLE001  the machine catches States.ALL
            error = {"Error": type(caught).__name__, "Cause": f'{{"errorMessage": "{caught}"}}'}
        self._repeated(lambda: self.finishing.finish(tenant, key, number, error_text(error)))
        return self.get(deployment)

    def take_down(self, deployment: Deployment, *, delete: bool = True) -> Deployment:
        """Run the machine `undeploy_model`."""
        tenant, key = deployment.tenant, deployment.deployment_id
        plan = self._repeated(lambda: self.planning.plan_undeploy(tenant, key))
        error = None if delete else {"Error": "SageMaker.SageMakerException", "Cause": "Rate exceeded"}
        if plan["next"] == "delete" and delete:
            self.sagemaker.delete(plan["endpoint_name"])
            for name in plan["endpoint_config_names"]:
                self.sagemaker.delete_revision(name)
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
        ids = (f"00000000-0000-4000-8000-{number:012d}" for number in count(1))
        yield Deployments(
            clock=clock,
            store=store,
            models=models,
            deploy_machine=deploy,
            undeploy_machine=undeploy,
            sagemaker=sagemaker,
            waiters=waiters,
            runtime=runtime,
            service=DeploymentService(store, models, deploy, undeploy, clock, lambda: next(ids)),
            invocations=Invocations(store, runtime),
            planning=Planning(
                store=store,
                models=models,
                endpoints=sagemaker,
                image_of=lambda framework, gpu: f"registry/{framework}:{'gpu' if gpu else 'cpu'}",
                around=lambda: Surroundings("arn:aws:iam::123456789012:role/serving", "us-east-1"),
            ),
            waiting=Waiting(store, sagemaker, waiters),
            smoke=SmokeTest(store, models, runtime, pauses.append, clock),
            finishing=Finishing(store, models, sagemaker, clock),
            pauses=pauses,
        )


def _client(service: Any) -> Any:
    with mock_aws():
        return boto3.client(service, "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
