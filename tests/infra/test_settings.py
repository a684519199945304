"""Each function is told exactly what the services that it uses ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.aws import Clients
from chalicelib.bootstrap import Platform
from chalicelib.jobs.definitions import JobDefinitions
from chalicelib.settings import LOOPBACK_WEBHOOK_PORTS, Settings
from infra import functions, names

LAMBDAS_OWN = {"AWS_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", LOOPBACK_WEBHOOK_PORTS}


class Recorded(Mapping[str, str]):
    """An environment that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        if name == LOOPBACK_WEBHOOK_PORTS:
            raise KeyError(name)
        if name.endswith("QUEUE_ORDER"):
            return "fair-share"
        if name.endswith("SPOT_RATES"):
            return "ml.p3.2xlarge=0.2"
        if name.endswith("TENANT_ROLES"):
            return "arn:aws:iam::000000000000:role/aimatrix/stack/"
        return "500" if name.endswith(("_GIB", "_SIZE", "_VCPUS", "_DAYS")) else "https://example.com"

    def __iter__(self) -> Iterator[str]:
        return iter(self.asked)

    def __len__(self) -> int:
        return len(self.asked)


def define_batch_jobs(platform: Platform) -> None:
    answer = {"jobDefinitions": [{"jobDefinitionArn": "arn", "containerProperties": {}}]}
    batch = SimpleNamespace(
        describe_job_definitions=lambda **wanted: {"jobDefinitions": []} if "jobDefinitionName" in wanted else answer,
        register_job_definition=lambda **_: {"jobDefinitionArn": "arn"},
    )
    definitions = JobDefinitions(lambda: cast("Any", batch), platform.settings)
    assert definitions.queue_of(None)
    definitions.for_container("image", "arn:aws:iam::0:role/r")


class FakeIam(SimpleNamespace):
    """Has no role yet."""

    exceptions = SimpleNamespace(EntityAlreadyExistsException=KeyError)

    def create_role(self, **_: object) -> None: ...

    def attach_role_policy(self, **_: object) -> None: ...


def read_both_logs(platform: Platform) -> None:
    from chalicelib.jobs.job import Backend

    for backend in Backend:
        platform.logs.group_of(backend)


def _without_gpu() -> Any:
    return SimpleNamespace(allocation=SimpleNamespace(gpu_count=0), config={})


def _repairs(platform: Platform) -> tuple[object, ...]:
    jobs = platform.job_repairs
    deployments, transforms = platform.deployment_repairs, platform.transform_repairs
    return jobs.finishing(), jobs.receipts(), platform.backends.batch, deployments, transforms


