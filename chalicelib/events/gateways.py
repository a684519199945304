"""The stack's bus."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.events.shapes import SOURCE, Event

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
MAX_ENTRIES, MAX_BYTES = 10, 256 * 1024
_TRIES = 4
_FIRST_PAUSE = 0.2


class NotTaken(Exception):
    """The bus did not take some events. The stream repeats its call, and what was taken comes again with the same ids."""


@dataclass(frozen=True)
class Bus:
    """
    Args:
        sleep: pauses between tries, in seconds.
    """

    client: EventBridgeClient
    name: str
    sleep: Callable[[float], None]

    def put(self, events: Iterable[Event]) -> int:
        """Put events on the bus in their order; how many.

        Raises:
            NotTaken: some were refused again and again.
        """
        count = 0
        for entries in _batches(self._entry(event) for event in events):
            self._put(entries)
            count += len(entries)
        return count

    def _put(self, entries: list[Any]) -> None:
        for attempt in range(_TRIES):
            answer = self.client.put_events(Entries=entries)
            if not answer["FailedEntryCount"]:
                return
            taken = [not each.get("ErrorCode") for each in answer["Entries"]]
            # From the first that was refused on: a later one that was taken comes twice, but never before its elder.
            entries = entries[taken.index(False) :]
            if attempt < _TRIES - 1:
                self.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  spreads, guards nothing
        raise NotTaken(f"{len(entries)} events")

    def _entry(self, event: Event) -> dict[str, Any]:
        detail = event.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": json.dumps(detail, separators=(",", ":"), ensure_ascii=False),
            "EventBusName": self.name,
        }


def _batches(entries: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        own = sum(len(str(part).encode()) for part in entry.values())
        if batch and (len(batch) == MAX_ENTRIES or size + own > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += own
    if batch:
        yield batch
