"""What a job's machines and disks cost: one line for each attempt, from the seconds that AWS bills for it, at the price of
what that attempt ran on.

Each amount is rounded down to a millionth of a dollar, and sums are sums of rounded amounts. A reservation is rounded up, so
what a job cost is never above what it had reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from chalicelib.costs.prices import MICRO
from chalicelib.jobs.job import Allocation, Attempt, Job

HOUR = 3600
_NOTHING = Decimal(0)


@dataclass(frozen=True)
class AttemptLine:
    """
    Attributes:
        allocation: what the attempt ran on.
        seconds: how long the attempt had its instance.
        billable_seconds: what AWS bills of that; less on spot.
    """

    number: int
    allocation: Allocation
    seconds: int
    billable_seconds: int
    instance_usd: Decimal
    disk_usd: Decimal

    @property
    def discount_percent(self) -> Decimal:
        """What spot saves: on Batch a part of the price, on SageMaker a part of the time, 100 (1 - billable / trained).

        https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html
        """
        if self.billable_seconds >= self.seconds:
            return self.allocation.discount_percent
        return (100 - 100 * Decimal(self.billable_seconds) / self.seconds).quantize(Decimal("0.1"))


@dataclass(frozen=True)
class Bill:
    lines: tuple[AttemptLine, ...]

    @property
    def instance_usd(self) -> Decimal:
        return sum((line.instance_usd for line in self.lines), _NOTHING)

    @property
    def disk_usd(self) -> Decimal:
        return sum((line.disk_usd for line in self.lines), _NOTHING)

    @property
    def usd(self) -> Decimal:
        return self.instance_usd + self.disk_usd

    @property
    def gpu_seconds(self) -> int:
        return self._sum(lambda allocation: allocation.gpu_count)

    @property
    def cpu_seconds(self) -> int:
        return self._sum(lambda allocation: allocation.cpu_cores)

    @property
    def disk_gb_seconds(self) -> int:
        return self._sum(lambda allocation: allocation.disk_gb)

    def _sum(self, amount: Callable[[Allocation], int]) -> int:
        """Of an amount of each instance, over the seconds that are billed."""
        return sum(
            amount(line.allocation) * line.allocation.instance_count * line.billable_seconds for line in self.lines
        )


def bill(job: Job, attempts: Iterable[Attempt]) -> Bill:
    """The bill of attempts that have ended; one that never got an instance costs nothing."""
    return Bill(tuple(_line(job.allocation_of(attempt), attempt) for attempt in attempts))


def running_usd(job: Job, attempts: Iterable[Attempt], now: datetime) -> Decimal:
    """What a job costs by now: each attempt that has ended as it is billed, the one that runs for as long as it has run.

    The time between attempts, in the queue or before a retry, costs nothing.
    """
    return sum((usd(job.allocation_of(attempt), _seconds_by_now(job, attempt, now)) for attempt in attempts), _NOTHING)


def usd(allocation: Allocation, seconds: int) -> Decimal:
    """What so many seconds cost, instances and disks, as a line of a bill would have it."""
    return _instance_usd(allocation, seconds) + _disk_usd(allocation, seconds)


def usd_per_second(allocation: Allocation) -> Decimal:
    """Instances and disks, not rounded."""
    return (allocation.price_per_hour_usd + allocation.disk_price_per_hour_usd) * allocation.instance_count / HOUR


def _instance_usd(allocation: Allocation, seconds: int) -> Decimal:
    return _down(allocation.price_per_hour_usd * allocation.instance_count * seconds / HOUR)


def _disk_usd(allocation: Allocation, seconds: int) -> Decimal:
    return _down(allocation.disk_price_per_hour_usd * allocation.instance_count * seconds / HOUR)


def _down(amount: Decimal) -> Decimal:
    return amount.quantize(MICRO, ROUND_FLOOR)


def _seconds_by_now(job: Job, attempt: Attempt, now: datetime) -> int:
    if attempt.billable_seconds is not None:
        return attempt.billable_seconds
    # The agent's first line may come before the backend's event, which says when the attempt got its instance.
    started = attempt.started_at or (job.started_at if attempt.number == 1 else None)
    return max(0, round((now - started).total_seconds())) if started else 0


def _line(allocation: Allocation, attempt: Attempt) -> AttemptLine:
    billable = attempt.billable_seconds or 0
    instances, disks = _instance_usd(allocation, billable), _disk_usd(allocation, billable)
    return AttemptLine(attempt.number, allocation, attempt.training_seconds or billable, billable, instances, disks)
