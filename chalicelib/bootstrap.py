"""Wires everything once: clients into stores, stores into services. Nothing is made before it is asked for."""

from __future__ import annotations

import functools
import os
import random
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib.aws import Clients
from chalicelib.clock import Clock, IdMaker, new_id, process_seconds, utc_now
from chalicelib.settings import Settings
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.api_keys.authentication import Authentication
    from chalicelib.api_keys.gateways import Pepper
    from chalicelib.api_keys.service import ApiKeyService
    from chalicelib.api_keys.store import KeyStore
    from chalicelib.audit.recorder import Recorder
    from chalicelib.audit.sealing import Sealing
    from chalicelib.audit.service import AuditService
    from chalicelib.audit.store import AuditStore
    from chalicelib.capacity.admission import Admission
    from chalicelib.capacity.batch_queue import BatchQueue
    from chalicelib.capacity.importing import Importing
    from chalicelib.capacity.preemption import Preemption
    from chalicelib.capacity.queue import Queue
    from chalicelib.capacity.service import PoolService
    from chalicelib.capacity.store import CapacityStore
    from chalicelib.capacity.upkeep import Upkeep
    from chalicelib.costs.issuing import Issuing
    from chalicelib.costs.meter import Meter
    from chalicelib.costs.service import CostService
    from chalicelib.costs.signer import Signer
    from chalicelib.costs.store import UsageStore
    from chalicelib.deployments.finishing import Finishing
    from chalicelib.deployments.gateways import Endpoints
    from chalicelib.deployments.invocations import Invocations, ModelEndpoint
    from chalicelib.deployments.planning import Planning
    from chalicelib.deployments.service import DeploymentService
    from chalicelib.deployments.smoke import SmokeTest
    from chalicelib.deployments.store import DeploymentStore
    from chalicelib.deployments.waiting import Waiting
    from chalicelib.events.gateways import Bus
    from chalicelib.identity.tokens import Verifier
    from chalicelib.jobs.deletion import Deletion
    from chalicelib.jobs.enqueueing import Enqueueing
    from chalicelib.jobs.finishing import Finishing as JobFinishing
    from chalicelib.jobs.gateways import Backends
    from chalicelib.jobs.instances import BatchMachines
    from chalicelib.jobs.ledger_store import LedgerStore
    from chalicelib.jobs.lifecycle import Lifecycle
    from chalicelib.jobs.logs import LogReader
    from chalicelib.jobs.metrics import MetricStore
    from chalicelib.jobs.plan import Surroundings
    from chalicelib.jobs.reports import Reports
    from chalicelib.jobs.service import JobService
    from chalicelib.jobs.store import JobStore
    from chalicelib.jobs.training_queue import TrainingQueue
    from chalicelib.models.registration import Registration
    from chalicelib.models.service import ModelService
    from chalicelib.models.store import ModelStore
    from chalicelib.objects import Objects
    from chalicelib.quotas.accounts import AccountService
    from chalicelib.quotas.check import QuotaCheck
    from chalicelib.quotas.rounds import Rounds
    from chalicelib.quotas.service import QuotaService
    from chalicelib.reconciler.deployments import DeploymentRepairs
    from chalicelib.reconciler.jobs import JobRepairs
    from chalicelib.reconciler.service import ReconcilerService
    from chalicelib.reconciler.store import SweepStore
    from chalicelib.reconciler.sweep import Sweep
    from chalicelib.tenants.roles import TenantRoles
    from chalicelib.tracking.registry import TrackingRegistry
    from chalicelib.uploads.service import UploadService


