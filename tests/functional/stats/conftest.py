"""The statistics room beside the jobs room, on moto's DynamoDB."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.aws import count_calls
from chalicelib.bootstrap import Platform
from chalicelib.calls import Calls
from chalicelib.identity.caller import Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job
from chalicelib.models.external import ExternalArtifacts
from chalicelib.models.model import Archive, Model, ModelStatus
from chalicelib.models.service import ModelService
from chalicelib.models.store import ModelStore
from chalicelib.stats.routes import rooms
from chalicelib.stats.service import StatsService
from chalicelib.stats.store import FrameworkStore
from chalicelib.table import Table
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs, jobs
from tests.functional.rest import Gateway, Response

__all__ = ["jobs"]

NO_AUTHORIZER: Any = None


@dataclass
class Stats:
    jobs: Jobs
    models: ModelStore
    gateway: Gateway
    calls: Calls

    def ask(self, path: str, caller: Caller = ALICE) -> Response:
        return self.gateway.send(caller, "GET", f"/v1/stats/{path}")

    def counted(self, path: str, caller: Caller = ALICE) -> tuple[Response, dict[str, int]]:
        """An answer, and the calls that it took."""
        self.calls.take()
        answer = self.ask(path, caller)
        assert answer.status == 200, answer.body
        return answer, {operation: count for (_, operation), count in self.calls.take().made.items()}

    def submitted(self, caller: Caller = ALICE, framework: str = "sklearn", **config: Any) -> Job:
        request = self.jobs.request(caller, **config).model_copy(update={"framework": framework})
        return self.jobs.service.submit(caller, request, None)

    def running(self, caller: Caller = ALICE, framework: str = "sklearn", **config: Any) -> Job:
        job = self.submitted(caller, framework, **config)
        self.jobs.lifecycle.plan(job.tenant, job.job_id)
        self.jobs.lifecycle.running(job.tenant, job.job_id, self.jobs.clock(), None)
        return self.jobs.store.require(job.tenant, job.job_id)

    def ended(
        self,
        caller: Caller = ALICE,
        framework: str = "sklearn",
        *,
        seconds: int = 60,
        state: BackendState = BackendState.COMPLETED,
        **config: Any,
    ) -> Job:
        """A job that ran for so long and ended so."""
        job = self.running(caller, framework, **config)
        self.jobs.clock.advance(seconds)
        self.jobs.backends.sagemaker.says(
            f"aimatrix-{job.job_id}-1", state, training_seconds=seconds, billable_seconds=seconds
        )
        return self.jobs.finishing.finish(job.tenant, job.job_id, None)

    def model(self, number: int, **changes: Any) -> Model:
        now = self.jobs.clock()
        values = {
            "tenant": "acme",
            "model_id": f"m-{number}",
            "user": "alice",
            "name": "churn",
            "version": "",
            "framework": "sklearn",
            "archive": Archive("s3://b/m.tar.gz", 1, None),
            "created_at": now,
            "updated_at": now,
            "kind": "sklearn",
            "servable": True,
            "status": ModelStatus.READY,
            **changes,
        }
        self.jobs.clock.advance(1)
        return self.models.create(Model(**values))


@pytest.fixture
def stats(jobs: Jobs) -> Stats:
    client = jobs.store.table.client
    models = ModelStore(Table(client, "models"))
    artifacts = ExternalArtifacts(jobs.objects.client, BUCKET)
    service = StatsService(
        jobs.service,
        jobs.metrics,
        jobs.quotas.store,
        ModelService(models, artifacts, jobs.clock, lambda: "m-0", jobs.log.recorder),
        FrameworkStore(jobs.store.table),
        jobs.clock,
    )
    calls = Calls()
    for each in {id(table.client): table.client for table in (jobs.store.table, jobs.quotas.store.table)}.values():
        count_calls(each, calls)
    platform = cast("Platform", SimpleNamespace(stats=service))
    return Stats(jobs, models, Gateway.of(rooms(platform, NO_AUTHORIZER)), calls)
