"""What the tables' streams call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger
from chalicelib.table import decode

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform
    from chalicelib.events.changes import Change


def publish_events(platform: Platform, event: Mapping[str, Any]) -> None:
    """Put what the records of a stream are about on the bus. A record that cannot be read fails alone, by bisection."""
    # Imported here: the shapes of events are models of pydantic, which every other function would pay for at its start.
    from chalicelib.events.changes import events_of

    count = platform.event_bus.put(events_of(change_of(record) for record in event["Records"]))
    logger.info("published", extra={"records": len(event["Records"]), "events": count})


def change_of(record: Mapping[str, Any]) -> Change:
    """A record of a stream; the table is told by its name, which ends as the template calls it."""
    from chalicelib.events.changes import Change

    table = record["eventSourceARN"].split(":table/")[1].partition("/")[0]
    images = record["dynamodb"]
    return Change(
        table=table.rpartition("-")[2],
        sequence=str(images.get("SequenceNumber", "")),
        before=decode(images["OldImage"]) if "OldImage" in images else None,
        after=decode(images["NewImage"]) if "NewImage" in images else None,
    )
