"""What a job or an endpoint runs on: the cheapest instance type that has what was asked for.

The types, their sizes and their prices are data (`chalicelib/data/instance_types.json`), with a source and a date. One
instance per job; a type that has more GPUs than asked for is taken when nothing smaller exists (a single A100 comes
only as one of eight).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal

from chalicelib.costs.prices import HOURS_PER_MONTH, service_prices
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.jobs.job import Allocation, Backend
from chalicelib.jobs.request import ResourceRequirements

Use = Literal["sagemaker", "batch", "serving"]

# Of an instance's memory, what Batch can give to a job: the kernel, the platform and the ECS agent keep the rest, and a
# job that asks for all of it is never placed.
# https://docs.aws.amazon.com/batch/latest/userguide/memory-management.html
_BATCH_MEMORY = Decimal("0.9")

# Of a Batch machine's volume, what the system and the images of its containers take: AWS's training images with CUDA
# are 10 to 20 GB each once they are unpacked.
_BATCH_SYSTEM_GIB = 50

# The fields of a request, in the order in which they are named when nothing fits.
_DIMENSIONS = ("gpu_count", "memory_gb", "cpu_cores", "disk_gb")
_DISK_DIGITS = Decimal("0.00000001")
_UNITS = {"gpu_count": "GPUs", "memory_gb": "GB", "cpu_cores": "cores", "disk_gb": "GB"}


@dataclass(frozen=True)
class BatchMachines:
    """What the compute environments of this installation's Batch part have.

    Attributes:
        volume_gib: the disk of every machine; the jobs on a machine share it.
        gpu_types: those that have a queue.
    """

    volume_gib: int
    gpu_types: frozenset[str]

    @property
    def disk_gb(self) -> int:
        """What is left for jobs."""
        return self.volume_gib - _BATCH_SYSTEM_GIB


@dataclass(frozen=True)
class InstanceType:
    """One instance type as one service offers it.

    Attributes:
        gpu_memory_gb: of one GPU; 0 without.
        local_disk_gb: NVMe storage that comes with it; None where the disk is an EBS volume of any size.
        usd_per_hour: On demand, in the table's region.
        volume_gb: of the disk that the installation gives it, what jobs may use; None where each job gets its own.
    """

    use: Use
    name: str
    gpus: int
    gpu_type: str | None
    gpu_memory_gb: int
    vcpu: int
    memory_gb: int
    local_disk_gb: int | None
    usd_per_hour: Decimal
    volume_gb: int | None = None

    def capacity(self, dimension: str) -> int | None:
        """How much of a requirement's dimension a job gets at most; None means that there is no limit."""
        match dimension:
            case "gpu_count":
                return self.gpus
            case "cpu_cores":
                return self.vcpu
            case "memory_gb":
                return int(self.memory_gb * _BATCH_MEMORY) if self.use == "batch" else self.memory_gb
        # SageMaker refuses a volume that is larger than the storage which an instance brings along. Batch takes its
        # disks from the compute environment, an endpoint from the instance.
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
        return self.local_disk_gb if self.use == "sagemaker" else self.volume_gb


@dataclass(frozen=True)
class PriceList:
    """The types that may be chosen for one use, cheapest first, and where the prices are from."""

    source: str
    date: str
    types: tuple[InstanceType, ...]


@dataclass(frozen=True)
class _Wanted:
    amounts: Mapping[str, int]
    gpu_type: str | None

    @classmethod
    def of(cls, requirements: ResourceRequirements) -> _Wanted:
        amounts = {dimension: int(getattr(requirements, dimension)) for dimension in _DIMENSIONS}
        return cls(amounts, requirements.gpu_type if requirements.gpu_count else None)

    def offered(self, types: Iterable[InstanceType]) -> tuple[InstanceType, ...]:
        """The types with the kind of processor that is wanted: no GPU, the one named, or any."""
        if not self.amounts["gpu_count"]:
            return tuple(each for each in types if each.gpus == 0)
        return tuple(each for each in types if each.gpus and self.gpu_type in {each.gpu_type, None})

    def lacks(self, instance: InstanceType) -> list[str]:
        """The dimensions in which an instance type is too small."""
        most = {name: instance.capacity(name) for name in self.amounts}
        return [name for name, amount in self.amounts.items() if (has := most[name]) is not None and has < amount]

    def first(self, types: Iterable[InstanceType]) -> InstanceType | None:
        return next((each for each in self.offered(types) if not self.lacks(each)), None)


