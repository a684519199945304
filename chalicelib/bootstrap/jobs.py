"""Jobs: from a submission to a receipt."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib.bootstrap.capacity import Capacity
from chalicelib.clock import process_seconds

if TYPE_CHECKING:
    from chalicelib.capacity.queue import Queue
    from chalicelib.costs.issuing import Issuing
    from chalicelib.costs.meter import Meter
    from chalicelib.costs.service import CostService
    from chalicelib.costs.signer import Signer
    from chalicelib.jobs.deletion import Deletion
    from chalicelib.jobs.enqueueing import Enqueueing
    from chalicelib.jobs.export import Exporting, ExportService
    from chalicelib.jobs.finishing import Finishing as JobFinishing
    from chalicelib.jobs.ledger_store import LedgerStore
    from chalicelib.jobs.lifecycle import Lifecycle
    from chalicelib.jobs.logs import LogReader
    from chalicelib.jobs.moving import Moving
    from chalicelib.jobs.plan import Surroundings
    from chalicelib.jobs.reports import Reports
    from chalicelib.jobs.service import JobService
    from chalicelib.jobs.stream import JobStream


class Jobs(Capacity):
    """Jobs: from a submission to a receipt."""

    @cached_property
    def meter(self) -> Meter:
        from chalicelib.costs.meter import Meter

        # What Lambda bills as initialization: from the start of the process until this platform was made.
        start_seconds = max(0.0, process_seconds() - (time.monotonic() - self._made_at))
        memory = self.settings.memory_megabytes
        return Meter(self.clients.calls, self.usage_store, memory, time.monotonic, start_seconds)

    def metered(self, handler: Callable[[dict[str, Any], object], Any]) -> Callable[[dict[str, Any], object], Any]:
        """A handler whose work for jobs is counted. What a machine calls names its job in its input."""

        @functools.wraps(handler)
        def counted(event: dict[str, Any], context: object) -> Any:
            with self.meter.work():
                if "tenant" in event and "job_id" in event:
                    self.meter.for_job(event["tenant"], event["job_id"])
                return handler(event, context)

        return counted

    def _signer(self) -> Signer:
        from chalicelib.costs.signer import Signer

        return Signer(self.clients.kms, self.settings.receipt_key_arn)

    @cached_property
    def jobs(self) -> JobService:
        from chalicelib.jobs.secrets import Vault
        from chalicelib.jobs.service import JobService
        from chalicelib.machine import StateMachine
        from chalicelib.together import at_once

        return JobService(
            store=self.job_store,
            objects=self.objects,
            machine=StateMachine(self.clients.stepfunctions, self.settings.train_job_arn),
            quotas=self.quotas,
            admission=self.admission,
            backends=self.backends,
            batch_machines=self._batch_machines,
            vault=Vault(lambda: self.clients.kms, self.settings.secrets_key, lambda: self.pepper.value),
            region=self.settings.region,
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
            spot_rates=self.settings.spot_rates,
            together=at_once,
        )

    @cached_property
    def queue(self) -> Queue:
        from chalicelib.capacity.queue import Queue

        return Queue(self.jobs, self._capacity_store, self.now, self._batch_queue(), self._training_batch_queue())

    @cached_property
    def logs(self) -> LogReader:
        from chalicelib.jobs.job import Backend
        from chalicelib.jobs.logs import LogReader

        def group_of(backend: Backend) -> str:
            return self.settings.training_log_group if backend is Backend.SAGEMAKER else self.settings.batch_log_group

        return LogReader(self.clients.logs, self.job_store, self.backends, group_of, self.now, time.sleep)

    @cached_property
    def exports(self) -> ExportService:
        from chalicelib.function import Function
        from chalicelib.jobs.export import ExportService, ExportStore

        def function() -> Function:
            return Function(self.clients.functions, self.settings.export_arn)

        return ExportService(self.jobs, ExportStore(self.job_store.table), function, self.audit, self.now)

    @cached_property
    def exporting(self) -> Exporting:
        from chalicelib.jobs.export import Exporting, ExportStore

        store = ExportStore(self.job_store.table)
        return Exporting(self.job_store, store, self.logs, self.metrics, self.objects, self.now)

    @cached_property
    def job_stream(self) -> JobStream:
        from chalicelib.jobs.stream import JobStream

        return JobStream(self.logs, self.ledger, self.job_store, self.now, time.sleep)

    @cached_property
    def ledger(self) -> LedgerStore:
        from chalicelib.jobs.ledger_store import LedgerStore

        return LedgerStore(self.job_store.table)

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
            moving=lambda: self._moving,
            training_queue=self._training_queue(),
        )

    @cached_property
    def _moving(self) -> Moving:
        from chalicelib.jobs.moving import Moving

        return Moving(self.job_store, self.quotas, self.admission, self._batch_machines, self.now)

    @cached_property
    def enqueueing(self) -> Enqueueing:
        from chalicelib.capacity.gateways import Waiters
        from chalicelib.jobs.enqueueing import Enqueueing

        return Enqueueing(self.job_store, self.backends.queued, lambda: Waiters(lambda: self.clients.stepfunctions))

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
    def receipts(self) -> Issuing:
        from chalicelib.costs.history import History
        from chalicelib.costs.issuing import Issuing

        history = History(self.clients.stepfunctions, self.settings.train_job_executions)
        return Issuing(self.job_store, self.usage_store, history, self._signer(), self.meter, self.now)

    @cached_property
    def costs(self) -> CostService:
        from chalicelib.costs.service import CostService

        return CostService(self.jobs, self.usage_store, self._signer(), self.now)

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
