"""A pool: how much of one kind of machine may be in use at once, and how much is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.jobs.job import Allocation, Backend

LEVELS = ("low", "medium", "high", "critical")
"""Classes of priority, the last first served. A waiting job's level is its class, raised by its age."""
LOWEST, HIGHEST = 0, len(LEVELS) - 1

GATED = frozenset({Backend.SAGEMAKER})
"""Backends whose jobs wait here: Batch has a queue of its own, and an operator may name one for SageMaker too."""

MAX_LIMIT = 1_000_000
DEFAULT_HALF_LIFE_SECONDS = 24 * 3600
DEFAULT_AGING_SECONDS = 6 * 3600

_CPU = "cpu"
_START = 64.0


@dataclass(frozen=True)
class Pool:
    """
    Attributes:
        limit: GPUs, or vCPUs in a pool without GPUs; None when an operator took the limit away: what waits is let in.
        half_life_seconds: after this time, use counts half when owners are compared.
        aging_seconds: a job that has waited so long rises by one level.
        preempt_low: low jobs that have a checkpoint give way to a critical one that waits.
        in_use: the sum of the sizes of the admitted jobs.
        waiting: how many jobs wait, by level.
        parked: how many are larger than the limit.
        version: grows by one with every change of `in_use` or the settings.
        elapsed, elapsed_at: half-lives that had passed at a moment; see `half_lives`.
    """

    name: str
    limit: int | None
    elapsed_at: datetime
    half_life_seconds: int = DEFAULT_HALF_LIFE_SECONDS
    aging_seconds: int = DEFAULT_AGING_SECONDS
    preempt_low: bool = False
    in_use: int = 0
    waiting: tuple[int, ...] = (0,) * len(LEVELS)
    parked: int = 0
    version: int = 0
    elapsed: float = _START

    @property
    def unit(self) -> str:
        return unit_of(self.name)

    @property
    def is_queue_empty(self) -> bool:
        return not any(self.waiting)

    @property
    def free(self) -> int | None:
        """What may still be taken, less than nothing after the limit was lowered; None without a limit."""
        return None if self.limit is None else self.limit - self.in_use

    def with_settings(self, now: datetime, **settings: Any) -> Pool:
        """Other settings from now on; what was used until now stays comparable."""
        return replace(self, elapsed=self.half_lives(now), elapsed_at=now, **settings)

    def fits(self, size: int) -> bool:
        return self.limit is None or self.in_use + size <= self.limit

    def is_too_small_for(self, size: int) -> bool:
        return self.limit is not None and size > self.limit

    def half_lives(self, now: datetime) -> float:
        """Half-lives until now, each as long as it was at its time: use of any two moments stays comparable when the
        setting changes."""
        return self.elapsed + (now - self.elapsed_at).total_seconds() / self.half_life_seconds

    def share_half_lives(self, size: int, seconds: float) -> float:
        """A use, as the share of the pool that it took, times how many half-lives long."""
        return 0.0 if not self.limit else size / self.limit * seconds / self.half_life_seconds


def pool_name(allocation: Allocation) -> str:
    """The pool that a job of this allocation draws on."""
    return f"{allocation.backend.value}/{allocation.gpu_type if allocation.gpu_count else _CPU}"


def size_in_pool(allocation: Allocation) -> int:
    return (allocation.gpu_count or allocation.cpu_cores) * allocation.instance_count


def unit_of(name: str) -> str:
    return "vCPUs" if name.endswith(f"/{_CPU}") else "GPUs"