class Platform:
    """All services of one process.

    Args:
        clients: AWS.
        settings: what the template says.
        now, new_id: time and identity.

    A room's modules are imported when its service is first used: a function that plans jobs never loads deployments.
    """

    def __init__(
        self,
        clients: Clients | None = None,
        settings: Settings | None = None,
        now: Clock = utc_now,
        new_id: IdMaker = new_id,
    ) -> None:
        self.clients = clients or Clients()
        self.settings = settings or Settings(os.environ)
        self.now = now
        self.new_id = new_id
        self._made_at = time.monotonic()

    def metered(self, handler: Callable[[dict[str, Any], object], Any]) -> Callable[[dict[str, Any], object], Any]:
        """A handler whose work for jobs is counted. What a machine calls names its job in its input."""

        @functools.wraps(handler)
        def counted(event: dict[str, Any], context: object) -> Any:
            with self.meter.work():
                if "tenant" in event and "job_id" in event:
                    self.meter.for_job(event["tenant"], event["job_id"])
                return handler(event, context)

        return counted

    @cached_property
    def tenant_roles(self) -> TenantRoles:
        from chalicelib.tenants.roles import Purpose, TenantRoles

        def policy_arn(purpose: Purpose) -> str:
            settings = self.settings
            return settings.training_policy_arn if purpose is Purpose.TRAINING else settings.serving_policy_arn

        return TenantRoles(lambda: self.clients.iam, self.settings.tenant_roles, policy_arn)

    @cached_property
    def objects(self) -> Objects:
        from chalicelib.objects import Objects

        return Objects(self.clients.s3, self.settings.artifacts_bucket)

    @cached_property
    def _audit_store(self) -> AuditStore:
        from chalicelib.audit.store import AuditStore

        return AuditStore(Table(self.clients.dynamodb, self.settings.audit_table))

    @cached_property
    def audit(self) -> Recorder:
        from chalicelib.audit.recorder import Recorder

        return Recorder(lambda: self._audit_store, self.now, self.new_id)

    @cached_property
    def audit_log(self) -> AuditService:
        from chalicelib.audit.service import AuditService

        return AuditService(self._audit_store)

    @cached_property
    def audit_sealing(self) -> Sealing:
        from chalicelib.audit.sealing import Sealing

        return Sealing(self._audit_store, time.monotonic)

    @cached_property
    def uploads(self) -> UploadService:
        from chalicelib.uploads.service import UploadService

        return UploadService(self.objects, self.now, self.new_id, self.audit)

    @cached_property
    def token_verifier(self) -> Verifier:
        from chalicelib.identity import authorizer
        from chalicelib.identity.store import LastGoodKeys

        return authorizer.verifier(self.settings, LastGoodKeys(self._keys_table, self.settings.jwks_url))

    @cached_property
    def key_authentication(self) -> Authentication:
        from chalicelib.api_keys.authentication import Authentication

        return Authentication(self._key_store, self.pepper, self.now)

    @cached_property
    def _key_store(self) -> KeyStore:
        from chalicelib.api_keys.store import KeyStore

        return KeyStore(self._keys_table)

    @cached_property
    def _keys_table(self) -> Table:
        return Table(self.clients.dynamodb, self.settings.keys_table)

    @cached_property
    def pepper(self) -> Pepper:
        from chalicelib.api_keys.gateways import Pepper

        return Pepper(lambda: self.clients.secretsmanager, self.settings.key_pepper_arn)

    @cached_property
    def api_keys(self) -> ApiKeyService:
        from chalicelib.api_keys.key import ID_BYTES, SECRET_BYTES, KeyText
        from chalicelib.api_keys.service import ApiKeyService

        return ApiKeyService(
            store=self._key_store,
            pepper=self.pepper,
            now=self.now,
            new_text=lambda: KeyText(secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)),
            audit=self.audit,
        )

    @cached_property
    def job_store(self) -> JobStore:
        from chalicelib.jobs.store import JobStore

        return JobStore(Table(self.clients.dynamodb, self.settings.jobs_table))

    @cached_property
    def quotas(self) -> QuotaService:
        from chalicelib.quotas.service import QuotaService
        from chalicelib.quotas.store import QuotaStore

        return QuotaService(QuotaStore(Table(self.clients.dynamodb, self.settings.quotas_table)), self.now)

    @cached_property
    def _capacity_store(self) -> CapacityStore:
        from chalicelib.capacity.store import CapacityStore

        return CapacityStore(Table(self.clients.dynamodb, self.settings.capacity_table))

    @cached_property
    def admission(self) -> Admission:
        from chalicelib.capacity.admission import Admission
        from chalicelib.capacity.gateways import Waiters
        from chalicelib.capacity.pool import GATED
        from chalicelib.jobs.job import Backend

        waiters = Waiters(lambda: self.clients.stepfunctions)
        # Where an operator named a Batch queue for SageMaker too, nothing waits here.
        gated = frozenset[Backend]() if self.settings.training_queue else GATED
        return Admission(self._capacity_store, self.job_store, waiters, self.now, time.monotonic, gated)

    @cached_property
    def capacity_upkeep(self) -> Upkeep:
        from chalicelib.capacity.upkeep import Upkeep

        return Upkeep(self._capacity_store, self.admission, self.preemption, self.now, time.monotonic)

    @cached_property
    def preemption(self) -> Preemption:
        from chalicelib.capacity.preemption import Preemption

        return Preemption(self._capacity_store, self.job_store, self.objects, self.backends, self.now)

    @cached_property
    def pools(self) -> PoolService:
        from chalicelib.capacity.service import PoolService

        return PoolService(self._capacity_store, self.admission, self.audit, self.now)

    @cached_property
    def capacity_import(self) -> Importing:
        from chalicelib.capacity.gateways import ServiceQuotas
        from chalicelib.capacity.importing import Importing

        quotas = ServiceQuotas(lambda: self.clients.service_quotas)
        return Importing(self.pools, quotas, self._batch_machines, time.monotonic)

    @cached_property
    def queue(self) -> Queue:
        from chalicelib.capacity.queue import Queue

        return Queue(self.jobs, self._capacity_store, self.now, self._batch_queue(), self._training_batch_queue())

    @cached_property
    def quota_check(self) -> QuotaCheck:
        from chalicelib.quotas.check import QuotaCheck

        return QuotaCheck(self.quotas.store, self.job_store.charged, time.sleep, time.monotonic)

    @cached_property
    def quota_rounds(self) -> Rounds:
        from chalicelib.quotas.rounds import Rounds

        return Rounds(self.quotas.store, self.quota_check, self.now, time.monotonic)

    @cached_property
    def accounts(self) -> AccountService:
        from chalicelib.quotas.accounts import AccountService

        return AccountService(self.quotas.store, self.quota_check, self.audit, self.now)

    @cached_property
    def job_deletion(self) -> Deletion:
        from chalicelib.jobs.deletion import Deletion

        return Deletion(
            store=self.job_store,
            models=self.model_store,
            metrics=self.metrics,
            objects=self.objects,
            quotas=self.quotas,
            audit=self.audit,
            now=self.now,
        )

    @cached_property
    def usage_store(self) -> UsageStore:
        from chalicelib.costs.store import UsageStore

        return UsageStore(Table(self.clients.dynamodb, self.settings.usage_table))

    @cached_property
    def meter(self) -> Meter:
        from chalicelib.costs.meter import Meter

        # What Lambda bills as initialization: from the start of the process until this platform was made.
        start_seconds = max(0.0, process_seconds() - (time.monotonic() - self._made_at))
        memory = self.settings.memory_megabytes
        return Meter(self.clients.calls, self.usage_store, memory, time.monotonic, start_seconds)

    @cached_property
    def costs(self) -> CostService:
        from chalicelib.costs.service import CostService

        return CostService(self.jobs, self.usage_store, self._signer(), self.now)

    @cached_property
    def receipts(self) -> Issuing:
        from chalicelib.costs.history import History
        from chalicelib.costs.issuing import Issuing

        history = History(self.clients.stepfunctions, self.settings.train_job_executions)
        return Issuing(self.job_store, self.usage_store, history, self._signer(), self.meter, self.now)

    @cached_property
    def metrics(self) -> MetricStore:
        from chalicelib.jobs.metrics import MetricStore

        return MetricStore(Table(self.clients.dynamodb, self.settings.metrics_table))

    @cached_property
    def backends(self) -> Backends:
        from chalicelib.jobs.gateways import Backends

        return Backends(self.clients)

    @cached_property
    def jobs(self) -> JobService:
        from chalicelib.jobs.gateways import Machine
        from chalicelib.jobs.secrets import Vault
        from chalicelib.jobs.service import JobService
        from chalicelib.together import at_once

        return JobService(
            store=self.job_store,
            objects=self.objects,
            machine=Machine(self.clients.stepfunctions, self.settings.train_job_arn),
            quotas=self.quotas,
            admission=self.admission,
            backends=self.backends,
            batch_machines=self._batch_machines,
            vault=Vault(lambda: self.clients.kms, self.settings.secrets_key, lambda: self.pepper.value),
            region=self.settings.region,
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
            together=at_once,
        )

    @cached_property
    def logs(self) -> LogReader:
        from chalicelib.jobs.job import Backend
        from chalicelib.jobs.logs import LogReader

        def group_of(backend: Backend) -> str:
            return self.settings.training_log_group if backend is Backend.SAGEMAKER else self.settings.batch_log_group

        return LogReader(self.clients.logs, self.job_store, self.backends, group_of, self.now, time.sleep)

    @cached_property
    def event_bus(self) -> Bus:
        from chalicelib.events.gateways import Bus

        return Bus(self.clients.events, self.settings.event_bus, time.sleep)

    @cached_property
    def ledger(self) -> LedgerStore:
        from chalicelib.jobs.ledger_store import LedgerStore

        return LedgerStore(self.job_store.table)

    @cached_property
    def sweep(self) -> Sweep:
        from chalicelib.reconciler.sweep import Sweep

        return Sweep(self.job_repairs, self.deployment_repairs, self.now, time.monotonic)

    @cached_property
    def job_repairs(self) -> JobRepairs:
        from chalicelib.jobs.definitions import JobDefinitions
        from chalicelib.jobs.gateways import Machine
        from chalicelib.reconciler.gateways import Executions, RunningInQueue, RunningOnBatch, RunningOnSageMaker
        from chalicelib.reconciler.jobs import JobRepairs

        queues = JobDefinitions(lambda: self.clients.batch, self.settings).queues()
        on_batch = (RunningOnBatch(self.clients.batch, queues),) if queues else ()
        training_queue = self.settings.training_queue
        in_queue = (RunningInQueue(self.clients.batch, training_queue),) if training_queue else ()
        return JobRepairs(
            store=self.job_store,
            tenants=self.quotas.store.tenants_after,
            executions=Executions(self.clients.stepfunctions, self.settings.train_job_executions),
            machine=Machine(self.clients.stepfunctions, self.settings.train_job_arn),
            finishing=lambda: self.finishing,
            receipts=lambda: self.receipts,
            notes=self.sweep_store,
            admission=self.admission,
            backends=self.backends,
            running=(RunningOnSageMaker(self.clients.sagemaker), *on_batch, *in_queue),
            stack=self.settings.stack,
            now=self.now,
            seconds=time.monotonic,
            pause=time.sleep,
        )

    @cached_property
    def deployment_repairs(self) -> DeploymentRepairs:
        from chalicelib.deployments.gateways import DeploymentMachine
        from chalicelib.reconciler.deployments import DeploymentRepairs, Machines
        from chalicelib.reconciler.gateways import Executions, StandingEndpoints

        def machines(arn: str) -> Machines:
            stepfunctions = self.clients.stepfunctions
            executions = arn.replace(":stateMachine:", ":execution:") + ":"
            return Machines(DeploymentMachine(stepfunctions, arn), Executions(stepfunctions, executions))

        return DeploymentRepairs(
            store=self.deployment_store,
            deploy=machines(self.settings.deploy_model_arn),
            undeploy=machines(self.settings.undeploy_model_arn),
            finishing=self.deployment_finishing,
            describing=self._endpoints(),
            standing=StandingEndpoints(self.clients.sagemaker),
            stack=self.settings.stack,
            now=self.now,
        )

    @cached_property
    def sweep_store(self) -> SweepStore:
        from chalicelib.reconciler.store import SweepStore

        return SweepStore(self.job_store.table)

    @cached_property
    def reconciler(self) -> ReconcilerService:
        from chalicelib.reconciler.gateways import Sweeper
        from chalicelib.reconciler.service import ReconcilerService

        def sweeper() -> Sweeper:
            return Sweeper(self.clients.functions, self.settings.reconcile_arn)

        return ReconcilerService(self.sweep_store, sweeper, self.now, self.audit)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        from chalicelib.jobs.definitions import JobDefinitions
        from chalicelib.jobs.lifecycle import Lifecycle

        return Lifecycle(
            store=self.job_store,
            objects=self.objects,
            backends=self.backends,
            definitions=JobDefinitions(lambda: self.clients.batch, self.settings),
            admission=lambda: self.admission,
            preemption=lambda: self.preemption,
            around=self._surroundings,
            region=self.settings.region,
            now=self.now,
            new_token=lambda: secrets.token_urlsafe(24),
            training_queue=self._training_queue(),
        )

    @cached_property
    def enqueueing(self) -> Enqueueing:
        from chalicelib.capacity.gateways import Waiters
        from chalicelib.jobs.enqueueing import Enqueueing

        return Enqueueing(self.job_store, self.backends.queued, lambda: Waiters(lambda: self.clients.stepfunctions))

    @cached_property
    def finishing(self) -> JobFinishing:
        from chalicelib.jobs.finishing import Finishing

        return Finishing(
            self.job_store, self.objects, self.quotas, self.admission, self.usage_store, self.backends, self.now
        )

    @cached_property
    def reports(self) -> Reports:
        from chalicelib.jobs.reports import Reports

        return Reports(self.job_store, self.metrics, self.lifecycle, self.meter.for_job)

    @cached_property
    def model_store(self) -> ModelStore:
        from chalicelib.models.store import ModelStore

        return ModelStore(Table(self.clients.dynamodb, self.settings.models_table))

    @cached_property
    def models(self) -> ModelService:
        from chalicelib.models.external import ExternalArtifacts
        from chalicelib.models.service import ModelService

        artifacts = ExternalArtifacts(self.clients.s3, self.settings.artifacts_bucket)
        return ModelService(self.model_store, artifacts, self.now, self.new_id, self.audit)

    @cached_property
    def registration(self) -> Registration:
        from chalicelib.models.registration import Registration

        return Registration(
            self.model_store, self.tracking_registry, self.settings.artifacts_bucket, self.now, self.audit
        )

    @cached_property
    def tracking_registry(self) -> TrackingRegistry:
        from chalicelib.tracking.address import TrackingAddress
        from chalicelib.tracking.client import TrackingClient, http_send
        from chalicelib.tracking.registry import TrackingRegistry

        def sign(*arguments: Any) -> Mapping[str, str]:
            return self.clients.sign(*arguments)

        address = TrackingAddress.parse(self.settings.mlflow_tracking_uri)
        return TrackingRegistry(TrackingClient(address, http_send(), sign, time.sleep, random.uniform))

    @cached_property
    def deployment_store(self) -> DeploymentStore:
        from chalicelib.deployments.store import DeploymentStore

        return DeploymentStore(Table(self.clients.dynamodb, self.settings.deployments_table))

    @cached_property
    def deployments(self) -> DeploymentService:
        from chalicelib.deployments.gateways import DeploymentMachine
        from chalicelib.deployments.service import DeploymentService

        return DeploymentService(
            store=self.deployment_store,
            models=self.model_store,
            deploy_machine=DeploymentMachine(self.clients.stepfunctions, self.settings.deploy_model_arn),
            undeploy_machine=DeploymentMachine(self.clients.stepfunctions, self.settings.undeploy_model_arn),
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
        )

    @cached_property
    def invocations(self) -> Invocations:
        from chalicelib.deployments.invocations import Invocations

        return Invocations(self.deployment_store, self._model_endpoint())

    @cached_property
    def deployment_planning(self) -> Planning:
        from chalicelib.deployments.plan import Surroundings
        from chalicelib.deployments.planning import Planning
        from chalicelib.jobs.images import inference_image
        from chalicelib.tenants.roles import Purpose

        return Planning(
            store=self.deployment_store,
            models=self.model_store,
            endpoints=self._endpoints(),
            image_of=lambda framework, gpu: inference_image(framework, gpu, self.settings.region),
            around=lambda tenant: Surroundings(
                self.tenant_roles.require(tenant, Purpose.SERVING), self.settings.region, self.settings.stack
            ),
        )

    @cached_property
    def deployment_waiting(self) -> Waiting:
        from chalicelib.deployments.gateways import Waiters
        from chalicelib.deployments.waiting import Waiting

        return Waiting(self.deployment_store, self._endpoints(), Waiters(self.clients.stepfunctions))

    @cached_property
    def smoke_test(self) -> SmokeTest:
        from chalicelib.deployments.smoke import SmokeTest

        return SmokeTest(self.deployment_store, self.model_store, self._model_endpoint(), time.sleep, self.now)

    @cached_property
    def deployment_finishing(self) -> Finishing:
        from chalicelib.deployments.finishing import Finishing

        return Finishing(self.deployment_store, self.model_store, self._endpoints(), self.now)

    def _batch_queue(self) -> BatchQueue | None:
        from chalicelib.capacity.batch_queue import BatchQueue
        from chalicelib.capacity.container_queues import ContainerQueues
        from chalicelib.jobs.definitions import JobDefinitions

        max_vcpus = self.settings.batch_max_vcpus
        if max_vcpus is None:
            return None
        arn_of = JobDefinitions(lambda: self.clients.batch, self.settings).queue_of
        view = ContainerQueues(lambda: self.clients.batch, arn_of, max_vcpus)
        return BatchQueue(view, self._owner_of_job, self.now)

    def _training_batch_queue(self) -> BatchQueue | None:
        from chalicelib.capacity.batch_queue import BatchQueue
        from chalicelib.capacity.service_queues import ServiceQueues

        queue = self._training_queue()
        if queue is None:
            return None
        view = ServiceQueues(lambda: self.clients.batch, self.backends.queued, queue)
        return BatchQueue(view, self._owner_of_job, self.now)

    def _owner_of_job(self, tenant: str, job_id: str) -> str | None:
        job = self.job_store.get(tenant, job_id)
        return job.user if job else None

    def _training_queue(self) -> TrainingQueue | None:
        """The Batch queue that the operator named for SageMaker training jobs."""
        from chalicelib.jobs.training_queue import Order, TrainingQueue

        arn = self.settings.training_queue
        if arn is None:
            return None
        order = Order(self.settings.training_queue_order)
        return TrainingQueue(arn, order, self.settings.training_queue_shares)

    def _signer(self) -> Signer:
        from chalicelib.costs.signer import Signer

        return Signer(self.clients.kms, self.settings.receipt_key_arn)

    def _batch_machines(self) -> BatchMachines | None:
        from chalicelib.jobs.instances import BatchMachines

        disk = self.settings.batch_disk_gib
        return BatchMachines(disk, self.settings.batch_gpu_types) if disk is not None else None

    def _endpoints(self) -> Endpoints:
        from chalicelib.deployments.gateways import Endpoints

        return Endpoints(self.clients.sagemaker)

    def _model_endpoint(self) -> ModelEndpoint:
        from chalicelib.deployments.invocations import ModelEndpoint

        return ModelEndpoint(self.clients.sagemaker_runtime)

    def _surroundings(self, tenant: str) -> Surroundings:
        from chalicelib.jobs.plan import Surroundings
        from chalicelib.tenants.roles import Purpose

        return Surroundings(
            bucket=self.settings.artifacts_bucket,
            agent_uri=self.settings.agent_uri,
            training_role_arn=self.tenant_roles.require(tenant, Purpose.TRAINING),
            mlflow_tracking_uri=self.settings.mlflow_tracking_uri,
            stack=self.settings.stack,
        )
