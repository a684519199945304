"""The retraining room over the room of jobs: moto's DynamoDB and a versioned bucket; S3 tells what the test puts there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from chalicelib.auto_deployment.policy import Policy
from chalicelib.events.store import DeadLetterStore
from chalicelib.events.undelivered import Undelivered
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.life import Ended, ModelRegistered
from chalicelib.models.model import Archive, AutoDeployment, Model, ModelStatus
from chalicelib.models.store import ModelStore
from chalicelib.quotas.quota import Amounts
from chalicelib.retraining.collecting import Collecting
from chalicelib.retraining.ending import Ending
from chalicelib.retraining.gateways import Data, Look
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.request import RetrainingPolicyRequest
from chalicelib.retraining.routes import rooms
from chalicelib.retraining.run import Run
from chalicelib.retraining.service import RetrainingService
from chalicelib.retraining.starting import Starting
from chalicelib.retraining.store import RetrainingStore
from chalicelib.retraining.tasks import retrain
from chalicelib.table import Table
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs
from tests.functional.jobs.conftest import jobs as jobs
from tests.functional.rest import Gateway
from tests.functional.tables import create_table

PREFIX = f"s3://{BUCKET}/{ALICE.prefix}data/"
ROWS = b"age,churned\n30,0\n41,1\n"


@dataclass
class FakeLooks:
    """The queue's delayed messages; can lose the next one, as a network does."""

    clock: Any
    waiting: list[tuple[float, Look]] = field(default_factory=list)
    lost: int = 0

    def send(self, look: Look, seconds: float) -> None:
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the call was lost")
        self.waiting.append((self.clock().timestamp() + seconds, look))

    def due(self) -> list[Look]:
        now = self.clock().timestamp()
        found = [look for at, look in self.waiting if at <= now]
        self.waiting = [(at, look) for at, look in self.waiting if at > now]
        return found


@dataclass
class FakeDeploying:
    """Deploys whatever it is given, unless the place is busy."""

    asked: list[tuple[str, Policy]] = field(default_factory=list)
    refusing: Exception | None = None

    def decide(self, model: Model, policy: Policy) -> AutoDeployment:
        if self.refusing:
            raise self.refusing
        self.asked.append((model.model_id, policy))
        return AutoDeployment(policy.name, True, "It meets the policy.", model.created_at, "deployment-1")


