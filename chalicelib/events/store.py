"""Dead letters in DynamoDB, in the table `events`.

    pk                  sk                       what
    dead#<subject>      <order>#<letter_id>      a dead letter

A partition is a subject, in the order of its events: what is sent again is read from it. The list, in the order of their
coming, reads the index `by-kind`. A letter goes after `KEPT`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.clock import from_text, to_text
from chalicelib.cursor import Cursor
from chalicelib.events.dead_letter import DeadLetter, Stage
from chalicelib.table import ConditionFailed, Item, Table

KEPT = timedelta(days=90)

_INDEX, _KIND, _NAME = "by-kind", "kind_key", "dead"
_LISTED = frozenset({"pk", "sk", "listed_at", _KIND})
# It has come again since it was read.
_AS_READ = "times = :times"


@dataclass(frozen=True)
class LetterPage:
    letters: tuple[DeadLetter, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class DeadLetterStore:
    table: Table

    def keep(self, letter: DeadLetter) -> None:
        """Note a letter; one that is here already has come once more, and for the newer reason."""
        try:
            self.table.write(self.table.put_if_absent(_item(letter)))
        except ConditionFailed:
            self.table.write(self.table.change(*_key(letter), {"reason": letter.reason}, add={"times": 1}))

    def of_subject(self, subject: str) -> Iterator[DeadLetter]:
        """All letters about one thing, in the order of its events, strongly consistent."""
        return (_letter(item) for item in self.table.all_of(f"dead#{subject}", consistent=True))

    def search(self, limit: int, offset: int, after: Cursor | None) -> LetterPage:
        """Oldest first: what a redrive begins with."""
        page = self.table.query((_KIND, _NAME), index=_INDEX, after=after, limit=limit, offset=offset)
        return LetterPage(tuple(_letter(item) for item in page.items), page.cursor)

    def remove(self, letter: DeadLetter) -> bool:
        """Take a letter out as it was read; False when it is gone, or has come again meanwhile."""
        write = self.table.delete(*_key(letter), condition=_AS_READ, values={":times": letter.times})
        try:
            self.table.write(write)
        except ConditionFailed:
            return False
        return True

    @staticmethod
    def cursor(text: str | None) -> Cursor | None:
        return Cursor.of_list(text, _LISTED, {_KIND: _NAME})


def _key(letter: DeadLetter) -> tuple[str, str]:
    return f"dead#{letter.subject}", f"{letter.order:012d}#{letter.letter_id}"


def _item(letter: DeadLetter) -> Item:
    pk, sk = _key(letter)
    return {
        "pk": pk,
        "sk": sk,
        "letter_id": letter.letter_id,
        "subject": letter.subject,
        "order": letter.order,
        "stage": letter.stage.value,
        "reason": letter.reason,
        "event_kind": letter.kind,
        "content": letter.content,
        "times": letter.times,
        "noted_at": to_text(letter.noted_at),
        "expires_at": int((letter.noted_at + KEPT).timestamp()),
        _KIND: _NAME,
        "listed_at": f"{to_text(letter.noted_at)}#{letter.letter_id}",
    }


def _letter(item: Item) -> DeadLetter:
    return DeadLetter(
        letter_id=item["letter_id"],
        subject=item["subject"],
        order=item["order"],
        stage=Stage(item["stage"]),
        reason=item["reason"],
        kind=item["event_kind"],
        content=item["content"],
        noted_at=from_text(item["noted_at"]),
        times=item["times"],
    )
