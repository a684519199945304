"""What came of what, as the service tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

NodeType = Literal["data", "job", "model", "deployment"]


@dataclass(frozen=True)
class LineageNode:
    """
    Attributes:
        id: None for data of which only the address is known.
        of: the id of the node that it was reached from; None for the one that was asked for.
    """

    type: NodeType
    id: str | None
    of: str | None
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LineageNode:
        return cls(cast("NodeType", document["type"]), document.get("id"), document.get("of"), document)


@dataclass(frozen=True)
class Lineage:
    """
    Attributes:
        upstream: what the asked one came from, nearest first.
        downstream: what came of it, nearest first.
    """

    asked: LineageNode
    upstream: tuple[LineageNode, ...]
    downstream: tuple[LineageNode, ...]
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Lineage:
        up, down = (tuple(map(LineageNode.from_document, document[each])) for each in ("upstream", "downstream"))
        return cls(LineageNode.from_document(document), up, down, document)