# What each function's handler reaches for, beside what that in turn needs: see the rooms' routes and tasks.
USES: dict[str, tuple[Callable[[Platform], object], ...]] = {
    names.API: (
        lambda p: (p.audit.store(), p.audit_log),
        lambda p: (
            p.uploads,
            p.jobs,
            p.metrics,
            p.models,
            p.deployments,
            p.rolling_back,
            p.environments,
            p.scaling_report,
            p.captures,
            p.invocations,
        ),
        lambda p: (p.api_keys, p.rollouts, p.experiments, p.joining, p.transforms, p.retraining, p.lineage),
        lambda p: (p.quotas, p.accounts, p.job_deletion),
        lambda p: (p.meter, p.costs),
        lambda p: (p.queue, p.queue.batch and p.queue.batch.view.queue_of(_without_gpu()), p.pools, p.capacity_import),
        lambda p: (p.reconciler.sweeper(), p.exports.function()),
        lambda p: (p.events.bus(), p.events.archive()),
        lambda p: (p.webhooks.vault(), p.webhooks.wake_ups()),
        lambda p: p.backends.batch,
        lambda p: p.jobs.batch_machines(),
        read_both_logs,
    ),
    "authorize": (lambda p: (p.token_verifier, p.key_authentication),),
    "plan_job": (
        lambda p: (p.meter, p.lifecycle, p.backends.batch, p.lifecycle.around("acme"), p.admission, p.preemption),
        define_batch_jobs,
    ),
    "assess_attempt": (
        lambda p: (p.meter, p.lifecycle, p.backends.batch, p.lifecycle.definitions.queue_of(None), p.admission),
        lambda p: p.lifecycle.moving().batch_machines(),
    ),
    "register_model": (lambda p: (p.meter, p.job_store, p.lifecycle, p.registration, p.audit.store()),),
    "await_capacity": (lambda p: (p.meter, p.admission),),
    "enqueue_attempt": (lambda p: (p.meter, p.enqueueing, p.backends.queued),),
    "admit_jobs": (lambda p: p.capacity_upkeep,),
    "check_quotas": (lambda p: (p.quotas, p.quota_rounds, p.settings.stack),),
    "finish_job": (lambda p: (p.finishing, p.receipts, p.backends.batch),),
    "reconcile": (lambda p: (p.sweep, *_repairs(p), p.sweep_store),),
    "on_execution_event": (_repairs,),
    "on_training_event": (lambda p: (p.meter, p.lifecycle, p.backends.batch, p.enqueueing),),
    "ingest_logs": (lambda p: p.reports, lambda p: p.metrics.days()),
    "export_job": (lambda p: (p.exporting, p.backends.batch), read_both_logs),
    "record_history": (lambda p: p.ledger,),
    "publish_events": (lambda p: (p.event_bus, p.undelivered, p.settings.stack),),
    "deliver_webhooks": (lambda p: (p.webhook_intake.owner_of, p.job_store, p.webhook_sending),),
    "note_dead_letters": (lambda p: (p.undelivered, p.settings.stack),),
    "plan_deployment": (lambda p: (p.deployment_planning, p.deployment_planning.around("acme")),),
    "await_endpoint": (lambda p: p.deployment_waiting,),
    "on_endpoint_event": (lambda p: p.deployment_waiting,),
    "smoke_test": (lambda p: p.smoke_test,),
    "finish_deployment": (lambda p: p.deployment_finishing,),
    "advance_rollout": (
        lambda p: (p.rollout_driving.reader().experiments(), p.rollout_driving.reader().answers(), p.audit.store()),
    ),
    "deploy_ready_models": (lambda p: (p.auto_deploying, p.audit.store(), p.rollout_driving.reader().experiments()),),
    "retrain": (
        lambda p: (p.meter, p.retraining_collecting, p.retraining_starting, p.retraining_ending.deploying()),
        lambda p: (p.undelivered, p.audit.store(), p.rollout_driving.reader().experiments()),
        lambda p: (p.backends.batch, p.jobs.batch_machines()),
    ),
    "steer_traffic": (lambda p: (p.steering, p.audit.store()),),
    "plan_transform": (lambda p: (p.transform_planning, p.transform_planning.role_of("acme")),),
    "finish_transform": (lambda p: p.transform_finishing,),
    "chain_audit": (lambda p: p.audit_sealing,),
}


class TestSettings:
    @pytest.mark.parametrize("function", names.FUNCTIONS, ids=lambda function: function.name)
    def test_are_those_that_the_function_uses(self, function: names.Function) -> None:
        environment = Recorded()
        clients = SimpleNamespace(
            iam=FakeIam(),
            **dict.fromkeys(
                (
                    "dynamodb",
                    "s3",
                    "stepfunctions",
                    "sagemaker",
                    "sagemaker_runtime",
                    "batch",
                    "logs",
                    "sign",
                    "secretsmanager",
                    "kms",
                    "calls",
                    "functions",
                    "events",
                    "cloudwatch",
                    "auto_scaling",
                )
            ),
        )
        platform = Platform(cast("Clients", clients), Settings(environment))
        for use in USES[function.name]:
            use(platform)
        asked = {name.removeprefix(functions.PREFIX) for name in environment.asked - LAMBDAS_OWN}
        assert set(functions.SHAPES[function.name].settings) == asked
