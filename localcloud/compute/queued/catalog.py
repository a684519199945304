"""Service environments and quota shares: how many instances a queue for training jobs may use, and who of them how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.compute.batch.catalog import QUEUE, Catalog
from localcloud.compute.batch.names import Arns, ClientFault
from localcloud.compute.batch.requests import check_name
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.paging import page_of
from localcloud.compute.queued.rules import Share
from localcloud.compute.store import AlreadyThere

ENVIRONMENT = "batch-service-environment"
SHARE = "batch-quota-share"
MAX_SHARES = 20
PAGE = 100
_ENVIRONMENT, _SHARE = "service-environment", "quota-share"


class ServiceCatalog:
    """`changed` is called when jobs may have become able to start."""

    def __init__(self, host: Host, queues: Catalog, changed: Callable[[], None]) -> None:
        self._host = host
        self._queues = queues
        self._arns = Arns.of(host.settings)
        self._changed = changed

    def operations(self) -> Sequence[Operation]:
        def on_environment(action: str, member: str = "serviceEnvironment") -> Callable[[Document], Authorization]:
            return lambda params: self._may(action, _ENVIRONMENT, params[member])

        def on_share(action: str) -> Callable[[Document], Authorization]:
            return lambda params: self._may(action, _SHARE, params["quotaShareArn"])

        operations: list[tuple[str, Any, Callable[[Document], Authorization]]] = [
            (
                "CreateServiceEnvironment",
                self.create_environment,
                on_environment("CreateServiceEnvironment", "serviceEnvironmentName"),
            ),
            ("DescribeServiceEnvironments", self.describe_environments, _anywhere("DescribeServiceEnvironments")),
            ("UpdateServiceEnvironment", self.update_environment, on_environment("UpdateServiceEnvironment")),
            ("DeleteServiceEnvironment", self.delete_environment, on_environment("DeleteServiceEnvironment")),
            ("CreateQuotaShare", self.create_share, lambda params: self._may_create_share(params)),
            ("DescribeQuotaShare", self.describe_share, on_share("DescribeQuotaShare")),
            ("ListQuotaShares", self.list_shares, _anywhere("ListQuotaShares")),
            ("UpdateQuotaShare", self.update_share, on_share("UpdateQuotaShare")),
            ("DeleteQuotaShare", self.delete_share, on_share("DeleteQuotaShare")),
        ]
        return [Operation("batch", name, handler, rule) for name, handler, rule in operations]

    # Service environments

    async def create_environment(self, call: Call) -> Document:
        name = call.params["serviceEnvironmentName"]
        check_name("serviceEnvironmentName", name)
        _limits(call.params)
        arn = self._arns.make(_ENVIRONMENT, name)
        document = {
            "state": "ENABLED",
            **call.params,
            "serviceEnvironmentArn": arn,
            "status": "VALID",
            "tags": call.params.get("tags", {}),
        }
        self._insert(ENVIRONMENT, name, document)
        return {"serviceEnvironmentName": name, "serviceEnvironmentArn": arn}

    async def describe_environments(self, call: Call) -> Document:
        wanted = [self._arns.name(_ENVIRONMENT, each) for each in call.params.get("serviceEnvironments", [])]
        held = [document for key, document in self._host.store.scan(ENVIRONMENT) if not wanted or key in wanted]
        page, token = page_of(held, call.params.get("nextToken"), call.params.get("maxResults", PAGE))
        return {"serviceEnvironments": page, "nextToken": token}

    async def update_environment(self, call: Call) -> Document:
        name, document = self.environment(call.params["serviceEnvironment"])
        changes = {key: value for key, value in call.params.items() if key != "serviceEnvironment"}
        if "capacityLimits" in changes:
            _limits(changes)
        self._host.store.put(ENVIRONMENT, name, {**document, **changes})
        self._changed()
        return {"serviceEnvironmentName": name, "serviceEnvironmentArn": document["serviceEnvironmentArn"]}

    async def delete_environment(self, call: Call) -> Document:
        name, document = self.environment(call.params["serviceEnvironment"])
        if document["state"] != "DISABLED":
            raise ClientFault("Cannot delete, resource must be disabled first: set state to DISABLED.")
        for queue, held in self._host.store.scan(QUEUE):
            if name in self._queues.service_environments_of(held):
                raise ClientFault(f"Cannot delete, found existing JobQueue relationship: {queue}")
        self._host.store.delete(ENVIRONMENT, name)
        return {}

    def environment(self, name_or_arn: str) -> tuple[str, Document]:
        name = self._arns.name(_ENVIRONMENT, name_or_arn)
        document = self._host.store.get(ENVIRONMENT, name)
        if document is None:
            raise ClientFault(f"{name_or_arn} does not exist")
        return name, document

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
        key = f"{queue}/{name}"
        arn = self._arns.make("job-queue", f"{queue}/quota-share/{name}")
        document = {
            "state": "ENABLED",
            **{member: value for member, value in params.items() if member != "jobQueue"},
            "quotaShareArn": arn,
            "jobQueueArn": document["jobQueueArn"],
            "status": "VALID",
            "tags": params.get("tags", {}),
        }
        self._insert(SHARE, key, document)
        return {"quotaShareName": name, "quotaShareArn": arn}

    async def describe_share(self, call: Call) -> Document:
        return self._share(call.params["quotaShareArn"])[1]

    async def list_shares(self, call: Call) -> Document:
        queue, _ = self._queues.queue(call.params["jobQueue"])
        page, token = page_of(self._shares(queue), call.params.get("nextToken"), call.params.get("maxResults", PAGE))
        return {"quotaShares": page, "nextToken": token}

    async def update_share(self, call: Call) -> Document:
        key, document = self._share(call.params["quotaShareArn"])
        changes = {member: value for member, value in call.params.items() if member != "quotaShareArn"}
        if "capacityLimits" in changes:
            _limits(changes)
        self._host.store.put(SHARE, key, {**document, **changes})
        self._changed()
        return {"quotaShareName": document["quotaShareName"], "quotaShareArn": document["quotaShareArn"]}

    async def delete_share(self, call: Call) -> Document:
        key, document = self._share(call.params["quotaShareArn"])
        if document["state"] != "DISABLED":
            raise ClientFault("Cannot delete, resource must be disabled first: set state to DISABLED.")
        self._host.store.delete(SHARE, key)
        return {}

    def shares_of(self, queue: str) -> dict[str, Share]:
        """The quota shares of a queue by name."""
        return {document["quotaShareName"]: _share_of(document) for document in self._shares(queue)}

    def takes_jobs(self, queue: str, share: str) -> bool:
        document = self._host.store.get(SHARE, f"{queue}/{share}")
        return document is not None and document["state"] == "ENABLED"

    # Within

    def _shares(self, queue: str) -> list[Document]:
        return [document for key, document in self._host.store.scan(SHARE) if key.partition("/")[0] == queue]

    def _share(self, arn: str) -> tuple[str, Document]:
        key = self._arns.name("job-queue", arn).replace("/quota-share/", "/")
        document = self._host.store.get(SHARE, key)
        if document is None:
            raise ClientFault(f"QuotaShare {arn} not found")
        return key, document

    def _insert(self, kind: str, key: str, document: Document) -> None:
        try:
            self._host.store.insert(kind, key, document)
        except AlreadyThere as error:
            raise ClientFault("Object already exists") from error
        self._changed()

    def _may(self, action: str, kind: str, name_or_arn: str) -> Authorization:
        arn = name_or_arn if name_or_arn.startswith("arn:") else self._arns.make(kind, name_or_arn)
        return Authorization(f"batch:{action}", (arn,))

    def _may_create_share(self, params: Document) -> Authorization:
        queue = self._arns.name("job-queue", params["jobQueue"])
        arn = self._arns.make("job-queue", f"{queue}/quota-share/{params['quotaShareName']}")
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


def _anywhere(action: str) -> Callable[[Document], Authorization]:
    return lambda _: Authorization(f"batch:{action}")
