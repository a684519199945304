"""GetJobQueueSnapshot: who is next in a queue, and what is in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from localcloud.compute.batch.catalog import Catalog
from localcloud.compute.batch.dispatcher import Dispatcher
from localcloud.compute.batch.names import Arns
from localcloud.compute.batch.record import milliseconds
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation

FRONT = 100
TOP = 20
_UNIT = "VCPU"


class Snapshots:
    def __init__(self, host: Host, catalog: Catalog, dispatcher: Dispatcher) -> None:
        self._host = host
        self._arns = Arns.of(host.settings)
        self._catalog = catalog
        self._dispatcher = dispatcher

    def operations(self) -> Sequence[Operation]:
        return [Operation("batch", "GetJobQueueSnapshot", self.snapshot, self._may)]

    async def snapshot(self, call: Call) -> Document:
        name, queue = self._catalog.queue(call.params["jobQueue"])
        now = milliseconds(self._host.now())
        front = self._dispatcher.in_order(name, queue)[:FRONT]
        by_share: defaultdict[str, float] = defaultdict(float)
        for record in self._dispatcher.running_in(name):
            by_share[record.share] += record.requirements.vcpus
        total = sum(by_share.values())
        # Not told by AWS's API for a queue that is first in, first out: it has no shares.
        shares = [
            {"shareIdentifier": share, "capacityUsage": [{"capacityUnit": _UNIT, "quantity": vcpus}]}
            for share, vcpus in sorted(by_share.items(), key=lambda item: -item[1])
            if share
        ]
        utilization: Document = {
            "totalCapacityUsage": [{"capacityUnit": _UNIT, "quantity": total}],
            "lastUpdatedAt": now,
        }
        if "schedulingPolicyArn" in queue:
            utilization["fairshareUtilization"] = {
                "activeShareCount": len(self._dispatcher.active_shares(name)),
                "topCapacityUtilization": shares[:TOP],
            }
        return {
            "frontOfQueue": {
                # Since it was submitted: when exactly it came to its place is not kept here.
                "jobs": [
                    {"jobArn": record.arn, "earliestTimeAtPosition": record.detail["createdAt"]} for record in front
                ],
                "lastUpdatedAt": now,
            },
            "queueUtilization": utilization,
        }

    def _may(self, params: Document) -> Authorization:
        name = self._arns.name("job-queue", params["jobQueue"])
        return Authorization("batch:GetJobQueueSnapshot", (self._arns.make("job-queue", name),))
