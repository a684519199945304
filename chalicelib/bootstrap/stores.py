"""What one process has of AWS, and the tables and buckets of the installation."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.aws import Clients
from chalicelib.clock import Clock, IdMaker, new_id, utc_now
from chalicelib.settings import Settings
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.api_keys.store import KeyStore
    from chalicelib.audit.store import AuditStore
    from chalicelib.capacity.store import CapacityStore
    from chalicelib.costs.store import UsageStore
    from chalicelib.deployments.store import DeploymentStore
    from chalicelib.jobs.gateways import Backends
    from chalicelib.jobs.store import JobStore
    from chalicelib.metrics.store import MetricStore
    from chalicelib.models.store import ModelStore
    from chalicelib.objects import Objects


class Stores:
    """
    Args:
        clients: AWS.
        settings: what the template says.
        now, new_id: time and identity.
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

    @cached_property
    def objects(self) -> Objects:
        from chalicelib.objects import Objects

        return Objects(self.clients.s3, self.settings.artifacts_bucket)

    @cached_property
    def _audit_store(self) -> AuditStore:
        from chalicelib.audit.store import AuditStore

        return AuditStore(Table(self.clients.dynamodb, self.settings.audit_table))

    @cached_property
    def _keys_table(self) -> Table:
        return Table(self.clients.dynamodb, self.settings.keys_table)

    @cached_property
    def _key_store(self) -> KeyStore:
        from chalicelib.api_keys.store import KeyStore

        return KeyStore(self._keys_table)

    @cached_property
    def job_store(self) -> JobStore:
        from chalicelib.jobs.store import JobStore

        return JobStore(Table(self.clients.dynamodb, self.settings.jobs_table))

    @cached_property
    def metrics(self) -> MetricStore:
        from chalicelib.metrics.store import MetricStore

        return MetricStore(
            Table(self.clients.dynamodb, self.settings.metrics_table),
            days=lambda: self.settings.metric_retention_days,
            now=self.now,
        )

    @cached_property
    def usage_store(self) -> UsageStore:
        from chalicelib.costs.store import UsageStore

        return UsageStore(Table(self.clients.dynamodb, self.settings.usage_table))

    @cached_property
    def _capacity_store(self) -> CapacityStore:
        from chalicelib.capacity.store import CapacityStore

        return CapacityStore(Table(self.clients.dynamodb, self.settings.capacity_table))

    @cached_property
    def model_store(self) -> ModelStore:
        from chalicelib.models.store import ModelStore

        return ModelStore(Table(self.clients.dynamodb, self.settings.models_table))

    @cached_property
    def deployment_store(self) -> DeploymentStore:
        from chalicelib.deployments.store import DeploymentStore

        return DeploymentStore(Table(self.clients.dynamodb, self.settings.deployments_table))

    @cached_property
    def backends(self) -> Backends:
        from chalicelib.jobs.gateways import Backends

        return Backends(self.clients)
