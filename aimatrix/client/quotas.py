"""Limits and what is held under them, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

Amount = int | float | Decimal


@dataclass(frozen=True)
class Limits:
    """What a user, or a tenant as a whole, may hold and use; None is no limit.

    Attributes:
        max_usd_per_month: to the cent or finer; the service keeps it as it is.
        max_runtime_seconds: of a single job.
        max_gpus: GPUs at once, by type; a type that is not named has no limit.
    """

    max_concurrent_jobs: int | None = None
    max_gpu_hours_per_month: int | None = None
    max_cpu_hours_per_month: int | None = None
    max_storage_gb: int | None = None
    max_usd_per_month: Decimal | None = None
    max_runtime_seconds: int | None = None
    max_gpus: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Limits:
        usd = document.get("max_usd_per_month")
        return cls(
            max_concurrent_jobs=document.get("max_concurrent_jobs"),
            max_gpu_hours_per_month=document.get("max_gpu_hours_per_month"),
            max_cpu_hours_per_month=document.get("max_cpu_hours_per_month"),
            max_storage_gb=document.get("max_storage_gb"),
            max_usd_per_month=None if usd is None else _money(usd),
            max_runtime_seconds=document.get("max_runtime_seconds"),
            max_gpus=document.get("max_gpus") or {},
        )

    def to_document(self) -> dict[str, Any]:
        """Every limit, those that are None too: what is left out would get the service's default."""
        usd = self.max_usd_per_month
        return {**asdict(self), "max_usd_per_month": None if usd is None else float(usd)}


@dataclass(frozen=True)
class Use:
    """One limit, and what is held under it.

    Attributes:
        limit: its name in ``Limits``; ``max_gpus.t4`` for one type of GPU.
        most: None without a limit.
        taken: used and reserved together: a job reserves the most that it may take, and gives back the rest at its end.
        reserved: the part of it that may still come back.
    """

    limit: str
    unit: str
    most: Amount | None
    taken: Amount
    reserved: Amount

    @property
    def used(self) -> Amount:
        return _minus(self.taken, self.reserved)

    @property
    def free(self) -> Amount | None:
        """None without a limit; zero where a limit was lowered below what is taken."""
        return None if self.most is None else max(_minus(self.most, self.taken), 0)


# The limit, its unit, the field that says how much is taken, and the part of ``reserved`` that is of it.
_COUNTED = (
    ("max_concurrent_jobs", "jobs", "current_concurrent_jobs", None),
    ("max_gpu_hours_per_month", "GPU hours", "current_gpu_hours_this_month", "gpu_hours"),
    ("max_cpu_hours_per_month", "CPU hours", "current_cpu_hours_this_month", "cpu_hours"),
    ("max_usd_per_month", "USD", "current_usd_this_month", "usd"),
    ("max_storage_gb", "GB", "current_storage_gb", "storage_gb"),
)


@dataclass(frozen=True)
class Quota:
    """The limits of a user or of a tenant, and what is held under them now and in this month.

    Attributes:
        scope: ``user`` or ``tenant``.
        user_id: None for a tenant's.
        month: ``2031-05``, in UTC: the one that monthly limits count.
    """

    scope: str
    tenant: str
    user_id: str | None
    month: str
    limits: Limits
    document: Mapping[str, Any] = field(repr=False)

    @property
    def version(self) -> int | None:
        """Of the limits, as ``set_user`` takes it; 0 where nobody ever set any, None where the service does not tell."""
        return self.document.get("version")

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Quota:
        return cls(
            scope=document["scope"],
            tenant=document.get("tenant", ""),
            user_id=document.get("user_id"),
            month=document.get("month", ""),
            limits=Limits.from_document(document.get("limits") or {}),
            document=document,
        )

    def uses(self) -> Iterator[Use]:
        """Each limit that something counts under; GPUs of a type only where there is a limit or a use."""
        reserved = self.document.get("reserved") or {}
        for limit, unit, taken, part in _COUNTED:
            most = getattr(self.limits, limit)
            yield Use(limit, unit, most, self.document.get(taken) or 0, (part and reserved.get(part)) or 0)
        gpus = self.document.get("current_gpus") or {}
        for gpu_type in sorted({*gpus, *self.limits.max_gpus}):
            most = self.limits.max_gpus.get(gpu_type)
            yield Use(f"max_gpus.{gpu_type}", f"{gpu_type} GPUs", most, gpus.get(gpu_type, 0), 0)


@dataclass(frozen=True)
class OwnQuota:
    """The two that a submission has to fit under: the caller's own, and the tenant's."""

    user: Quota
    tenant: Quota
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> OwnQuota:
        return cls(Quota.from_document(document["user"]), Quota.from_document(document["tenant"]), document)


@dataclass(frozen=True)
class Difference:
    """A counter that is not what the tenant's records say.

    Attributes:
        user_id: None for a counter of the tenant as a whole.
        item: ``now``, or ``month#2031-05``.
    """

    scope: str
    user_id: str | None
    item: str
    counter: str
    recorded: float
    recomputed: float

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Difference:
        return cls(
            scope=document["scope"],
            user_id=document.get("user_id"),
            item=document["item"],
            counter=document["counter"],
            recorded=document["recorded"],
            recomputed=document["recomputed"],
        )


@dataclass(frozen=True)
class QuotaCheck:
    """Every counter of the tenant, compared with its records.

    Attributes:
        owners: accounts compared: of users, and the tenant's.
        jobs: jobs that the counters were recomputed from.
        differences: there must be none.
        in_motion: the accounts that changed during each look; they were not compared.
    """

    owners: int
    jobs: int
    differences: tuple[Difference, ...]
    in_motion: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def nothing(cls) -> QuotaCheck:
        return cls.from_document({"owners": 0, "jobs": 0, "differences": [], "in_motion": []})

    def plus(self, other: QuotaCheck) -> QuotaCheck:
        """Two parts of a check as one."""
        names = ("owners", "jobs", "differences", "in_motion")
        joined = {name: self.document.get(name, 0) + other.document.get(name, 0) for name in names[:2]}
        for name in names[2:]:
            joined[name] = [*self.document.get(name, ()), *other.document.get(name, ())]
        return QuotaCheck.from_document({**other.document, **joined})

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> QuotaCheck:
        return cls(
            owners=document.get("owners", 0),
            jobs=document.get("jobs", 0),
            differences=tuple(Difference.from_document(each) for each in document.get("differences") or ()),
            in_motion=tuple(each.get("user_id") or each["scope"] for each in document.get("in_motion") or ()),
            document=document,
        )


def _money(amount: Any) -> Decimal:
    return Decimal(str(amount))


def _minus(left: Amount, right: Amount) -> Amount:
    """Without the tail that binary fractions leave: 0.3 - 0.1 is 0.2."""
    if isinstance(left, int) and isinstance(right, int):
        return left - right
    return _money(left) - _money(right)
