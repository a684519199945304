"""Where the next attempt may run when the last one failed for want of memory or of capacity. Pure.

    cause           what the job allows      the next attempt runs on
    out-of-memory   larger_instance          the cheapest type with half as much memory again: the instance's, or each GPU's
    capacity        other_instance_type      the cheapest other type that fits and has not been without capacity yet
    capacity        other_backend            Batch, once no other type is left on SageMaker

Nothing moves unless the job allows it, since another type has another price. What an earlier attempt ran out of is never
gone back to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.jobs.causes import Cause, is_gpu_memory
from chalicelib.jobs.instances import BatchMachines, all_fitting, allocation_on, instance_type
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job
from chalicelib.jobs.request import ResourceRequirements

_GROWTH = 1.5
"""A step by less is likely to fail again, and each attempt costs."""


@dataclass(frozen=True)
class Staying:
    """There is nothing to move to. `reason` is empty where the job does not allow a move after this cause."""

    reason: str = ""


@dataclass(frozen=True)
class _Need:
    """What was asked for, raised by what earlier attempts ran out of."""

    requirements: ResourceRequirements
    gpu_memory_gb: int = 0


def next_allocation(job: Job, attempts: Sequence[Attempt], batch: BatchMachines | None) -> Allocation | Staying:
    """What the attempt after these runs on.

    Args:
        attempts: all that have ended, the one that was just assessed last.
        batch: what Batch has in this installation; None without a Batch part.
    """
    asked: Mapping[str, Any] = job.config.get("retry") or {}
    last = attempts[-1]
    need = _need(job, attempts)
    if last.cause == Cause.OUT_OF_MEMORY.value and asked.get("larger_instance"):
        return _larger(job.allocation_of(last).backend, need, batch)
    if last.cause != Cause.CAPACITY.value or job.allocation_of(last).backend is not Backend.SAGEMAKER:
        return Staying()
    found: Allocation | Staying = Staying()
    if asked.get("other_instance_type"):
        found = _other_type(job, attempts, need, batch)
    if isinstance(found, Staying) and asked.get("other_backend"):
        found = _on_batch(need, batch)
    return found


def _larger(backend: Backend, need: _Need, batch: BatchMachines | None) -> Allocation | Staying:
    found = next(all_fitting(need.requirements, backend, batch, need.gpu_memory_gb), None)
    if found is None:
        wanted = f"GPUs of {need.gpu_memory_gb} GB" if need.gpu_memory_gb else f"{need.requirements.memory_gb} GB"
        return Staying(f"There is no larger instance: no {backend.value} type that fits has {wanted}.")
    requirements = need.requirements
    if backend is Backend.BATCH and not need.gpu_memory_gb:
        # It is charged as if it were alone on its machine: it may as well have all of it.
        requirements = requirements.model_copy(update={"memory_gb": found.capacity("memory_gb")})
    return allocation_on(found, requirements, backend)


def _other_type(
    job: Job, attempts: Sequence[Attempt], need: _Need, batch: BatchMachines | None
) -> Allocation | Staying:
    without = {job.allocation_of(each).instance_type for each in attempts if each.cause == Cause.CAPACITY.value}
    fitting = all_fitting(need.requirements, Backend.SAGEMAKER, batch, need.gpu_memory_gb)
    found = next((each for each in fitting if each.name not in without), None)
    if found is None:
        return Staying("No other instance type fits.")
    return allocation_on(found, need.requirements, Backend.SAGEMAKER)


def _on_batch(need: _Need, batch: BatchMachines | None) -> Allocation | Staying:
    found = next(all_fitting(need.requirements, Backend.BATCH, batch, need.gpu_memory_gb), None)
    if found is None:
        return Staying("No machine of Batch fits.")
    return allocation_on(found, need.requirements, Backend.BATCH)


def _need(job: Job, attempts: Sequence[Attempt]) -> _Need:
    memory = gpu_memory = 0
    for each in attempts:
        if each.cause != Cause.OUT_OF_MEMORY.value:
            continue
        had = job.allocation_of(each)
        known = instance_type(had.instance_type, had.backend)
        if had.gpu_count and is_gpu_memory(each.reason or ""):
            gpu_memory = max(gpu_memory, math.ceil(_GROWTH * (known.gpu_memory_gb if known else 0)))
        else:
            memory = max(memory, math.ceil(_GROWTH * had.memory_gb))
    wanted = ResourceRequirements.model_validate(job.config["resource_requirements"])
    return _Need(wanted.model_copy(update={"memory_gb": max(memory, wanted.memory_gb)}), gpu_memory)
