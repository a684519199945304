"""What the AWS account allows at once, as limits of pools: pure arithmetic over Service Quotas.

SageMaker has a quota of instances for each instance type and use, "ml.p3.2xlarge for training job usage". A pool counts
GPUs (or vCPUs) over all types with that kind of processor, so its limit is the sum of instances x what each has, over
the types that jobs are given here. Batch starts EC2 instances, whose quotas count vCPUs by family.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from chalicelib.capacity.pool import MAX_LIMIT, unit_of
from chalicelib.jobs.instances import InstanceType

_TRAINING = " for training job usage"


@dataclass(frozen=True)
class AccountQuota:
    """One quota as Service Quotas tells it."""

    code: str
    name: str
    value: float


@dataclass(frozen=True)
class TypeQuota:
    """How many instances of a type training jobs may have at once; `each` is the GPUs or vCPUs of one."""

    instance_type: str
    instances: int
    each: int


@dataclass(frozen=True)
class PoolQuota:
    """
    Attributes:
        types: what the account says of the pool's instance types; not all need be known.
    """

    pool: str
    types: tuple[TypeQuota, ...]

    @property
    def unit(self) -> str:
        return unit_of(self.pool)

    @property
    def limit(self) -> int | None:
        """None when the account says nothing of any of its types: nothing is known then, and nothing is to be set."""
        return min(MAX_LIMIT, sum(each.instances * each.each for each in self.types)) if self.types else None


@dataclass(frozen=True)
class Family:
    """EC2's quota of vCPUs for running On-Demand instances of a family.

    https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
    """

    code: str
    name: str
    prefixes: tuple[str, ...]


FAMILIES = (
    Family("L-417A185B", "Running On-Demand P instances", ("p",)),
    Family("L-DB2E81BA", "Running On-Demand G and VT instances", ("g", "vt")),
    Family(
        "L-1216C47A",
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        ("a", "c", "d", "h", "i", "m", "r", "t", "z"),
    ),
)


def training_instances(quotas: Iterable[AccountQuota]) -> dict[str, int]:
    """Instances that training jobs may have at once, by instance type."""
    return {
        quota.name.removesuffix(_TRAINING): max(0, int(quota.value))
        for quota in quotas
        if quota.name.startswith("ml.") and quota.name.endswith(_TRAINING)
    }


def pool_quotas(backend: str, types: Iterable[InstanceType], instances: Mapping[str, int]) -> list[PoolQuota]:
    """The pools of a backend, each with what the account says of its types."""
    pools: dict[str, list[TypeQuota]] = {}
    for kind in types:
        known = pools.setdefault(f"{backend}/{kind.gpu_type or 'cpu'}", [])
        if kind.name in instances:
            known.append(TypeQuota(kind.name, instances[kind.name], kind.gpus or kind.vcpu))
    return [PoolQuota(pool, tuple(known)) for pool, known in sorted(pools.items())]


def families_of(types: Iterable[InstanceType]) -> Iterator[tuple[Family, tuple[str, ...]]]:
    """The families that these EC2 types are of, and what kinds of GPU are among them."""
    listed = tuple(types)
    for family in FAMILIES:
        mine = [kind for kind in listed if _family(kind.name) in family.prefixes]
        if mine:
            yield family, tuple(sorted({kind.gpu_type or "cpu" for kind in mine}))


def _family(instance_type: str) -> str:
    """`g` of `g4dn.xlarge`."""
    letters = instance_type.partition(".")[0]
    first_digit = next((index for index, letter in enumerate(letters) if letter.isdigit()), len(letters))
    return letters[:first_digit]
