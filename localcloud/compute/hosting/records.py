"""Records with a name and an ARN: create, find, list, delete. Models and endpoint configurations are nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.compute import listing
from localcloud.compute.errors import ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import already_exists, arn_of, key_of, not_found
from localcloud.compute.operations import Document
from localcloud.compute.store import AlreadyThere


class Records:
    """All resources of one kind. Documents have at least `name`, `arn`, `created`, `modified`, `tags`."""

    def __init__(self, host: Host, kind: str) -> None:
        self._host = host
        self.kind = kind

    def arn(self, name: str) -> str:
        return arn_of(self._host.settings, self.kind, name)

    def insert(self, name: str, document: Document) -> None:
        """Raises:
        ValidationFailed: the name is taken.
        """
        try:
            self._host.store.insert(self.kind, key_of(name), document)
        except AlreadyThere as error:
            raise already_exists(self.kind, self.arn(name)) from error

    def put(self, document: Document) -> None:
        self._host.store.put(self.kind, key_of(document["name"]), document)

    def find(self, name: str) -> Document | None:
        return self._host.store.get(self.kind, key_of(name))

    def get(self, name: str) -> Document:
        """Raises:
        ValidationFailed: there is none of that name.
        """
        document = self.find(name)
        if document is None:
            raise not_found(self.kind, self.arn(name))
        return document

    def delete(self, name: str) -> None:
        self._host.store.delete(self.kind, key_of(name))

    def all(self) -> list[Document]:
        return [document for _, document in self._host.store.scan(self.kind)]

    def page(self, params: Mapping[str, Any]) -> tuple[list[Document], str | None]:
        """The documents that a list request asks for, newest first unless it says otherwise, and the next token."""
        page, token = listing.page(self.all(), params)
        return list(page), token

    # Tags (see tags.TagHolder)

    def tags_of(self, arn: str) -> dict[str, str] | None:
        document = self.find(arn.rpartition("/")[2])
        return dict(document["tags"]) if document is not None and document["arn"] == arn else None

    def replace_tags(self, arn: str, tags: dict[str, str]) -> None:
        document = self.get(arn.rpartition("/")[2])
        document["tags"] = tags
        self.put(document)


def tags_from(params: Mapping[str, Any]) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", [])}
    if len(tags) != len(params.get("Tags", [])):
        raise ValidationFailed("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    return tags
