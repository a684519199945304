"""What a job may take at most, and what it took: pure arithmetic in whole seconds and in Decimal.

A job is billed for its instances as long as it has them: from the moment an attempt gets its machine to the moment it is
given back, over all attempts. Its time limit covers all attempts together, so the worst case is the limit plus the grace
in which a stopped script saves its work.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from chalicelib.costs.bill import Bill, usd_per_second
from chalicelib.jobs.job import Allocation
from chalicelib.quotas.quota import Amounts, Reservation, month_of

STOP_GRACE_SECONDS = 120
"""What SageMaker gives a stopped job: https://docs.aws.amazon.com/sagemaker/latest/dg/API_StopTrainingJob.html"""

MIN_TIME_LIMIT_SECONDS = 60
_MICRO = Decimal("0.000001")
_GB = 10**9


def reservation(allocation: Allocation, time_limit_seconds: int, now: datetime) -> Reservation:
    """The worst case of a job that is submitted now."""
    seconds = time_limit_seconds + STOP_GRACE_SECONDS
    most = Amounts(
        gpu_seconds=_gpu_seconds(allocation, seconds),
        cpu_seconds=_cpu_seconds(allocation, seconds),
        cost_usd=cost(allocation, seconds).quantize(_MICRO, ROUND_CEILING),
        storage_bytes=allocation.disk_gb * _GB,
    )
    gpus = allocation.gpu_count * allocation.instance_count
    return Reservation(month_of(now), most, gpus, allocation.gpu_type if gpus else None)


def continued(held: Reservation, spent: Bill, allocation: Allocation, time_limit_seconds: int) -> Reservation:
    """The worst case of a job that goes on on something else: what it has spent, and all that it may still take there.

    Args:
        held: what it has reserved until now.
        time_limit_seconds: what is left of its time limit.
    """
    seconds = time_limit_seconds + STOP_GRACE_SECONDS
    most = Amounts(
        gpu_seconds=spent.gpu_seconds + _gpu_seconds(allocation, seconds),
        cpu_seconds=spent.cpu_seconds + _cpu_seconds(allocation, seconds),
        cost_usd=(spent.usd + cost(allocation, seconds)).quantize(_MICRO, ROUND_CEILING),
        storage_bytes=held.most.storage_bytes,
    )
    gpus = allocation.gpu_count * allocation.instance_count
    return Reservation(held.month, most, gpus, allocation.gpu_type if gpus else None)


def used(bill: Bill, storage_bytes: int) -> Amounts:
    """What a job took."""
    return Amounts(
        gpu_seconds=bill.gpu_seconds,
        cpu_seconds=bill.cpu_seconds,
        cost_usd=bill.usd,
        storage_bytes=storage_bytes,
    )


def cost(allocation: Allocation, seconds: int) -> Decimal:
    """USD for this long, instances and disks, not rounded."""
    return usd_per_second(allocation) * seconds


def seconds_for(allocation: Allocation, usd: Decimal) -> int:
    """The longest time limit whose worst case costs no more than this; may be below zero."""
    return int((usd / usd_per_second(allocation)).to_integral_value(ROUND_FLOOR)) - STOP_GRACE_SECONDS


def _gpu_seconds(allocation: Allocation, seconds: int) -> int:
    return allocation.gpu_count * allocation.instance_count * seconds


def _cpu_seconds(allocation: Allocation, seconds: int) -> int:
    return allocation.cpu_cores * allocation.instance_count * seconds
