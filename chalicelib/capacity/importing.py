"""Takes the limits of the pools from the AWS account's own service quotas, when an operator asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.capacity.account import AccountQuota, PoolQuota, families_of, pool_quotas, training_instances
from chalicelib.capacity.gateways import ServiceQuotas
from chalicelib.capacity.pool import Pool
from chalicelib.capacity.request import PoolRequest
from chalicelib.capacity.service import PoolService
from chalicelib.errors import Unavailable
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.instances import BatchMachines, price_list
from chalicelib.jobs.job import Backend

# SageMaker lists a few thousand quotas, a hundred a page. API Gateway gives up after 29 s, and limits have to be set too.
READ_SECONDS = 15.0
# What remains is given to admitting those who fit now; the minute's schedule goes on with the others.
ADMIT_SECONDS = 1.0


@dataclass(frozen=True)
class PoolImport:
    """One pool: what it has now, and what the account allows.

    Attributes:
        before: None when nobody ever set a limit.
    """

    quota: PoolQuota
    before: Pool | None

    @property
    def limit_now(self) -> int | None:
        return self.before.limit if self.before else None

    @property
    def is_changed(self) -> bool:
        return self.quota.limit is not None and self.quota.limit != self.limit_now


@dataclass(frozen=True)
class BatchQuota:
    """What the account allows the EC2 instances of Batch; its queues are limited by the stack's parameters."""

    quota: AccountQuota
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class ImportReport:
    pools: tuple[PoolImport, ...]
    batch: tuple[BatchQuota, ...]


@dataclass(frozen=True)
class Importing:
    """
    Args:
        batch_machines: what Batch has in this installation; None without a Batch part.
        monotonic: seconds, for how long reading has taken.
    """

    pools: PoolService
    quotas: ServiceQuotas
    batch_machines: Callable[[], BatchMachines | None]
    monotonic: Callable[[], float]

    def plan(self, caller: Caller) -> ImportReport:
        """What the account allows, beside what is set; changes nothing.

        Raises:
            Unavailable: Service Quotas answers too slowly.
        """
        caller.require(Permission.CAPACITY_MANAGE)
        until = self.monotonic() + READ_SECONDS
        instances = training_instances(self._in_time(until))
        backends = [backend for backend in Backend if backend in self.pools.admission.gated]
        found = [
            PoolImport(quota, self.pools.store.pool(quota.pool))
            for backend in backends
            for quota in pool_quotas(backend.value, price_list(backend.value).types, instances)
        ]
        return ImportReport(tuple(found), tuple(self._batch()))

    def apply(self, caller: Caller) -> ImportReport:
        """Set each pool's limit to what the account allows; its other settings stay. What is the same is left alone.

        Nothing is set before everything has been read. Each pool is set for itself, so that a repetition goes on where this
        one ended.

        Raises:
            Unavailable: Service Quotas answers too slowly; nothing was set.
        """
        report = self.plan(caller)
        for each in report.pools:
            if each.is_changed and each.quota.limit is not None:
                settings = {"limit": each.quota.limit}
                if each.before:
                    settings |= {
                        name: getattr(each.before, name) for name in PoolRequest.model_fields if name != "limit"
                    }
                self.pools.set_pool(caller, each.quota.pool, PoolRequest.model_validate(settings), ADMIT_SECONDS)
        return report

    def _in_time(self, until: float) -> list[AccountQuota]:
        found: list[AccountQuota] = []
        for page in self.quotas.pages("sagemaker"):
            found += page
            if self.monotonic() > until:
                raise Unavailable(
                    "Service Quotas answers too slowly to be read at once. Nothing was changed; try again."
                )
        return found

    def _batch(self) -> list[BatchQuota]:
        machines = self.batch_machines()
        if machines is None:
            return []
        types = [kind for kind in price_list("batch").types if kind.gpu_type in {None, *machines.gpu_types}]
        found = [(self.quotas.find("ec2", family.code), kinds) for family, kinds in families_of(types)]
        return [BatchQuota(quota, kinds) for quota, kinds in found if quota]
