"""TagResource, UntagResource and ListTagsForResource of Batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from localcloud.compute.batch.catalog import DEFINITION, ENVIRONMENT, QUEUE, SERVICE_ENVIRONMENT
from localcloud.compute.batch.names import Arns, ClientFault
from localcloud.compute.batch.policies import POLICY
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.store import DocumentStore

if TYPE_CHECKING:
    from localcloud.compute.batch.dispatcher import Dispatcher

MAX_TAGS = 50
_KINDS = {
    "compute-environment": ENVIRONMENT,
    "job-queue": QUEUE,
    "job-definition": DEFINITION,
    "scheduling-policy": POLICY,
    "service-environment": SERVICE_ENVIRONMENT,
}
_SERVICE_JOB = "batch-service-job"


class BatchTags:
    def __init__(self, store: DocumentStore, arns: Arns, dispatcher: Dispatcher) -> None:
        self._store = store
        self._arns = arns
        self._dispatcher = dispatcher

    def operations(self) -> Sequence[Operation]:
        return [
            Operation("batch", "TagResource", self.tag, _on_resource("TagResource")),
            Operation("batch", "UntagResource", self.untag, _on_resource("UntagResource")),
            Operation("batch", "ListTagsForResource", self.list_tags, _on_resource("ListTagsForResource")),
        ]

    async def tag(self, call: Call) -> Document:
        tags, keep = self._held(call.params["resourceArn"])
        if len({**tags, **call.params["tags"]}) > MAX_TAGS:
            raise ClientFault(f"A resource can have at most {MAX_TAGS} tags")
        tags.update(call.params["tags"])
        keep()
        return {}

    async def untag(self, call: Call) -> Document:
        tags, keep = self._held(call.params["resourceArn"])
        for key in call.params["tagKeys"]:
            tags.pop(key, None)
        keep()
        return {}

    async def list_tags(self, call: Call) -> Document:
        tags, _ = self._held(call.params["resourceArn"])
        return {"tags": tags}

    def _held(self, arn: str) -> tuple[dict[str, str], Callable[[], None]]:
        """The resource's own tag dictionary, and what records a change of it."""
        resource_type = arn.split(":")[5].partition("/")[0] if arn.count(":") >= 5 else ""
        name = self._arns.name(resource_type, arn)
        if resource_type == "job":
            record = self._dispatcher.find(name)
            if record is not None:
                return record.detail["tags"], lambda: self._dispatcher.keep(record)
        if resource_type == "service-job" and (held := self._store.get(_SERVICE_JOB, name)) is not None:
            return held["detail"]["tags"], lambda: self._store.put(_SERVICE_JOB, name, held)
        document = self._store.get(_KINDS[resource_type], name) if resource_type in _KINDS else None
        if document is None:
            raise ClientFault(f"Resource {arn} not found")
        return document["tags"], lambda: self._store.put(_KINDS[resource_type], name, document)


def _on_resource(action: str) -> Callable[[Document], Authorization]:
    return lambda params: Authorization(f"batch:{action}", (params["resourceArn"],))
