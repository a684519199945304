"""The client: one connection, and a noun's calls under each attribute."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from aimatrix.client.api_key_calls import ApiKeyCalls
from aimatrix.client.audit_calls import AuditCalls
from aimatrix.client.capacity_calls import CapacityCalls
from aimatrix.client.cost_calls import CostCalls
from aimatrix.client.deployment_calls import DeploymentCalls
from aimatrix.client.environment_calls import EnvironmentCalls
from aimatrix.client.events import EventCalls
from aimatrix.client.experiment_calls import ExperimentCalls
from aimatrix.client.job_calls import JobCalls
from aimatrix.client.lineage_calls import LineageCalls
from aimatrix.client.model_calls import ModelCalls
from aimatrix.client.profiles import Connection, resolve
from aimatrix.client.quota_calls import QuotaCalls
from aimatrix.client.reconciler import ReconcilerCalls
from aimatrix.client.retraining_calls import RetrainingCalls
from aimatrix.client.retry import RetryPolicy
from aimatrix.client.rollout_calls import RolloutCalls
from aimatrix.client.stats_calls import StatsCalls
from aimatrix.client.transform_calls import TransformCalls
from aimatrix.client.transport import Transport
from aimatrix.client.upload_calls import UploadCalls, UploadProgress
from aimatrix.client.uploads import Upload, UploadFile
from aimatrix.client.webhook_calls import WebhookCalls


class Client:
    """A service, ready to be talked to. Threads may share one.

    Attributes:
        jobs: submit, get, list, cancel, delete, logs, metrics, wait.
        retraining: create, list, get, set, delete, start, runs, run, wait.
        models: list, get, register, deprecate, deploy, approve, approvals.
        deployments: list, get, change_weights, revisions, roll_back, scaling, capture, captures, delete, wait, predict.
        environments: list, get, set, clear.
        rollouts: start, list, get, pause, resume, promote, abort, wait.
        transforms: start, list, get, outputs, download, cancel, wait.
        experiments: create, list, get, results, count, expose, report, assign, stop.
        quotas: own, users, user, set_user, tenant, set_tenant, check.
        uploads: files into the artifact store.
        audit: search, verify.
        costs: receipts, the usage log and its monthly sums.
        stats: active_jobs, users, models, frameworks.
        lineage: get.
        api_keys: create, list, get, revoke.
        webhooks: create, list, get, change, rotate, delete, ping, deliveries, redeliver.
        reconciler: run, latest.
        events: dead_letters, redrive, replay.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        http: httpx.Client | None = None,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.connection = connection
        self._http = http or httpx.Client(headers={"User-Agent": "aimatrix-client"})
        self._transport = Transport(
            self._http,
            connection.api,
            connection.token,
            key=connection.key,
            policy=policy or RetryPolicy(),
            sleep=sleep,
            rng=rng or random.Random(),  # noqa: S311 - spreads retries, guards nothing
        )
        self.jobs = JobCalls(self._transport, monotonic=monotonic)
        self.retraining = RetrainingCalls(self._transport, monotonic)
        self.models = ModelCalls(self._transport)
        self.deployments = DeploymentCalls(self._transport, monotonic=monotonic)
        self.environments = EnvironmentCalls(self._transport)
        self.rollouts = RolloutCalls(self._transport)
        self.transforms = TransformCalls(self._transport, monotonic)
        self.experiments = ExperimentCalls(self._transport)
        self.quotas = QuotaCalls(self._transport)
        self.capacity = CapacityCalls(self._transport)
        self.uploads = UploadCalls(self._transport)
        self.audit = AuditCalls(self._transport)
        self.costs = CostCalls(self._transport, monotonic)
        self.stats = StatsCalls(self._transport)
        self.lineage = LineageCalls(self._transport)
        self.api_keys = ApiKeyCalls(self._transport)
        self.webhooks = WebhookCalls(self._transport, monotonic, sleep)
        self.reconciler = ReconcilerCalls(self._transport, monotonic, sleep)
        self.events = EventCalls(self._transport, monotonic, sleep)

    @classmethod
    def connect(
        cls,
        *,
        api: str | None = None,
        token: str | None = None,
        key: str | None = None,
        profile: str | None = None,
        state: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """A client of the service that arguments, environment, profiles and this machine point at, in this order.

        See ``aimatrix.client.profiles`` for the rule.

        Raises:
            ConfigurationError: nothing points anywhere, or it can't be used.
        """
        environment = os.environ if environ is None else environ
        found = resolve(environment, api=api, token=token, key=key, profile=profile, state=state)
        return cls(found)

    def upload(self, files: Iterable[Path | UploadFile], progress: UploadProgress | None = None) -> Upload:
        """Sends files into one new prefix of the caller's own: ``client.uploads.upload``."""
        return self.uploads.upload(files) if progress is None else self.uploads.upload(files, progress)

    def health(self) -> dict[str, Any]:
        return self._transport.document("GET", "/health")

    def info(self) -> dict[str, Any]:
        return self._transport.document("GET", "/info")

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
