"""Honest spot: what a job on interruptible instances is expected to take, before it is launched. Pure.

Interruptions come at random, at a steady rate λ while a job has an instance. A segment of t seconds of work that must be
done without interruption, with R seconds to get going again after each one, takes on average

    E(t) = e^(λR) (e^(λt) - 1) / λ

seconds on an instance, and a job is one such segment after another, each from a checkpoint to the next; without
checkpoints it is a single one. This is the complete model of J. T. Daly, "A higher order estimate of the optimum checkpoint
interval for restart dumps", Future Generation Computer Systems 22 (2006), 303-312, section 3, with 1/λ for M and the time
to write a checkpoint counted as work. The expected number of interruptions is λ times the time on an instance, and each
adds a wait for the next instance, in which nothing is billed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from chalicelib.errors import FieldProblem, RefusedValue
from chalicelib.jobs.causes import Cause
from chalicelib.jobs.job import Allocation, Attempt, Job
from chalicelib.jobs.request import MAX_RUNTIME_SECONDS, TrainingConfig

_HOUR = 3600.0
_ENOUGH_INTERVALS = 5
_NEVER = 10 * 365 * 24 * _HOUR
"""Longer than this is not told apart: e^(λt) soon leaves all bounds."""


@dataclass(frozen=True)
class History:
    """What spot jobs on an instance type met so far: interruptions, in so many seconds on instances."""

    interruptions: int = 0
    seconds: int = 0


@dataclass(frozen=True)
class Intervals:
    """What is kept of the checkpoints of earlier runs of one name: how many intervals, in how many seconds."""

    count: int = 0
    seconds: int = 0

    def mean(self) -> int | None:
        """None before there are enough."""
        return max(1, round(self.seconds / self.count)) if self.count >= _ENOUGH_INTERVALS else None


NO_INTERVALS = Intervals()


def met_on(job: Job, attempts: Iterable[Attempt]) -> dict[str, History]:
    """What a job's attempts met, by instance type.

    SageMaker counts interruptions within an attempt, and goes on by itself; on Batch each is the end of an attempt.
    """
    met: dict[str, History] = {}
    for attempt in attempts:
        lost = attempt.interruptions + (attempt.cause == Cause.SPOT_INTERRUPTION.value)
        kind = job.allocation_of(attempt).instance_type
        before = met.get(kind, History())
        met[kind] = History(before.interruptions + lost, before.seconds + (attempt.training_seconds or 0))
    return met


@dataclass(frozen=True)
class Assumptions:
    """What is taken for granted of an instance type until there is experience.

    Attributes:
        interruptions_per_hour: while a job has an instance.
        weight_hours: experience of so many hours counts as much as the assumption.
        restart_seconds: from getting an instance to where the checkpoint left off.
        wait_seconds: from losing an instance to getting the next.
        price_share: what is billed of each hour, at the price on demand.
    """

    interruptions_per_hour: float
    weight_hours: float
    restart_seconds: float
    wait_seconds: float
    price_share: float
    source: str
    date: str

    def rate(self, history: History) -> float:
        """Interruptions per hour: the mean of a gamma distribution that begins with the assumption and is updated by
        each hour and each interruption (the conjugate prior of a Poisson rate)."""
        assumed = self.weight_hours * self.interruptions_per_hour
        return (assumed + history.interruptions) / (self.weight_hours + history.seconds / _HOUR)


@dataclass(frozen=True)
class Forecast:
    """What is expected of a spot job.

    Attributes:
        work_seconds: how long it takes without interruption.
        interval_seconds: from one checkpoint to the next; None where no checkpoint is counted on.
        interval_basis: where that is from.
        is_known: whether the length is more than a guess: said by the user, or learned from earlier runs.
        instance_seconds: how long it has an instance; wall_seconds: with the waits for one.
        billed_seconds: what is billed of that.
    """

    work_seconds: int
    interval_seconds: int | None
    interval_basis: str
    is_known: bool
    interruptions_per_hour: float
    observed: History
    interruptions: float
    instance_seconds: float
    wall_seconds: float
    billed_seconds: float
    source: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "expected_instance_hours": round(self.instance_seconds / _HOUR, 3),
            "expected_wall_hours": round(self.wall_seconds / _HOUR, 3),
            "expected_billed_hours": round(self.billed_seconds / _HOUR, 3),
            "expected_interruptions": round(self.interruptions, 3),
            "work_hours": round(self.work_seconds / _HOUR, 3),
            "checkpoint_interval_seconds": self.interval_seconds,
            "checkpoint_interval_basis": self.interval_basis,
            "interruptions_per_hour": round(self.interruptions_per_hour, 4),
            "observed": {
                "interruptions": self.observed.interruptions,
                "instance_hours": round(self.observed.seconds / _HOUR, 3),
            },
            "length_is_known": self.is_known,
            "assumptions": self.source,
        }


def priced(allocation: Allocation, given: Assumptions) -> Allocation:
    """What an attempt on a spot machine of Batch costs: EC2 bills every second, at a lower price.

    The price of the moment is known to AWS alone, and only afterwards: what is assumed of it is named as the source.
    """
    share = Decimal(str(given.price_share))
    return replace(
        allocation,
        price_per_hour_usd=allocation.price_per_hour_usd * share,
        price_source=f"{allocation.price_source}; on spot {share:.0%} of it: {given.source} ({given.date})",
        discount_percent=100 - 100 * share,
    )


def assumptions(instance_type: str, rates: Mapping[str, float] | None = None) -> Assumptions:
    """Those of an instance type, else those of all.

    Args:
        rates: interruptions per hour that the operator of this installation assumes, by instance type.
    """
    table = _table()
    row = {**table["default"], **table["types"].get(instance_type, {})}
    found = Assumptions(**row, source=table["source"], date=table["date"])
    if rates and instance_type in rates:
        source = "interruptions as set by the operator of this installation; else " + found.source
        return replace(found, interruptions_per_hour=rates[instance_type], source=source)
    return found


@cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads(resources.files("chalicelib").joinpath("data/spot.json").read_text("utf-8"))
    return table


def forecast(
    config: TrainingConfig,
    learned_seconds: int | None,
    limit: int,
    history: History,
    given: Assumptions,
    intervals: Intervals = NO_INTERVALS,
) -> Forecast:
    """
    Args:
        learned_seconds: how long earlier runs of this job took; None where there were none.
        limit: the time limit, which is all that is known of a job of unknown length.
        intervals: of the checkpoints of earlier runs.
    """
    work = config.expected_runtime_seconds or learned_seconds or limit
    interval, basis = config.checkpoint_interval_seconds, "said by the job"
    if interval is None:
        interval = intervals.mean()
        basis = f"the mean of {intervals.count} intervals in earlier runs of this name" if interval else "none is known"
    rate = given.rate(history)
    instance = min(_NEVER, _on_instance(work, interval or work, rate / _HOUR, given.restart_seconds))
    interruptions = instance * rate / _HOUR
    return Forecast(
        work_seconds=work,
        interval_seconds=interval,
        interval_basis=basis,
        is_known=bool(config.expected_runtime_seconds or learned_seconds),
        interruptions_per_hour=rate,
        observed=history,
        interruptions=interruptions,
        instance_seconds=instance,
        wall_seconds=instance + (interruptions + 1) * given.wait_seconds,
        billed_seconds=instance * given.price_share,
        source=f"{given.source} ({given.date})",
    )


def check(found: Forecast, limit: int, max_wait: int) -> None:
    """
    Raises:
        RefusedValue: a job of known length is not expected to end within its limits; says all the numbers.
    """
    if not found.is_known:
        return
    said = f"{found.work_seconds / _HOUR:.2f} h of work, {found.interruptions_per_hour:.3f} interruptions an hour, " + (
        f"a checkpoint every {found.interval_seconds} s" if found.interval_seconds else "no checkpoints counted on"
    )
    problems = []
    for name, seconds, most in (
        ("max_runtime_seconds", found.instance_seconds, limit),
        ("max_wait_seconds", found.wall_seconds, max_wait),
    ):
        if seconds <= most:
            continue
        kind = "on an instance" if name == "max_runtime_seconds" else "with all waits"
        ways = ["write checkpoints more often and say so in config.checkpoint_interval_seconds"]
        if seconds <= MAX_RUNTIME_SECONDS:
            ways.insert(0, f"raise it to at least {math.ceil(seconds)}")
        cure = f"{', or '.join(ways)}, or leave out spot."
        message = f"is {most}, but the job is expected to take {_hours(seconds)} {kind} ({said})"
        problems.append(FieldProblem(f"config.{name}", message, cure[0].upper() + cure[1:]))
    if problems:
        raise RefusedValue.about(*problems)


def max_wait_seconds(config: Mapping[str, Any]) -> int:
    """How long a spot job may take from its launch to its end, waits included; twice its longest run unless it is said."""
    said: int | None = config.get("max_wait_seconds")
    return said or min(MAX_RUNTIME_SECONDS, 2 * int(config["max_runtime_seconds"]))


def _on_instance(work: float, interval: float, rate: float, restart: float) -> float:
    interval = min(interval, work)
    whole = int(work // interval)
    rest = work - whole * interval
    return whole * _segment(interval, rate, restart) + _segment(rest, rate, restart)


def _segment(seconds: float, rate: float, restart: float) -> float:
    if rate == 0 or seconds == 0:
        return seconds
    exponent = rate * (seconds + restart)
    return math.exp(rate * restart) * math.expm1(rate * seconds) / rate if exponent < 600 else _NEVER


def _hours(seconds: float) -> str:
    return "more than ten years" if seconds >= _NEVER else f"{seconds / _HOUR:.2f} h ({math.ceil(seconds)} s)"
