"""Scheduling policies: how a queue divides its machines between share identifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from localcloud.compute.batch.fairshare import MAX_DECAY_SECONDS, MAX_RESERVATION, MAX_SHARES, Policy
from localcloud.compute.batch.names import ClientFault
from localcloud.compute.batch.requests import check_name, check_share
from localcloud.compute.batch.resources import Resources, anywhere, page
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation

POLICY = "batch-scheduling-policy"
_WEIGHTS = (0.0001, 999.9999)


class Policies:
    """`users_of` names a policy's queues; `changed` is called when jobs may have become able to start."""

    def __init__(self, host: Host, users_of: Callable[[str], Sequence[str]], changed: Callable[[], None]) -> None:
        self._policies = Resources(host, POLICY, "scheduling-policy", "SchedulingPolicy {} does not exist")
        self._users_of = users_of
        self._changed = changed

    def operations(self) -> Sequence[Operation]:
        on_policy = self._policies.authorized
        operations: list[tuple[str, Any, Callable[[Document], Authorization]]] = [
            ("CreateSchedulingPolicy", self.create, on_policy("CreateSchedulingPolicy", "name")),
            ("DescribeSchedulingPolicies", self.describe, anywhere("DescribeSchedulingPolicies")),
            ("ListSchedulingPolicies", self.list_policies, anywhere("ListSchedulingPolicies")),
            ("UpdateSchedulingPolicy", self.update, on_policy("UpdateSchedulingPolicy", "arn")),
            ("DeleteSchedulingPolicy", self.delete, on_policy("DeleteSchedulingPolicy", "arn")),
        ]
        return [Operation("batch", name, handler, rule) for name, handler, rule in operations]

    async def create(self, call: Call) -> Document:
        name = call.params["name"]
        check_name("name", name)
        quota = call.params.get("quotaSharePolicy")
        if quota is not None and "fairsharePolicy" in call.params:
            raise ClientFault("A scheduling policy has a fairsharePolicy or a quotaSharePolicy, and not both")
        fairshare = call.params.get("fairsharePolicy", {})
        _check(fairshare)
        arn = self._policies.arn(name)
        rule: Document = {"fairsharePolicy": fairshare} if quota is None else {"quotaSharePolicy": quota}
        document = {"name": name, "arn": arn, **rule, "tags": call.params.get("tags", {})}
        self._policies.insert(name, document)
        return {"name": name, "arn": arn}

    async def describe(self, call: Call) -> Document:
        held = map(self._policies.find, call.params["arns"])
        return {"schedulingPolicies": [document for document in held if document is not None]}

    async def list_policies(self, call: Call) -> Document:
        held = [{"arn": document["arn"]} for _, document in self._policies.all()]
        return page("schedulingPolicies", held, call.params)

    async def update(self, call: Call) -> Document:
        name, document = self.get(call.params["arn"])
        if "fairsharePolicy" not in document:
            raise ClientFault("A policy of quota shares can't become one of fair shares")
        fairshare: Document = call.params.get("fairsharePolicy") or document["fairsharePolicy"]
        _check(fairshare)
        self._policies.put(name, {**document, "fairsharePolicy": fairshare})
        self._changed()
        return {}

    async def delete(self, call: Call) -> Document:
        name, document = self.get(call.params["arn"])
        if queues := self._users_of(document["arn"]):
            raise ClientFault(f"Cannot delete, the scheduling policy is used by the job queue {queues[0]}")
        self._policies.delete(name)
        return {}

    def get(self, arn: str) -> tuple[str, Document]:
        return self._policies.get(arn)

    def of(self, queue: Document) -> Policy | None:
        """A queue's fair-share policy; None when it has none."""
        arn = queue.get("schedulingPolicyArn")
        if not arn or self.is_by_quota(queue):
            return None
        return Policy.of(self.get(arn)[1]["fairsharePolicy"])

    def is_by_quota(self, queue: Document) -> bool:
        """Whether a queue's capacity is divided into quota shares."""
        arn = queue.get("schedulingPolicyArn")
        return bool(arn) and "quotaSharePolicy" in self.get(str(arn))[1]


def _check(fairshare: Document) -> None:
    """AWS's bounds: https://docs.aws.amazon.com/batch/latest/APIReference/API_FairsharePolicy.html"""
    if not 0 <= fairshare.get("shareDecaySeconds", 0) <= MAX_DECAY_SECONDS:
        raise ClientFault(f"shareDecaySeconds must be between 0 and {MAX_DECAY_SECONDS}")
    if not 0 <= fairshare.get("computeReservation", 0) <= MAX_RESERVATION:
        raise ClientFault(f"computeReservation must be between 0 and {MAX_RESERVATION}")
    shares = fairshare.get("shareDistribution", [])
    if len(shares) > MAX_SHARES:
        raise ClientFault(f"shareDistribution must have at most {MAX_SHARES} items")
    for each in shares:
        check_share(each["shareIdentifier"].removesuffix("*"))
        if not _WEIGHTS[0] <= each.get("weightFactor", 1.0) <= _WEIGHTS[1]:
            raise ClientFault(f"weightFactor must be between {_WEIGHTS[0]} and {_WEIGHTS[1]}")
