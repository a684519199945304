"""What all kinds of Batch resources have in common: a unique name, an ARN, pages of descriptions, a state to delete in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from localcloud.compute.batch.names import Arns, ClientFault
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Document
from localcloud.compute.paging import page_of
from localcloud.compute.store import AlreadyThere

PAGE = 100


@dataclass(frozen=True)
class Resources:
    """The resources of one kind.

    Attributes:
        kind: under which they are stored.
        arn_kind: the first word of an ARN's last part, ``job-queue``.
        missing: what is said of one that is not there; ``{}`` stands for how the request named it.
    """

    host: Host
    kind: str
    arn_kind: str
    missing: str = "{} does not exist"

    @property
    def arns(self) -> Arns:
        return Arns.of(self.host.settings)

    def arn(self, name: str) -> str:
        return self.arns.make(self.arn_kind, name)

    def name(self, name_or_arn: str) -> str:
        return self.arns.name(self.arn_kind, name_or_arn)

    def insert(self, name: str, document: Document) -> None:
        """
        Raises:
            ClientFault: the name is taken.
        """
        try:
            self.host.store.insert(self.kind, name, document)
        except AlreadyThere as error:
            raise ClientFault("Object already exists") from error

    def put(self, name: str, document: Document) -> None:
        self.host.store.put(self.kind, name, document)

    def all(self) -> Iterator[tuple[str, Document]]:
        """By name, the oldest first."""
        return iter(self.host.store.scan(self.kind))

    def find(self, name_or_arn: str) -> Document | None:
        return self.host.store.get(self.kind, self.name(name_or_arn))

    def get(self, name_or_arn: str) -> tuple[str, Document]:
        """Its name, and what is recorded.

        Raises:
            ClientFault: there is none.
        """
        document = self.find(name_or_arn)
        if document is None:
            raise ClientFault(self.missing.format(name_or_arn))
        return self.name(name_or_arn), document

    def describe(self, member: str, params: Document) -> Document:
        """A page of those that the request names, of all if it names none."""
        wanted = {self.name(each) for each in params.get(member, ())}
        return page(member, [document for name, document in self.all() if not wanted or name in wanted], params)

    def disabled(self, name_or_arn: str) -> str:
        """The name of one that may be deleted.

        Raises:
            ClientFault: it is not disabled.
        """
        name, document = self.get(name_or_arn)
        if document["state"] != "DISABLED":
            raise ClientFault("Cannot delete, resource must be disabled first: set state to DISABLED.")
        return name

    def delete(self, name: str) -> None:
        self.host.store.delete(self.kind, name)

    def authorized(self, action: str, member: str) -> Callable[[Document], Authorization]:
        """Whoever calls must be allowed the action on the resource that this member of the request names."""
        return lambda params: Authorization(f"batch:{action}", (self.arn(self.name(params[member])),))


def page(member: str, held: Sequence[Document], params: Document) -> Document:
    shown, token = page_of(held, params.get("nextToken"), params.get("maxResults", PAGE))
    return {member: shown, "nextToken": token}


def anywhere(action: str) -> Callable[[Document], Authorization]:
    """Whoever calls must be allowed the action; it has no resource."""
    return lambda _: Authorization(f"batch:{action}")