def allocate(requirements: ResourceRequirements, backend: Backend, batch: BatchMachines | None) -> Allocation:
    """What a job with these requirements gets on a backend.

    On SageMaker a job has its instance to itself, so it gets all of it; on Batch it gets the share that it asked for.

    Args:
        batch: what Batch has in this installation; None without a Batch part.

    Raises:
        InvalidRequest: no instance type has all that is asked for.
    """
    return allocation_on(cheapest(requirements, backend, batch), requirements, backend)


def allocation_on(instance: InstanceType, requirements: ResourceRequirements, backend: Backend) -> Allocation:
    """What a job with these requirements gets on an instance type."""
    whole = backend is Backend.SAGEMAKER
    listed = price_list(backend.value)
    return Allocation(
        backend=backend,
        instance_type=instance.name,
        instance_count=1,
        gpu_count=instance.gpus if whole else requirements.gpu_count,
        gpu_type=instance.gpu_type,
        cpu_cores=instance.vcpu if whole else requirements.cpu_cores,
        memory_gb=instance.memory_gb if whole else requirements.memory_gb,
        disk_gb=requirements.disk_gb,
        price_per_hour_usd=instance.usd_per_hour,
        price_source=listed.source,
        price_date=listed.date,
        disk_price_per_hour_usd=_disk_usd_per_hour(instance, requirements.disk_gb),
    )


def _disk_usd_per_hour(instance: InstanceType, disk_gb: int) -> Decimal:
    """On SageMaker a job has a volume of its own, unless its instance brings the storage along; on Batch it is charged its
    part of the machine's volume."""
    if instance.use == "sagemaker" and instance.local_disk_gb is not None:
        return Decimal(0)
    price = service_prices()["batch_disk_gb_months" if instance.use == "batch" else "sagemaker_disk_gb_months"]
    return (price.of(Decimal(disk_gb)) / HOURS_PER_MONTH).quantize(_DISK_DIGITS)


def cheapest(requirements: ResourceRequirements, backend: Backend, batch: BatchMachines | None) -> InstanceType:
    """The cheapest type that fits; among equal prices the smaller one, then the first by name.

    Raises:
        InvalidRequest: nothing fits; names each field whose change alone would help, and the nearest that exists.
    """
    return _choose(_Wanted.of(requirements), _Market(backend.value, batch), "config.resource_requirements")


def all_fitting(
    requirements: ResourceRequirements, backend: Backend, batch: BatchMachines | None, gpu_memory_gb: int = 0
) -> Iterator[InstanceType]:
    """Every type that fits, the cheapest first.

    Args:
        gpu_memory_gb: what each GPU must have; above 0 any type of GPU is fine.
    """
    wanted = _Wanted.of(requirements)
    if gpu_memory_gb:
        wanted = replace(wanted, gpu_type=None)
    offered = wanted.offered(_Market(backend.value, batch).types)
    return (each for each in offered if not wanted.lacks(each) and each.gpu_memory_gb >= gpu_memory_gb)


def instance_type(name: str, backend: Backend) -> InstanceType | None:
    """The type of this name; None for one that the table does not have any more."""
    return next((each for each in price_list(backend.value).types if each.name == name), None)


def hosting_type(name: str) -> InstanceType:
    """A type that an endpoint runs on.

    Raises:
        LookupError: the table does not have it any more.
    """
    found = next((each for each in price_list("serving").types if each.name == name), None)
    if found is None:
        raise LookupError(f"there is no hosting type {name}")
    return found


def serving_instance(
    memory_gb: int = 8,
    cpu_cores: int = 2,
    gpu_count: int = 0,
    gpu_type: str | None = None,
    *,
    field: str = "resource_limits",
    for_transform: bool = False,
) -> InstanceType:
    """The cheapest SageMaker hosting type for one replica of an endpoint; by default `ml.m5.large`.

    Args:
        gpu_type: None takes whichever is cheapest.
        field: where the limits stand in the request, for the messages.
        for_transform: only of what batch transform has too.

    Raises:
        InvalidRequest: nothing fits.
    """
    amounts = {"gpu_count": gpu_count, "memory_gb": memory_gb, "cpu_cores": cpu_cores}
    market = _Market("serving", without=_NOT_FOR_TRANSFORM if for_transform else ())
    return _choose(_Wanted(amounts, gpu_type if gpu_count else None), market, field)


# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TransformResources.html
_NOT_FOR_TRANSFORM = ("ml.c5.large", "ml.r5.", "ml.p4d.", "ml.p5.")


