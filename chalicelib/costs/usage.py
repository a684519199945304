"""What a job used, as the usage log keeps it, and what a month comes to: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from chalicelib.costs.bill import HOUR, Bill
from chalicelib.jobs.job import Job

_MICRO = Decimal("0.000001")


class SummaryKind(Enum):
    """What months are summed up by."""

    USER = "user"
    TENANT = "tenant"
    FRAMEWORK = "framework"
    NAME = "name"


@dataclass(frozen=True)
class Amounts:
    """What adds up: whole seconds of GPUs, of cores and of GB of disk, and money."""

    gpu_seconds: int = 0
    cpu_seconds: int = 0
    disk_gb_seconds: int = 0
    instance_usd: Decimal = Decimal(0)
    storage_usd: Decimal = Decimal(0)

    @property
    def cost_usd(self) -> Decimal:
        return self.instance_usd + self.storage_usd

    def hours(self) -> dict[str, Decimal]:
        """`gpu_hours`, `cpu_hours` and `storage_gb_hours`."""
        names = {"gpu_hours": self.gpu_seconds, "cpu_hours": self.cpu_seconds, "storage_gb_hours": self.disk_gb_seconds}
        return {name: (Decimal(amount) / HOUR).quantize(_MICRO) for name, amount in names.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Amounts:
        return cls(
            gpu_seconds=int(values["gpu_seconds"]),
            cpu_seconds=int(values["cpu_seconds"]),
            disk_gb_seconds=int(values["disk_gb_seconds"]),
            instance_usd=Decimal(values["instance_usd"]),
            storage_usd=Decimal(values["storage_usd"]),
        )


@dataclass(frozen=True)
class UsageRow:
    """One finished job.

    Attributes:
        month: that of the job's submission, to which it is charged whole, as its quota is.
    """

    tenant: str
    user: str
    job_id: str
    name: str
    framework: str
    status: str
    month: str
    amounts: Amounts
    period_start: datetime
    period_end: datetime

    def group(self, kind: SummaryKind) -> str:
        """Under which value of a summary it falls."""
        match kind:
            case SummaryKind.USER:
                return self.user
            case SummaryKind.TENANT:
                return self.tenant
            case SummaryKind.FRAMEWORK:
                return self.framework
        return self.name


@dataclass(frozen=True)
class Summary:
    """A month of a user, a tenant, a framework or a name."""

    kind: SummaryKind
    value: str
    month: str
    jobs: int
    amounts: Amounts


def usage_of(ended: Job, bill: Bill) -> UsageRow:
    """The row of a job that ends now."""
    end = ended.completed_at or ended.updated_at
    return UsageRow(
        tenant=ended.tenant,
        user=ended.user,
        job_id=ended.job_id,
        name=ended.name,
        framework=ended.framework,
        status=ended.status.value,
        month=ended.reservation.month,
        amounts=Amounts(
            gpu_seconds=bill.gpu_seconds,
            cpu_seconds=bill.cpu_seconds,
            disk_gb_seconds=bill.disk_gb_seconds,
            instance_usd=bill.instance_usd,
            storage_usd=bill.disk_usd,
        ),
        period_start=min(ended.started_at or end, end),
        period_end=end,
    )
