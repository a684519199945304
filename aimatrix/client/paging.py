"""Cursors into iterators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Fetch = Callable[[str | None], Mapping[str, Any]]


def each_document(fetch: Fetch, key: str, cursor: str | None = None) -> Iterator[dict[str, Any]]:
    """Every item of a listing, fetching pages as they are needed.

    A page may be empty and still have a successor (the store filters after it reads), so only the cursor ends the walk.
    """
    while True:
        page = fetch(cursor)
        yield from page.get(key) or ()
        following = page.get("next_cursor")
        if not following or following == cursor:
            return
        cursor = following
