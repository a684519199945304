"""GetJobQueueSnapshot: who is next in a queue, and what is in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from localcloud.compute.batch.catalog import Catalog
from localcloud.compute.batch.names import Arns
from localcloud.compute.batch.record import milliseconds
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation

FRONT = 100
TOP = 20


class Record(Protocol):
    """A job of either kind."""

    @property
    def arn(self) -> str: ...
    @property
    def detail(self) -> Document: ...
    @property
    def share(self) -> str: ...
    @property
    def size(self) -> float:
        """vCPUs or instances."""


class Scheduler(Protocol):
    """What schedules the jobs of some queues."""

    def in_order(self, name: str, queue: Document) -> Sequence[Record]: ...
    def running_in(self, name: str) -> Sequence[Record]: ...
    def active_shares(self, name: str) -> set[str]: ...


class Snapshots:
    """
    Args:
        schedulers: what schedules a queue's jobs, with the unit that its capacity is counted in; by its document.
    """

    def __init__(self, host: Host, catalog: Catalog, schedulers: Callable[[Document], tuple[Scheduler, str]]) -> None:
        self._host = host
        self._arns = Arns.of(host.settings)
        self._catalog = catalog
        self._schedulers = schedulers

    def operations(self) -> Sequence[Operation]:
        return [Operation("batch", "GetJobQueueSnapshot", self.snapshot, self._may)]

    async def snapshot(self, call: Call) -> Document:
        name, queue = self._catalog.queue(call.params["jobQueue"])
        now = milliseconds(self._host.now())
        scheduler, unit = self._schedulers(queue)
        front = scheduler.in_order(name, queue)[:FRONT]
        by_share: defaultdict[str, float] = defaultdict(float)
        for record in scheduler.running_in(name):
            by_share[record.share] += record.size
        total = sum(by_share.values())
        # Not told by AWS's API for a queue that is first in, first out: it has no shares.
        shares = [
            {"shareIdentifier": share, "capacityUsage": [{"capacityUnit": unit, "quantity": size}]}
            for share, size in sorted(by_share.items(), key=lambda item: -item[1])
            if share
        ]
        utilization: Document = {
            "totalCapacityUsage": [{"capacityUnit": unit, "quantity": total}],
            "lastUpdatedAt": now,
        }
        if self._catalog.policies.is_by_quota(queue):
            named = [
                {"quotaShareName": each["shareIdentifier"], "capacityUsage": each["capacityUsage"]} for each in shares
            ]
            utilization["quotaShareUtilization"] = {"topCapacityUtilization": named[:TOP]}
        elif "schedulingPolicyArn" in queue:
            utilization["fairshareUtilization"] = {
                "activeShareCount": len(scheduler.active_shares(name)),
                "topCapacityUtilization": shares[:TOP],
            }
        if self._catalog.policies.is_by_quota(queue):
            of_shares: dict[str, list[Document]] = {}
            for record in scheduler.in_order(name, queue):
                shown = {"jobArn": record.arn, "earliestTimeAtPosition": record.detail["createdAt"]}
                of_shares.setdefault(record.share, []).append(shown)
            return {
                "frontOfQuotaShares": {
                    "quotaShares": {share: jobs[:FRONT] for share, jobs in of_shares.items()},
                    "lastUpdatedAt": now,
                },
                "queueUtilization": utilization,
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
