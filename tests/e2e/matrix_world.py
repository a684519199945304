"""What is alice's, one of each thing that an address can name, and a way to ask for it as anybody."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from aimatrix.client.uploads import UploadFile
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision, Variant
from chalicelib.deployments.store import DeploymentStore
from chalicelib.retraining.run import Run, Trigger
from chalicelib.retraining.store import RetrainingStore, Standing
from chalicelib.rollouts.rollout import Rollout, RolloutStatus, Step
from chalicelib.rollouts.store import RolloutStore
from chalicelib.table import Table
from chalicelib.transforms.store import TransformStore
from chalicelib.transforms.transform import Settings, Transform, TransformStatus
from localcloud.issuer import Issuer
from localcloud.state import StateDir
from tests.e2e import scripts
from tests.e2e.conftest import Cloud
from tests.e2e.operations import Operation

CANARY = "zanzibar"
"""In the name of everything that is alice's: no answer to a stranger may hold it."""

MISSING = {
    "job_id": "00000000-0000-4000-8000-000000000000",
    "model_id": "00000000-0000-4000-8000-000000000000",
    "deployment_id": "00000000-0000-4000-8000-000000000000",
    "experiment_id": "00000000-0000-4000-8000-000000000000",
    "rollout_id": "99",
    "transform_id": "00000000-0000-4000-8000-000000000000",
    "policy_id": "00000000-0000-4000-8000-000000000000",
    "run_id": "99",
    "node_id": "00000000-0000-4000-8000-000000000000",
    "model_name": "nothing",
    "name": "nothing",
    "environment": "production",
    "key_id": "0" * 16,
    "user_id": "nobody",
    "backend": "sagemaker",
    "kind": "none",
    "replay_id": "aimatrix-00000000-0000-4000-8000-000000000000",
    "webhook_id": "00000000-0000-4000-8000-000000000000",
    "event_id": "00000000-0000-4000-8000-000000000000",
}
EXPERIMENT = {
    "name": "matrix",
    "variants": ["a", "b"],
    "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
    "max_samples_per_variant": 1000,
}
ROLLOUT, RUN = 70_707_070, 60_606_060
"""Numbers that no answer has by chance."""


