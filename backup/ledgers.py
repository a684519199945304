"""Jobs in motion, with their ledgers whole.

The ledger of a job is written by the table's stream, a moment after the record. A job that is open, or ended just now, is
therefore read again at the end of its table, until every version of its record is in its ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from backup.belongings import Stored
from backup.settling import open_kind
from chalicelib.clock import to_text
from chalicelib.jobs.ledger_store import PREFIX as CHANGE

_LATE = timedelta(minutes=1)
"""How long ago a change may be that is still on its way into the ledger."""
_PAUSES = (0.5,) * 20


def with_whole_ledgers(
    items: Iterable[Stored], read: Callable[[str], Iterable[Stored]], since: datetime, pause: Callable[[float], None]
) -> Iterator[Stored]:
    """The items of the table of jobs, those of jobs in motion as they are at the end.

    Args:
        read: what lies under a partition key now.
        since: when the items began to be read.
        pause: waits so many seconds.
    """
    recent = to_text(since - _LATE)
    moving = []
    # What lies under one key comes together.
    for pk, group in groupby(items, key=lambda item: item["pk"]["S"]):
        together = list(group)
        if any(_is_moving(item, recent) for item in together):
            moving.append(pk)
        else:
            yield from together
    for pk in moving:
        yield from _settled(partial(read, pk), pause)


def _is_moving(item: Stored, recent: str) -> bool:
    return item["sk"]["S"] == "job" and (open_kind("jobs", item) is not None or item["updated_at"]["S"] >= recent)


def _settled(read: Callable[[], Iterable[Stored]], pause: Callable[[float], None]) -> list[Stored]:
    """A job's items once its ledger is whole; after some seconds, as they are."""
    for seconds in _PAUSES:
        found = list(read())
        if _is_whole(found):
            return found
        pause(seconds)
    return list(read())


def _is_whole(items: list[Stored]) -> bool:
    versions = [int(item["version"]["N"]) for item in items if item["sk"]["S"] == "job"]
    # A job that was deleted meanwhile has no ledger any more.
    deleted = any(item.get("status", {}).get("S") == "deleted" for item in items)
    return deleted or not versions or sum(item["sk"]["S"].startswith(CHANGE) for item in items) >= versions[0]
