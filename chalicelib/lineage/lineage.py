"""What came of what: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Node:
    """
    Attributes:
        type: `data`, `job`, `model` or `deployment`.
        node_id: None for data of which only the address is known.
        of: the node that it was reached from; None for the one that was asked for.
        about: what else is said of it.
    """

    type: str
    node_id: str | None
    of: str | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Lineage:
    """
    Attributes:
        asked: the node that was asked for.
        upstream: what it came from, nearest first.
        downstream: what came of it, nearest first.
        is_cut: there is more downstream than is shown.
    """

    asked: Node
    upstream: tuple[Node, ...]
    downstream: tuple[Node, ...]
    is_cut: bool = False