@dataclass
class Room:
    jobs: Jobs
    store: RetrainingStore
    models: ModelStore
    looks: FakeLooks
    deploying: FakeDeploying
    service: RetrainingService
    letters: DeadLetterStore
    platform: Any
    sequence: Iterator[int]
    left: Callable[[], int] = lambda: 100_000

    def policy(self, caller: Caller = ALICE, **changes: Any) -> RetrainingPolicy:
        return self.service.create(caller, RetrainingPolicyRequest.model_validate(self.document(**changes)))

    def document(self, **changes: Any) -> dict[str, Any]:
        script = self.jobs.upload(ALICE, "train.py")
        resources = {"gpu_count": 0, "cpu_cores": 2, "memory_gb": 4}
        config = {"script_path": script, "resource_requirements": resources}
        return {
            "name": "churn-daily",
            "source": {"type": "s3", "uri_prefix": PREFIX},
            "debounce": 60,
            "job": {"name": "churn", "framework": "sklearn", "config": config},
            **changes,
        }

    def put(self, name: str, body: bytes = ROWS) -> dict[str, Any]:
        """An object is uploaded; what S3 tells of it."""
        key = f"{ALICE.prefix}data/{name}"
        answer = self.jobs.objects.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        detail = {"key": key, "size": len(body), "etag": answer["ETag"].strip('"'), "version-id": answer["VersionId"]}
        return self._event("Object Created", detail)

    def remove(self, name: str) -> dict[str, Any]:
        key = f"{ALICE.prefix}data/{name}"
        self.jobs.objects.client.delete_object(Bucket=BUCKET, Key=key)
        return self._event("Object Deleted", {"key": key}, **{"deletion-type": "Delete Marker Created"})

    def expired(self, name: str) -> dict[str, Any]:
        """An old version of an object is deleted for good, by the bucket's rule."""
        key = f"{ALICE.prefix}data/{name}"
        return self._event("Object Deleted", {"key": key}, **{"deletion-type": "Permanently Deleted"})

    def _event(self, kind: str, found: Mapping[str, Any], **more: str) -> dict[str, Any]:
        detail = {"bucket": {"name": BUCKET}, "object": {**found, "sequencer": f"{next(self.sequence):016X}"}, **more}
        return {"source": "aws.s3", "detail-type": kind, "detail": detail}

    def tell(self, *events: Any) -> list[str]:
        """The queue hands these over; the numbers of the messages that come again."""
        bodies = [event if isinstance(event, str) else json.dumps(event) for event in events]
        records = [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]
        answer = retrain(self.platform, {"Records": records}, self.left)
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    def later(self, seconds: float) -> None:
        """Time passes, and what the queue has delayed comes."""
        self.jobs.clock.advance(seconds)
        self.deliver()

    def deliver(self) -> None:
        for _ in range(10):
            looks = self.looks.due()
            if not looks:
                return
            assert self.tell(*({"look": vars(look)} for look in looks)) == []
        raise AssertionError("runs are looked at again and again, at once")

    def run(self, policy: RetrainingPolicy, number: int = 1) -> Run:
        found = self.store.run(policy.tenant, policy.policy_id, number)
        assert found is not None
        return found

    def runs(self, policy: RetrainingPolicy) -> list[Run]:
        """Oldest first."""
        return list(reversed(self.store.runs(policy.tenant, policy.policy_id, 100, 0, None).runs))

    def end(self, run: Run, status: JobStatus = JobStatus.COMPLETED, cost: str = "1.5") -> dict[str, Any]:
        """The job of a run ends, with a model if it completed; the event of that."""
        assert run.job_id is not None
        job = self.jobs.store.get(run.tenant, run.job_id)
        assert job is not None
        now = self.jobs.clock()
        if status is JobStatus.COMPLETED:
            model = self.models.create(_model(run, now))
            job = self.jobs.store.change(job, ModelRegistered(model.model_id), now)
        reason = None if status is JobStatus.COMPLETED else "ValueError: no"
        self.jobs.store.change(job, Ended(status, now, Amounts(cost_usd=Decimal(cost)), reason), now)
        detail = {"tenantId": run.tenant, "jobId": run.job_id}
        return {"source": "aimatrix", "detail-type": "training.job.status-changed", "detail": detail}


def _model(run: Run, now: Any) -> Model:
    return Model(
        tenant=run.tenant,
        model_id=f"model-{run.number}",
        user=run.user,
        name="churn",
        version=str(run.number),
        training_job_id=run.job_id,
        framework="sklearn",
        archive=Archive("s3://artifacts/m.tar.gz", 9, "a" * 64),
        created_at=now,
        updated_at=now,
        kind="sklearn",
        servable=True,
        status=ModelStatus.READY,
    )


@pytest.fixture
def room(jobs: Jobs) -> Room:
    dynamodb = boto3.client("dynamodb")
    jobs.objects.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    store = RetrainingStore(Table(dynamodb, create_table(dynamodb, "retraining")))
    letters = DeadLetterStore(Table(dynamodb, create_table(dynamodb, "events")))
    models = ModelStore(Table(dynamodb, "models"))
    looks, deploying, ids = FakeLooks(jobs.clock), FakeDeploying(), count(1)
    queue: Any = looks
    collecting = Collecting(store, queue, BUCKET, jobs.clock)
    ending = Ending(store, jobs.store, models, lambda: deploying, queue, jobs.clock)  # type: ignore[arg-type, return-value]
    starting = Starting(store, collecting, jobs.service, Data(jobs.objects), queue, ending.ask, jobs.clock)
    service = RetrainingService(
        store, jobs.service, collecting, jobs.clock, lambda: f"policy-{next(ids)}", jobs.log.recorder
    )
    streams: Any = None
    platform = SimpleNamespace(
        objects=jobs.objects,
        retraining=service,
        retraining_collecting=collecting,
        retraining_starting=starting,
        retraining_ending=ending,
        undelivered=Undelivered(letters, streams, lambda _: streams, jobs.clock),
    )
    return Room(jobs, store, models, looks, deploying, service, letters, platform, count(1))


@pytest.fixture
def api(room: Room) -> Gateway:
    authorizer: Any = None
    return Gateway.of(rooms(room.platform, authorizer))
