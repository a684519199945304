"""What the tables' streams call, and the queue of what they and the bus have given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger, metric
from chalicelib.table import decode

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform
    from chalicelib.events.changes import Change


def publish_events(platform: Platform, event: Mapping[str, Any]) -> None:
    """Put what the records of a stream are about on the bus.

    A change that no event can be made of, and an event that the bus will never take, become dead letters; the others go on.
    """
    # Imported here: the shapes of events are models of pydantic, which every other function would pay for at its start.
    from chalicelib.events.changes import events_of

    unreadable: list[tuple[Change, Exception]] = []
    changes = [change_of(record) for record in event["Records"]]
    told = events_of(changes, lambda change, error: unreadable.append((change, error)))
    sent = platform.event_bus.put(told)
    if unreadable or sent.refusals:
        undelivered = platform.undelivered
        undelivered.keep_unreadable(unreadable)
        for refusal in sent.refusals:
            undelivered.keep_refused(refusal.message, refusal.reason)
        _count(platform, len(unreadable) + len(sent.refusals))
    logger.info("published", extra={"records": len(changes), "events": sent.count})


def note_dead_letters(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what came into the dead-letter queue; names the messages that could not be kept, which come again.

    Metrics:
        DeadLetters: how many dead letters there are more.
    """
    failed = []
    count = 0
    for record in event["Records"]:
        try:
            count += platform.undelivered.note(record)
        except Exception:  # noqa: BLE001  its neighbours are kept, and it comes again
            logger.exception("a dead letter was not kept", extra={"message_id": record["messageId"]})
            failed.append({"itemIdentifier": record["messageId"]})
    _count(platform, count)
    return {"batchItemFailures": failed}


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


def _count(platform: Platform, letters: int) -> None:
    if not letters:
        return
    logger.warning("dead letters", extra={"count": letters})
    metric("DeadLetters", letters, platform.settings.stack)