@dataclass(frozen=True)
class World:
    """What is alice's, in the tenant `default`, and a way to ask for it."""

    cloud: Cloud
    issuer: Issuer
    http: httpx.Client
    things: dict[str, str]
    bodies: dict[str, Any]

    def token(self, user: str, role: str = "", tenant: str = "default") -> dict[str, str]:
        roles = [role] if role else []
        text = self.issuer.token(user, roles, tenant, [], timedelta(hours=1), time.time)
        return {"Authorization": f"Bearer {text}"}

    def send(
        self, operation: Operation, headers: dict[str, str], values: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        """Ask for an operation on alice's things, or on those that `values` names.

        Args:
            more: fields beside those of the usual body.
        """
        names = values or self.things
        path = operation.path.format(**{name: names[name] for name in operation.parameters})
        body = None if operation.method in {"GET", "DELETE"} else {**self.bodies.get(operation.name, {}), **more}
        response = self.http.request(operation.method, path, headers=headers, json=body)
        text = response.text
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            text = json.dumps({**response.json(), "request_id": ""})
        return Answer(response.status_code, text)


@dataclass(frozen=True)
class Answer:
    """Status and body; a problem without its request id, which alone may differ."""

    status: int
    body: str


@contextmanager
def world_of_alice(cloud: Cloud, folder: Path) -> Iterator[World]:
    """Everything that a path can name, made once.

    Args:
        folder: for the files that are uploaded.
    """
    directory = StateDir(cloud.state)
    settings = directory.load()
    assert settings
    with cloud.client("alice", "USER") as alice, httpx.Client(base_url=cloud.api, timeout=30) as http:
        job = scripts.run(alice, folder, f"print({CANARY!r})", name=f"{CANARY}-job")
        assert job.status == "completed", job.failure_reason
        (folder / f"{CANARY}.pkl").write_bytes(b"a model")
        artifact = alice.upload([UploadFile(folder / f"{CANARY}.pkl", f"{CANARY}.pkl")])[f"{CANARY}.pkl"]
        model = alice.models.register(f"{CANARY}-model", "sklearn", artifact)
        key = alice.api_keys.create(f"{CANARY}-key", ["jobs:read"]).key
        experiment = alice.experiments.create({**EXPERIMENT, "name": f"{CANARY}-experiment"})
        webhook = alice.webhooks.create(f"https://{CANARY}.example.com/hook").webhook
        ping = alice.webhooks.ping(webhook.webhook_id)
        retraining = _retraining(job.document["config"]["script_path"])
        policy = alice.retraining.create({**retraining, "name": f"{CANARY}-policy"})
        _open_run(cloud, policy.id)
        things = {
            "job_id": job.job_id,
            "model_id": model.id,
            "deployment_id": _ended_deployment(cloud, model.id).deployment_id,
            "experiment_id": experiment.id,
            "rollout_id": str(ROLLOUT),
            "transform_id": _ended_transform(cloud, model.id).transform_id,
            "policy_id": policy.id,
            "run_id": str(RUN),
            "node_id": job.job_id,
            "model_name": "some-model",
            "name": f"{CANARY}-deployment",
            "environment": "development",
            "key_id": key.key_id,
            "user_id": "carol",
            "backend": "sagemaker",
            "kind": "h100",
            "replay_id": MISSING["replay_id"],
            "webhook_id": webhook.webhook_id,
            "event_id": ping.event_id,
        }
        bodies = {
            # Somebody else's files: whoever may submit is told that these can't be used, and nothing runs.
            "submitTrainingJob": {
                "name": "matrix",
                "framework": "custom",
                "config": {
                    "script_path": job.document["config"]["script_path"],
                    "dataset_path": job.document["config"]["dataset_path"],
                    "resource_requirements": {"gpu_count": 0},
                },
            },
            "createUpload": {"files": [{"name": "a.txt", "size": 1}]},
            "registerExternalModel": {"name": "matrix", "framework": "sklearn", "artifact_path": artifact},
            "changeModel": {"status": "deprecated"},
            "deployModel": {"environment": "development"},
            "startTransform": {"input": artifact},
            "invokeDeployment": {"inputs": [[1]]},
            "invokeEndpoint": {"inputs": [[1]]},
            "changeWeights": {"variants": [{"model_id": model.id, "weight": 1}]},
            "setDeploymentPolicy": {"enabled": False},
            "setEnvironment": {},
            "setDataCapture": {"percentage": 10},
            "approveModel": {"environment": "development"},
            "rollBackDeployment": {"revision": 1},
            "startRollout": {"to": {"model_id": model.id}},
            "createExperiment": EXPERIMENT,
            "assignVariants": {"keys": ["k"]},
            "reportExposures": {"exposures": [{"variant": "a", "key": "k"}]},
            "createRetrainingPolicy": retraining,
            "setRetrainingPolicy": retraining,
            "reportOutcomes": {"counts": [{"variant": "a", "metric": "conversion", "n": 1, "successes": 0}]},
            "createApiKey": {"name": "matrix", "scopes": ["models:read"]},
            "setCapacityPool": {"limit": 8},
            "replayEvents": {"since": "2026-03-01T12:00:00Z"},
            "createWebhook": {"url": "https://matrix.example.com/hook"},
            "changeWebhook": {"description": f"{CANARY} of another"},
        }
        yield World(cloud, Issuer.open(directory.part("issuer"), settings.issuer_url), http, things, bodies)


def _retraining(script: str) -> dict[str, Any]:
    """A policy over a folder of alice's in which nothing lies."""
    user = script[: script.index("/users/alice/")]
    return {
        "name": "matrix",
        "source": {"type": "s3", "uri_prefix": f"{user}/users/alice/rows/"},
        "job": {"name": "matrix", "framework": "custom", "config": {"script_path": script}},
    }


def _open_run(cloud: Cloud, policy_id: str) -> None:
    """A record of a run for which something has come, and which nobody has looked at yet."""
    now = datetime.now(UTC)
    run = Run("default", policy_id, RUN, f"{CANARY}-user", Trigger.UPLOAD, now, now, now)
    RetrainingStore(Table(cloud.boto("dynamodb"), "aimatrix-retraining")).open(run, Standing())


def _ended_deployment(cloud: Cloud, model_id: str) -> Deployment:
    """A record as a deployment leaves it that was taken down long ago: a real one would take a minute."""
    now = datetime.now(UTC)
    revision = Revision(1, (Variant("v1", model_id, "1"),), {"environment": "development"}, "ml.m5.large")
    deployment = Deployment(
        tenant="default",
        deployment_id=f"{MISSING['deployment_id'][:-1]}1",
        user="alice",
        name=f"{CANARY}-deployment",
        environment="development",
        endpoint="aimatrix-matrix",
        target=revision,
        created_at=now,
        updated_at=now,
    )
    table = Table(cloud.boto("dynamodb"), "aimatrix-deployments")
    rollout = Rollout(
        tenant="default",
        deployment_id=deployment.deployment_id,
        number=ROLLOUT,
        user="alice",
        stable=revision.variants,
        candidate=Variant(f"{CANARY}-2", model_id, "2"),
        steps=(Step(100.0, 0, 0),),
        gates=(),
        evaluation_seconds=60,
        patience_seconds=60,
        created_at=now,
        updated_at=now,
        status=RolloutStatus.OVERTAKEN,
    )
    ended = replace(deployment, status=DeploymentStatus.TERMINATED, rollouts=ROLLOUT)
    return DeploymentStore(table).create(ended, None, RolloutStore(table).creation(rollout))


def _ended_transform(cloud: Cloud, model_id: str) -> Transform:
    """A record as a transform leaves it that has completed long ago."""
    now = datetime.now(UTC)
    transform = Transform(
        tenant="default",
        transform_id=f"{MISSING['transform_id'][:-1]}2",
        user="alice",
        model_id=model_id,
        model_name=f"{CANARY}-model",
        model_version="1",
        source="s3://bucket/rows/",
        settings=Settings("text/csv", "text/csv", "line", "multi-record", 6, 1),
        instance_type="ml.m5.large",
        instance_count=1,
        usd_per_hour=Decimal("0.115"),
        created_at=now,
        updated_at=now,
        status=TransformStatus.COMPLETED,
    )
    TransformStore(Table(cloud.boto("dynamodb"), "aimatrix-deployments")).create(transform)
    return transform