@dataclass(frozen=True)
class _Market:
    """The types that may be chosen for one use in this installation."""

    use: Use
    batch: BatchMachines | None = None
    without: tuple[str, ...] = ()
    """What the names of types begin with that are not offered."""

    @property
    def types(self) -> tuple[InstanceType, ...]:
        types = tuple(each for each in price_list(self.use).types if not each.name.startswith(self.without))
        if self.use != "batch":
            return types
        if self.batch is None:
            return ()
        there = {None, *self.batch.gpu_types}
        return tuple(replace(each, volume_gb=self.batch.disk_gb) for each in types if each.gpu_type in there)

    @property
    def other(self) -> _Market | None:
        """The other backend's, for a job."""
        return None if self.use == "serving" else replace(self, use="batch" if self.use == "sagemaker" else "sagemaker")


def _choose(wanted: _Wanted, market: _Market, field: str) -> InstanceType:
    instance = wanted.first(market.types)
    if instance is None:
        raise InvalidRequest.about(*_problems(wanted, market, field))
    return instance


def _problems(wanted: _Wanted, market: _Market, field: str) -> Iterator[FieldProblem]:
    """Each field whose change alone would make a type fit; if there is none, all that the largest type lacks."""
    offered = wanted.offered(market.types)
    others = _alternatives(wanted, market)
    if not offered:
        if market.use == "serving":
            cure = f"Use {', or '.join(others)}."
            yield FieldProblem(f"{field}.gpu_type", f"is {wanted.gpu_type}, which batch transform does not have", cure)
            return
        # Of Batch's GPUs only these can be missing: see the template's parameter.
        begin = f"Use {', or '.join(others)}, or have" if others else "Have"
        cure = f"{begin} an administrator install the stack with BatchV100ImageId."
        message = f"is {wanted.gpu_type}, which this installation does not have on {market.use}"
        yield FieldProblem(f"{field}.gpu_type", message, cure)
        return
    single = {}
    for dimension in wanted.amounts:
        near = [each for each in offered if wanted.lacks(each) == [dimension]]
        if near:
            single[dimension] = max(near, key=lambda each: each.capacity(dimension) or 0)
    if not single:
        largest = max(offered, key=lambda each: (each.gpus, each.memory_gb, each.vcpu))
        single = dict.fromkeys(wanted.lacks(largest), largest)
    kind = f"{wanted.gpu_type} GPUs" if wanted.gpu_type else "GPUs" if wanted.amounts["gpu_count"] else "no GPU"
    for dimension, instance in single.items():
        amount, unit = wanted.amounts[dimension], _UNITS[dimension]
        message = (
            f"is {amount}: no {market.use} instance type with {kind} has so much beside the rest that is asked for"
        )
        ways = [f"at most {instance.capacity(dimension)} {unit} ({instance.name})", *others]
        if dimension == "disk_gb" and market.use == "batch":
            ways.append("have an administrator install the stack with a larger BatchDiskGiB")
        yield FieldProblem(f"{field}.{dimension}", message, f"Use {', or '.join(ways)}.")


def _alternatives(wanted: _Wanted, market: _Market) -> list[str]:
    """Other ways out: another kind of GPU, the other backend."""
    ways: list[tuple[str, InstanceType | None]] = []
    if wanted.gpu_type:
        gpu_types = sorted({each.gpu_type for each in market.types if each.gpu_type} - {wanted.gpu_type})
        ways += [(f"gpu_type {each}", _Wanted(wanted.amounts, each).first(market.types)) for each in gpu_types]
    if market.other is not None:
        ways.append((f"backend {market.other.use}", wanted.first(market.other.types)))
    return [f"{way} ({instance.name})" for way, instance in ways if instance]


@cache
def price_list(use: Use) -> PriceList:
    """The table of one use, read when it is first asked for."""
    text = resources.files("chalicelib").joinpath("data/instance_types.json").read_text("utf-8")
    section = json.loads(text)[use]
    return PriceList(
        section["source"], section["date"], tuple(sorted((_instance(use, row) for row in section["types"]), key=_order))
    )


def _order(instance: InstanceType) -> tuple[Decimal, int, int, str]:
    return instance.usd_per_hour, instance.vcpu, instance.memory_gb, instance.name


def _instance(use: Use, row: Mapping[str, Any]) -> InstanceType:
    return InstanceType(
        use=use,
        name=row["type"],
        gpus=row["gpus"],
        gpu_type=row["gpu_type"],
        gpu_memory_gb=row.get("gpu_memory_gb", 0),
        vcpu=row["vcpu"],
        memory_gb=row["memory_gb"],
        local_disk_gb=row["local_disk_gb"],
        usd_per_hour=Decimal(row["usd_per_hour"]),
    )
