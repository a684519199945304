"""What an endpoint's instances take: of the account's limits, and of what AWS has to give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from localcloud.compute.account import SERVERLESS
from localcloud.compute.host import Host
from localcloud.compute.hosting.endpoint_record import FAILED, EndpointRecord
from localcloud.compute.hosting.instance import InstanceFailed
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.hosting.records import Records

OUT_OF_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
    "different ML instance type or after some time."
)


class Capacity:
    """
    Args:
        records: of all endpoints of the account.
    """

    def __init__(self, host: Host, records: Records) -> None:
        self._host = host
        self._records = records

    def check(self, wanted: Sequence[VariantPlan], instead_of: Sequence[VariantPlan] = ()) -> None:
        """Whether the account may have what is wanted besides all that its endpoints have.

        Args:
            instead_of: what the same instances are now. An update takes nothing over: SageMaker brings its instances up
                beside the old ones.

        Raises:
            ResourceLimitExceeded: it may not.
        """
        used = sum((_in_use(EndpointRecord(document)) for document in self._records.all()), Counter[str]())
        for kind, asked in (_needs(wanted) - _needs(instead_of)).items():
            self._host.limits.of_endpoints(kind).check(used[kind], asked)

    async def provision(self, operation: str, endpoint: str, plans: Sequence[VariantPlan]) -> list[VariantPlan]:
        """Gets the instances for `plans`, which come back as the injected faults leave them.

        Raises:
            InstanceFailed: AWS has none to give.
        """
        fault = self._host.faults.on_endpoint(operation, endpoint)
        if fault is None:
            return list(plans)
        if fault.fault == "ping_timeout":
            return [replace(plan, startup_timeout=fault.seconds) for plan in plans]
        await self._host.sleep(fault.seconds)
        raise InstanceFailed(OUT_OF_CAPACITY)


def is_more(plans: Sequence[VariantPlan], now: Sequence[VariantPlan]) -> bool:
    """Whether something has to be added to what there is."""
    return bool(_needs(plans) - _needs(now))


def _needs(plans: Sequence[VariantPlan]) -> Counter[str]:
    """Instances by type, and the requests at once of serverless variants."""
    found = Counter[str]()
    for plan in plans:
        if plan.serverless:
            found[SERVERLESS] += plan.serverless["MaxConcurrency"]
        else:
            found[plan.instance_type] += plan.count
    return found


def _in_use(record: EndpointRecord) -> Counter[str]:
    if record.status == FAILED:
        return Counter()
    now, coming = _needs(record.plans), _needs(record.pending_plans)
    pending = record.pending
    # While it is updated both fleets are there; one that only grows or shrinks stays the same fleet.
    is_same_fleet = pending is not None and pending["generation"] == record.generation
    return now | coming if is_same_fleet else now + coming
