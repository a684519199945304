"""The transforms room over the deployments room: the same moto, the same models, SageMaker's transform jobs in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.identity.caller import Caller
from chalicelib.models.model import Model
from chalicelib.objects import Listed, Stored
from chalicelib.reconciler.gateways import Driving, Execution
from chalicelib.reconciler.transforms import TransformRepairs
from chalicelib.transforms import tasks
from chalicelib.transforms.finishing import Finishing
from chalicelib.transforms.gateways import FoundJob
from chalicelib.transforms.planning import Planning
from chalicelib.transforms.request import TransformRequest
from chalicelib.transforms.service import TransformService
from chalicelib.transforms.store import TransformStore
from chalicelib.transforms.transform import Transform
from tests.functional.deployments.conftest import DEPLOYER, Deployments
from tests.functional.deployments.conftest import deployments as deployments
from tests.functional.deployments.conftest import dynamodb as dynamodb
from tests.functional.deployments.conftest import validate as validate
from tests.functional.deployments.fakes import FakeMachine

DATA = f"s3://artifacts/{DEPLOYER.prefix}rows/"


@dataclass
class FakeJobs:
    """SageMaker's transform jobs and the models that are made for them."""

    jobs: dict[str, FoundJob] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    stopped: list[str] = field(default_factory=list)
    now: Callable[[], datetime] = datetime.now

    def describe(self, name: str) -> FoundJob | None:
        return self.jobs.get(name)

    def stop(self, name: str) -> None:
        self.stopped.append(name)
        found = self.jobs.get(name)
        if found is not None and not found.is_over:
            self.jobs[name] = replace(found, status="Stopping")

    def delete_model(self, name: str) -> None:
        self.models.discard(name)

    def become(self, name: str, status: str, reason: str | None = None, seconds: float = 0) -> None:
        began = self.now()
        over = FoundJob(status).is_over
        self.jobs[name] = FoundJob(status, reason, began, began + timedelta(seconds=seconds) if over else None)


@dataclass
class FakeObjects:
    stored: dict[str, int] = field(default_factory=lambda: {f"{DEPLOYER.prefix}rows/a.csv": 10})
    bucket: str = "artifacts"

    def below(self, prefix: str, *, at_most: int) -> Stored:
        found = [size for key, size in self.stored.items() if key.startswith(prefix)]
        return Stored(len(found), sum(found))

    def page(self, prefix: str, limit: int, after: str | None) -> list[Listed]:
        keys = sorted(key for key in self.stored if key.startswith(prefix) and (after is None or key > after))
        return [Listed(key, self.stored[key]) for key in keys[:limit]]

    def presigned_get(self, key: str, seconds: int) -> str:
        return f"https://{self.bucket}/{key}?expires={seconds}"

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


@dataclass
class FakeExecutions:
    """What Step Functions says of each execution; one that it does not know is absent."""

    found: dict[str, Execution] = field(default_factory=dict)

    def of(self, name: str) -> Execution:
        return self.found.get(name, Execution(Driving.ABSENT))


@dataclass
class FakeMachines:
    executions: FakeExecutions
    machine: FakeMachine
    is_gone: bool = False

    def start(self, name: str, document: dict[str, Any]) -> bool:
        if not self.is_gone:
            self.machine.start(name, document)
        return not self.is_gone


@dataclass
class Transforms:
    room: Deployments
    store: TransformStore
    jobs: FakeJobs
    objects: FakeObjects
    machine: FakeMachine
    machines: FakeMachines
    planning: Planning
    finishing: Finishing
    service: TransformService
    repairs: TransformRepairs
    validate: Callable[[str, dict[str, Any]], None]

    def start(self, model: Model, caller: Caller = DEPLOYER, key: str | None = None, **asked: Any) -> Transform:
        request = TransformRequest.model_validate({"input": DATA, **asked})
        return self.service.start(caller, model.model_id, request, key)

    def begin(self, transform: Transform) -> dict[str, Any]:
        """The machine's states up to the job; what SageMaker would not take fails here."""
        plan = self.planning.plan(transform.tenant, transform.transform_id)
        if plan["next"] == "transform":
            self.validate("CreateModel", plan["model"])
            self.validate("CreateTransformJob", plan["job"])
            self.jobs.models.add(plan["model"]["ModelName"])
            self.jobs.become(plan["job"]["TransformJobName"], "InProgress")
        return plan

    def finish(self, transform: Transform, error: Any = None) -> Transform:
        platform: Any = SimpleNamespace(transform_finishing=self.finishing)
        event = {"tenant": transform.tenant, "transform_id": transform.transform_id, "error": error}
        tasks.finish_transform(platform, event)
        return self.get(transform)

    def get(self, transform: Transform) -> Transform:
        found = self.store.get(transform.tenant, transform.transform_id)
        assert found is not None
        return found


@pytest.fixture
def transforms(deployments: Deployments, validate: Callable[[str, dict[str, Any]], None]) -> Transforms:
    jobs: Any = FakeJobs(now=deployments.clock)
    objects: Any = FakeObjects()
    machine: Any = FakeMachine()
    machines: Any = FakeMachines(FakeExecutions(), machine)
    store = TransformStore(deployments.store.table)
    finishing = Finishing(store, deployments.models, jobs, deployments.clock)
    ids = iter(f"00000000-0000-4000-9000-{number:012d}" for number in range(1, 1000))
    return Transforms(
        room=deployments,
        store=store,
        jobs=jobs,
        objects=objects,
        machine=machine,
        machines=machines,
        planning=Planning(
            store=store,
            models=deployments.models,
            image_of=lambda framework, gpu: f"registry/{framework}:{'gpu' if gpu else 'cpu'}",
            role_of=lambda tenant: f"arn:aws:iam::123456789012:role/{tenant}",
            output_of=objects.uri,
            region="us-east-1",
            stack="ours",
        ),
        finishing=finishing,
        service=TransformService(
            store=store,
            models=deployments.models,
            objects=objects,
            jobs=jobs,
            machine=machine,
            now=deployments.clock,
            new_id=lambda: next(ids),
            audit=deployments.log.recorder,
        ),
        repairs=TransformRepairs(store, machines, jobs, finishing, deployments.clock),
        validate=validate,
    )
