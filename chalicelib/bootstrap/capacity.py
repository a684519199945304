"""How much: quotas, pools, and the queues of Batch."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.identity import Identity
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.capacity.admission import Admission
    from chalicelib.capacity.batch_queue import BatchQueue
    from chalicelib.capacity.importing import Importing
    from chalicelib.capacity.preemption import Preemption
    from chalicelib.capacity.service import PoolService
    from chalicelib.capacity.upkeep import Upkeep
    from chalicelib.jobs.instances import BatchMachines
    from chalicelib.jobs.training_queue import TrainingQueue
    from chalicelib.quotas.accounts import AccountService
    from chalicelib.quotas.check import QuotaCheck
    from chalicelib.quotas.rounds import Rounds
    from chalicelib.quotas.service import QuotaService


class Capacity(Identity):
    """How much: quotas, pools, and the queues of Batch."""

    @cached_property
    def quotas(self) -> QuotaService:
        from chalicelib.quotas.service import QuotaService
        from chalicelib.quotas.store import QuotaStore

        return QuotaService(QuotaStore(Table(self.clients.dynamodb, self.settings.quotas_table)), self.now)

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
    def preemption(self) -> Preemption:
        from chalicelib.capacity.preemption import Preemption

        return Preemption(self._capacity_store, self.job_store, self.objects, self.backends, self.now)

    @cached_property
    def capacity_upkeep(self) -> Upkeep:
        from chalicelib.capacity.upkeep import Upkeep

        return Upkeep(self._capacity_store, self.admission, self.preemption, self.now, time.monotonic)

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

    def _batch_machines(self) -> BatchMachines | None:
        from chalicelib.jobs.instances import BatchMachines

        disk = self.settings.batch_disk_gib
        return BatchMachines(disk, self.settings.batch_gpu_types) if disk is not None else None

    def _training_queue(self) -> TrainingQueue | None:
        """The Batch queue that the operator named for SageMaker training jobs."""
        from chalicelib.jobs.training_queue import Order, TrainingQueue

        arn = self.settings.training_queue
        if arn is None:
            return None
        order = Order(self.settings.training_queue_order)
        return TrainingQueue(arn, order, self.settings.training_queue_shares)

    def _batch_queue(self) -> BatchQueue | None:
        from chalicelib.capacity.batch_queue import BatchQueue
        from chalicelib.capacity.container_queues import ContainerQueues
        from chalicelib.jobs.definitions import JobDefinitions

        max_vcpus = self.settings.batch_max_vcpus
        if max_vcpus is None:
            return None
        arn_of = JobDefinitions(lambda: self.clients.batch, self.settings).queue_for
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
