"""How many instances target tracking wants. Pure.

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html: instances are
added at once in proportion to the metric, and removed carefully; of several policies any one may add, and all that may
remove have to agree before one is removed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# Of a target, where removing begins, so that a metric near it does not make instances come and go.
_LOW = 0.9


@dataclass(frozen=True)
class Tracked:
    """A policy.

    Attributes:
        metric: what it tracks, as `watching.py` calls it.
        out_cooldown, in_cooldown: seconds until the same is done again.
        may_remove: without it the policy only adds.
    """

    name: str
    metric: str
    target: float
    out_cooldown: float = 300.0
    in_cooldown: float = 300.0
    may_remove: bool = True


@dataclass(frozen=True)
class Since:
    """When instances were added and removed last."""

    added: datetime | None = None
    removed: datetime | None = None


@dataclass(frozen=True)
class Change:
    """Another number of instances, and the policy that asks for it; None where it is the bounds that do."""

    count: int
    policy: Tracked | None = None
    value: float = 0.0


@dataclass(frozen=True)
class Bounds:
    least: int
    most: int

    def keep(self, count: int) -> int:
        return max(self.least, min(self.most, count))


def decide(
    current: int,
    bounds: Bounds,
    policies: Sequence[Tracked],
    seen: Mapping[str, Sequence[float]],
    periods: tuple[int, int],
    since: Since,
    now: datetime,
) -> Change | None:
    """What is to be done now.

    Args:
        seen: by metric, the average of the instances at each look, the latest last.
        periods: looks in a row that must be above the target to add, and below it to remove.
    """
    if bounds.keep(current) != current:
        return Change(bounds.keep(current))
    adding, removing = periods
    more = [each for policy in policies if (each := _more(current, policy, seen, adding)) is not None]
    wanted = max(more, key=lambda change: change.count, default=None)
    if wanted is not None and wanted.policy is not None:
        count = bounds.keep(wanted.count)
        is_over = _is_over(since.added, wanted.policy.out_cooldown, now)
        return Change(count, wanted.policy, wanted.value) if count > current and is_over else None
    fewer = [_fewer(current, policy, seen, removing) for policy in policies if policy.may_remove]
    agreed = [change for change in fewer if change is not None]
    if not fewer or len(agreed) < len(fewer):
        return None
    least = max(agreed, key=lambda change: change.count)
    count = bounds.keep(least.count)
    cooldown = max(policy.in_cooldown for policy in policies if policy.may_remove)
    return (
        Change(count, least.policy, least.value) if count < current and _is_over(since.removed, cooldown, now) else None
    )


def _more(current: int, policy: Tracked, seen: Mapping[str, Sequence[float]], periods: int) -> Change | None:
    values = seen.get(policy.metric, ())[-periods:]
    if len(values) < periods or min(values) <= policy.target:
        return None
    mean = sum(values) / len(values)
    return Change(max(current + 1, math.ceil(current * mean / policy.target)), policy, mean)


def _fewer(current: int, policy: Tracked, seen: Mapping[str, Sequence[float]], periods: int) -> Change | None:
    values = seen.get(policy.metric, ())[-periods:]
    if len(values) < periods or max(values) >= _LOW * policy.target:
        return None
    mean = sum(values) / len(values)
    return Change(min(current - 1, math.ceil(current * mean / policy.target)), policy, mean)


def _is_over(since: datetime | None, cooldown: float, now: datetime) -> bool:
    return since is None or now >= since + timedelta(seconds=cooldown)
