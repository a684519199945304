"""How long a job may have its instances: a time limit set by the user, or by money.

Since the price of an instance is known before it starts, a limit on money is a limit on time. The backend itself keeps
it: it stops the script in order, with its grace and its checkpoint, and nobody has to watch a running sum.
"""

from __future__ import annotations

from decimal import Decimal

from chalicelib.errors import FieldProblem, InvalidRequest, RefusedValue
from chalicelib.jobs.job import Allocation, TimeLimit
from chalicelib.jobs.request import TrainingConfig
from chalicelib.quotas import charge


def time_limit(config: TrainingConfig, allocation: Allocation, longest: int | None, left: int | None) -> TimeLimit:
    """The shortest of what the user asked for, what `max_cost_usd` pays for, and what is left of the month's money.

    Args:
        longest: what an administrator allows a single job.
        left: seconds that the month's money still pays for, where the user asked to shorten the job to that.

    Raises:
        RefusedValue: `max_cost_usd` does not pay for a minute.
        InvalidRequest: longer than allowed.
    """
    if longest is not None and config.max_runtime_seconds > longest:
        cure = f"Use at most {longest}, or ask an administrator for a higher limit."
        problem = FieldProblem("config.max_runtime_seconds", f"is {config.max_runtime_seconds}", cure)
        raise InvalidRequest.about(problem)
    limits = [TimeLimit(config.max_runtime_seconds)]
    if config.max_cost_usd is not None:
        limits.append(TimeLimit(_paid_for(config.max_cost_usd, allocation), "max_cost_usd"))
    # Less than a minute is left to the refusal, which says what is used and when there is more.
    if left is not None and left >= charge.MIN_TIME_LIMIT_SECONDS:
        limits.append(TimeLimit(left, "max_usd_per_month"))
    return min(limits, key=lambda limit: limit.seconds)


def _paid_for(max_cost_usd: float, allocation: Allocation) -> int:
    seconds = charge.seconds_for(allocation, Decimal(str(max_cost_usd)))
    if seconds < charge.MIN_TIME_LIMIT_SECONDS:
        least = charge.cost(allocation, charge.MIN_TIME_LIMIT_SECONDS + charge.STOP_GRACE_SECONDS)
        cure = (
            f"Use at least {least:.4f}: a minute on {allocation.instance_type} and {charge.STOP_GRACE_SECONDS} s to stop "
            "in. Or ask for a smaller machine."
        )
        raise RefusedValue.about(FieldProblem("config.max_cost_usd", f"is {max_cost_usd:g}", cure))
    return seconds
