"""Service environments and quota shares: how many instances a queue for training jobs may use, and who of them how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.compute.batch.catalog import QUEUE, SERVICE_ENVIRONMENT, Catalog
from localcloud.compute.batch.names import ClientFault
from localcloud.compute.batch.requests import check_name
from localcloud.compute.batch.resources import Resources, anywhere, page
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.queued.rules import Share

SHARE = "batch-quota-share"
MAX_SHARES = 20


class ServiceCatalog:
    """`changed` is called when jobs may have become able to start."""

    def __init__(self, host: Host, queues: Catalog, changed: Callable[[], None]) -> None:
        self._host = host
        self._queues = queues
        self._changed = changed
        self._environments = Resources(host, SERVICE_ENVIRONMENT, "service-environment")
        # The ARN of a share is below its queue's.
        self._shares = Resources(host, SHARE, "job-queue", "QuotaShare {} not found")

    def operations(self) -> Sequence[Operation]:
        on_environment, on_share = self._environments.authorized, self._shares.authorized
        operations: list[tuple[str, Any, Callable[[Document], Authorization]]] = [
            (
                "CreateServiceEnvironment",
                self.create_environment,
                on_environment("CreateServiceEnvironment", "serviceEnvironmentName"),
            ),
            ("DescribeServiceEnvironments", self.describe_environments, anywhere("DescribeServiceEnvironments")),
            (
                "UpdateServiceEnvironment",
                self.update_environment,
                on_environment("UpdateServiceEnvironment", "serviceEnvironment"),
            ),
            (
                "DeleteServiceEnvironment",
                self.delete_environment,
                on_environment("DeleteServiceEnvironment", "serviceEnvironment"),
            ),
            ("CreateQuotaShare", self.create_share, self._may_create_share),
            ("DescribeQuotaShare", self.describe_share, on_share("DescribeQuotaShare", "quotaShareArn")),
            ("ListQuotaShares", self.list_shares, on_share("ListQuotaShares", "jobQueue")),
            ("UpdateQuotaShare", self.update_share, on_share("UpdateQuotaShare", "quotaShareArn")),
            ("DeleteQuotaShare", self.delete_share, on_share("DeleteQuotaShare", "quotaShareArn")),
        ]
        return [Operation("batch", name, handler, rule) for name, handler, rule in operations]

    # Service environments

    async def create_environment(self, call: Call) -> Document:
        name = call.params["serviceEnvironmentName"]
        check_name("serviceEnvironmentName", name)
        _limits(call.params)
        arn = self._environments.arn(name)
        document = {
            "state": "ENABLED",
            **call.params,
            "serviceEnvironmentArn": arn,
            "status": "VALID",
            "tags": call.params.get("tags", {}),
        }
        self._environments.insert(name, document)
        self._changed()
        return {"serviceEnvironmentName": name, "serviceEnvironmentArn": arn}

    async def describe_environments(self, call: Call) -> Document:
        return self._environments.describe("serviceEnvironments", call.params)

    async def update_environment(self, call: Call) -> Document:
        name, document = self.environment(call.params["serviceEnvironment"])
        changes = {key: value for key, value in call.params.items() if key != "serviceEnvironment"}
        if "capacityLimits" in changes:
            _limits(changes)
        self._environments.put(name, {**document, **changes})
        self._changed()
        return {"serviceEnvironmentName": name, "serviceEnvironmentArn": document["serviceEnvironmentArn"]}

    async def delete_environment(self, call: Call) -> Document:
        name = self._environments.disabled(call.params["serviceEnvironment"])
        for queue, held in self._host.store.scan(QUEUE):
            if name in self._queues.service_environments_of(held):
                raise ClientFault(f"Cannot delete, found existing JobQueue relationship: {queue}")
        self._environments.delete(name)
        return {}

    def environment(self, name_or_arn: str) -> tuple[str, Document]:
        return self._environments.get(name_or_arn)

    def limits_of(self, queue: Document) -> dict[str, int]:
        """The capacity of a queue's enabled service environments together, by unit."""
        limits: Counter[str] = Counter()
        for name in self._queues.service_environments_of(queue):
            _, document = self.environment(name)
            if document["state"] == "ENABLED":
                limits.update(_limits(document))
        return dict(limits)

    # Quota shares

    async def create_share(self, call: Call) -> Document:
        params = call.params
        name = params["quotaShareName"]
        check_name("quotaShareName", name)
        _limits(params)
        queue, document = self._queues.queue(params["jobQueue"])
        if not self._queues.policies.is_by_quota(document):
            raise ClientFault(f"The job queue {queue} has no quota share scheduling policy")
        if len(self.shares_of(queue)) >= MAX_SHARES:
            raise ClientFault(f"A job queue can have at most {MAX_SHARES} quota shares")
        sharing = params["resourceSharingConfiguration"]
        if "borrowLimit" in sharing and sharing["strategy"] != "LEND_AND_BORROW":
            raise ClientFault("borrowLimit is for quota shares with the strategy LEND_AND_BORROW")
        key = _key(queue, name)
        arn = self._shares.arn(key)
        document = {
            "state": "ENABLED",
            **{member: value for member, value in params.items() if member != "jobQueue"},
            "quotaShareArn": arn,
            "jobQueueArn": document["jobQueueArn"],
            "status": "VALID",
            "tags": params.get("tags", {}),
        }
        self._shares.insert(key, document)
        self._changed()
        return {"quotaShareName": name, "quotaShareArn": arn}

    async def describe_share(self, call: Call) -> Document:
        return self._shares.get(call.params["quotaShareArn"])[1]

    async def list_shares(self, call: Call) -> Document:
        queue, _ = self._queues.queue(call.params["jobQueue"])
        return page("quotaShares", self._shares_of(queue), call.params)

    async def update_share(self, call: Call) -> Document:
        key, document = self._shares.get(call.params["quotaShareArn"])
        changes = {member: value for member, value in call.params.items() if member != "quotaShareArn"}
        if "capacityLimits" in changes:
            _limits(changes)
        self._shares.put(key, {**document, **changes})
        self._changed()
        return {"quotaShareName": document["quotaShareName"], "quotaShareArn": document["quotaShareArn"]}

    async def delete_share(self, call: Call) -> Document:
        self._shares.delete(self._shares.disabled(call.params["quotaShareArn"]))
        return {}

    def shares_of(self, queue: str) -> dict[str, Share]:
        """The quota shares of a queue by name."""
        return {document["quotaShareName"]: _share_of(document) for document in self._shares_of(queue)}

    def takes_jobs(self, queue: str, share: str) -> bool:
        document = self._shares.find(_key(queue, share))
        return document is not None and document["state"] == "ENABLED"

    # Within

    def _shares_of(self, queue: str) -> list[Document]:
        return [document for key, document in self._shares.all() if key.startswith(_key(queue, ""))]

    def _may_create_share(self, params: Document) -> Authorization:
        arn = self._shares.arn(_key(self._shares.name(params["jobQueue"]), params["quotaShareName"]))
        return Authorization("batch:CreateQuotaShare", (arn,))


def _limits(holder: Document) -> dict[str, int]:
    limits = {each["capacityUnit"]: int(each["maxCapacity"]) for each in holder["capacityLimits"]}
    if not limits or any(value < 0 for value in limits.values()):
        raise ClientFault("capacityLimits must have at least one item, and no maxCapacity below zero")
    return limits


def _share_of(document: Document) -> Share:
    sharing = document["resourceSharingConfiguration"]
    return Share(
        name=document["quotaShareName"],
        limits=_limits(document),
        lends=sharing["strategy"] != "RESERVE",
        borrows=sharing["strategy"] == "LEND_AND_BORROW",
        borrow_percent=int(sharing.get("borrowLimit", -1)),
        preempts_within=document["preemptionConfiguration"]["inSharePreemption"] == "ENABLED",
    )


def _key(queue: str, share: str) -> str:
    return f"{queue}/quota-share/{share}"
