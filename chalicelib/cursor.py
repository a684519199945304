"""The one kind of cursor: opaque to a client, the same for lists, logs and metrics.

A cursor says where a reader stopped. It carries nothing secret and grants nothing: whoever presents it is checked like
anybody else, and what it points at is looked up inside the caller's own partition.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from chalicelib.errors import FieldProblem, InvalidRequest

_MAX_TEXT = 4096
_MAX_KEY = 1024


@dataclass(frozen=True)
class Cursor:
    """A position, as a flat map of names to text or numbers."""

    key: dict[str, Any]

    def encode(self) -> str:
        text = json.dumps(self.key, separators=(",", ":"), sort_keys=True)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def of_list(cls, text: str | None, names: Iterable[str], within: Mapping[str, str]) -> Cursor | None:
        """Read a list's cursor.

        Args:
            names: of the keys that are positions in the list.
            within: the keys that say which list it is, of the one that is asked for now: a cursor can't lead elsewhere.

        Raises:
            InvalidRequest: it is not one of ours.
        """
        cursor = cls.decode(text, names=frozenset({*names, *within}))
        return cls({**cursor.key, **within}) if cursor else None

    @classmethod
    def decode(cls, text: str | None, *, names: frozenset[str] | Mapping[str, type] | None = None) -> Cursor | None:
        """Read a cursor that a client sent back.

        Args:
            names: what the cursor must consist of, all of it text unless types are given; anything else is refused.

        Raises:
            InvalidRequest: it is not one of ours.
        """
        if not text:
            return None
        if len(text) > _MAX_TEXT:
            raise not_ours()
        try:
            padded = text + "=" * (-len(text) % 4)
            key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, RecursionError):
            raise not_ours() from None
        types = dict.fromkeys(names, str) if isinstance(names, frozenset) else names
        if not isinstance(key, dict) or not all(type(value) in {str, int} for value in key.values()):
            raise not_ours()
        if types is not None and {name: type(value) for name, value in key.items()} != types:
            raise not_ours()
        # A table's keys are never empty, and never longer than DynamoDB takes them.
        if isinstance(names, frozenset) and not all(0 < len(value.encode()) <= _MAX_KEY for value in key.values()):
            raise not_ours()
        return cls(key)


class Paged(Protocol):
    """A page of a list, with the cursor of the next one; None: it is the last."""

    @property
    def cursor(self) -> Cursor | None: ...


P = TypeVar("P", bound=Paged)


def pages(page_after: Callable[[Cursor | None], P], after: Cursor | None = None) -> Iterator[P]:
    """All pages of a list, each read when it is looked at.

    Args:
        page_after: reads the page behind a cursor.
        after: where to begin.
    """
    while True:
        page = page_after(after)
        yield page
        after = page.cursor
        if after is None:
            return


def not_ours() -> InvalidRequest:
    """The error for a cursor that this list did not give out."""
    return InvalidRequest.about(
        FieldProblem("cursor", "is not a cursor of this list", "Use next_cursor from an answer, unchanged.")
    )
