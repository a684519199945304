"""AddTags, ListTags, DeleteTags of SageMaker, over every kind of resource that registers here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from localcloud.compute.errors import ResourceLimitExceeded, ResourceNotFound
from localcloud.compute.operations import Authorization, Call, Document, Operation

MAX_TAGS = 50


class TagHolder(Protocol):
    """The tags of one kind of resource."""

    def tags_of(self, arn: str) -> dict[str, str] | None:
        """The resource's tags, or None when there is no such resource."""

    def replace_tags(self, arn: str, tags: dict[str, str]) -> None:
        """Records the tags of a resource that exists."""


class SageMakerTags:
    """Finds the holder by the ARN's resource type (``training-job``, ``endpoint``, ...)."""

    def __init__(self) -> None:
        self._holders: dict[str, TagHolder] = {}

    def register(self, resource_type: str, holder: TagHolder) -> None:
        self._holders[resource_type] = holder

    def operations(self) -> Sequence[Operation]:
        return [
            Operation("sagemaker", "AddTags", self.add_tags, _on_resource("sagemaker:AddTags")),
            Operation("sagemaker", "ListTags", self.list_tags, _on_resource("sagemaker:ListTags")),
            Operation("sagemaker", "DeleteTags", self.delete_tags, _on_resource("sagemaker:DeleteTags")),
        ]

    async def add_tags(self, call: Call) -> Document:
        arn = call.params["ResourceArn"]
        holder, tags = self._find(arn)
        merged = {**tags, **{tag["Key"]: tag["Value"] for tag in call.params["Tags"]}}
        if len(merged) > MAX_TAGS:
            raise ResourceLimitExceeded(f"A resource can have at most {MAX_TAGS} tags")
        holder.replace_tags(arn, merged)
        return {"Tags": _listed(merged)}

    async def list_tags(self, call: Call) -> Document:
        _, tags = self._find(call.params["ResourceArn"])
        return {"Tags": _listed(tags)}

    async def delete_tags(self, call: Call) -> Document:
        arn = call.params["ResourceArn"]
        holder, tags = self._find(arn)
        holder.replace_tags(arn, {key: value for key, value in tags.items() if key not in call.params["TagKeys"]})
        return {}

    def _find(self, arn: str) -> tuple[TagHolder, dict[str, str]]:
        resource_type = arn.split(":")[-1].partition("/")[0]
        holder = self._holders.get(resource_type)
        tags = holder.tags_of(arn) if holder is not None else None
        if holder is None or tags is None:
            raise ResourceNotFound(f"Could not find resource '{arn}'")
        return holder, tags


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _on_resource(action: str) -> Callable[[Document], Authorization]:
    return lambda params: Authorization(action, (params["ResourceArn"],))
