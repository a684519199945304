"""What the dead-letter queue of the events brings, made into dead letters that can be sent again.

    from                              what it brings
    Lambda, for a table's stream      which records it gave up, not the records: those are read from the stream again
    EventBridge, for a rule's target  the event, and why it could not be handed over
    a consumer's queue                the event, which the consumer has failed on too often

Every message is kept, whatever it is: an unreadable one as it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.clock import Clock
from chalicelib.events import dead_letter
from chalicelib.events.changes import Change, events_of
from chalicelib.events.dead_letter import DeadLetter, Stage
from chalicelib.events.gateways import Message, Streams
from chalicelib.events.store import DeadLetterStore
from chalicelib.table import Item, decode, encode

_CONSUMER = "a consumer failed on it again and again"


@dataclass(frozen=True)
class Undelivered:
    """
    Args:
        change_of: a record of a stream as a change.
    """

    store: DeadLetterStore
    streams: Streams
    change_of: Callable[[Mapping[str, Any]], Change]
    now: Clock

    def note(self, message: Mapping[str, Any]) -> int:
        """Keep what a message of the queue is about; how many dead letters that was.

        Args:
            message: as Lambda hands it over: `body`, `messageAttributes`.
        """
        count = 0
        for letter in self._letters(str(message.get("body", "")), message.get("messageAttributes") or {}):
            self.store.keep(letter)
            count += 1
        return count

    def keep_unreadable(self, unreadable: Iterable[tuple[Change, Exception]]) -> int:
        """Keep changes that no event could be made of; how many."""
        letters = [self._of_change(change, error) for change, error in unreadable]
        for letter in letters:
            self.store.keep(letter)
        return len(letters)

    def keep_refused(self, message: Message, reason: str) -> None:
        self.store.keep(dead_letter.of_message(message, Stage.PUBLISHING, reason, self.now()))

    def keep_lost(self, content: str, reason: str) -> None:
        """Keep what nobody can act on, for a person to look at."""
        self.store.keep(dead_letter.lost(content, reason, self.now()))

    def _letters(self, body: str, attributes: Mapping[str, Any]) -> Iterator[DeadLetter]:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        match document:
            case {"DDBStreamBatchInfo": dict(batch)}:
                condition = str(document.get("requestContext", {}).get("condition", "not published"))
                yield from self._of_batch(batch, condition, body)
            case {"detail-type": str(kind), "detail": dict(detail)}:
                code, words = (_attribute(attributes, f"ERROR_{part}") for part in ("CODE", "MESSAGE"))
                reason = ": ".join(filter(None, (code, words))) or _CONSUMER
                text = json.dumps(detail, separators=(",", ":"))
                yield dead_letter.of_message(Message(kind, text), Stage.DELIVERING, reason, self.now())
            case _:
                yield dead_letter.lost(body, "what came is neither an event nor a batch of a stream", self.now())

    def _of_batch(self, batch: Mapping[str, Any], condition: str, body: str) -> Iterator[DeadLetter]:
        records = self.streams.read(batch)
        if records is None:
            yield dead_letter.lost(body, f"{condition}, and the stream no longer has the records", self.now())
            return
        unreadable: list[tuple[Change, Exception]] = []
        changes = (self.change_of(record) for record in records)
        for event in events_of(changes, lambda change, error: unreadable.append((change, error))):
            yield dead_letter.of_message(Message.of(event), Stage.PUBLISHING, condition, self.now())
        for change, error in unreadable:
            yield self._of_change(change, error)

    def _of_change(self, change: Change, error: Exception) -> DeadLetter:
        document = {
            "table": change.table,
            "sequence": change.sequence,
            # As DynamoDB writes them, where a number keeps all its digits.
            "before": _written(change.before),
            "after": _written(change.after),
        }
        reason = f"{type(error).__name__}: {error}"
        return dead_letter.of_change(document, change.subject, change.order, reason, self.now())


def change_from(content: str) -> Change:
    """The change of a dead letter that no event could be made of."""
    document = json.loads(content)
    before, after = (decode(document[image]) if document[image] else None for image in ("before", "after"))
    return Change(document["table"], document["sequence"], before, after)


def _written(item: Item | None) -> Any:
    # repr: no item of ours holds bytes, so what does has been written by somebody else, and is for a person to look at.
    return json.loads(json.dumps(encode(item), default=repr)) if item is not None else None


def _attribute(attributes: Mapping[str, Any], name: str) -> str:
    return str((attributes.get(name) or {}).get("stringValue") or "")
