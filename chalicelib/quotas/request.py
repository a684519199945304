"""The shape of new limits. What is left out gets the default; null is no limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from chalicelib.quotas.quota import TENANT_DEFAULTS, USER_DEFAULTS, Limits
from chalicelib.shape import Shape

_MOST = 1_000_000_000
Count = Annotated[int, Field(ge=0, le=_MOST)]
GpuType = Literal["v100", "a100", "h100", "t4"]


class _LimitsRequest(Shape):
    max_gpus: dict[GpuType, Count] = Field(default_factory=dict)
    max_runtime_seconds: Annotated[int, Field(ge=60, le=_MOST)] | None = None
    max_usd_per_month: Annotated[float, Field(ge=0, le=_MOST)] | None = None

    def limits(self) -> Limits:
        values = self.model_dump()
        usd = self.max_usd_per_month
        return Limits(**{**values, "max_usd_per_month": None if usd is None else Decimal(str(usd))})


class UserLimitsRequest(_LimitsRequest):
    max_concurrent_jobs: Count | None = USER_DEFAULTS.max_concurrent_jobs
    max_gpu_hours_per_month: Count | None = USER_DEFAULTS.max_gpu_hours_per_month
    max_cpu_hours_per_month: Count | None = USER_DEFAULTS.max_cpu_hours_per_month
    max_storage_gb: Count | None = USER_DEFAULTS.max_storage_gb


class TenantLimitsRequest(_LimitsRequest):
    max_concurrent_jobs: Count | None = TENANT_DEFAULTS.max_concurrent_jobs
    max_gpu_hours_per_month: Count | None = TENANT_DEFAULTS.max_gpu_hours_per_month
    max_cpu_hours_per_month: Count | None = TENANT_DEFAULTS.max_cpu_hours_per_month
    max_storage_gb: Count | None = TENANT_DEFAULTS.max_storage_gb
