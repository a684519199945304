"""An event that could not be published or delivered, and why. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from chalicelib.clock import derived_id
from chalicelib.events.gateways import Message
from chalicelib.events.subject import order_of, subject_of

MAX_REASON = 500
# Of an item's 400 KB, with room for everything else in it.
MAX_CONTENT_BYTES = 300 * 1024


class Stage(Enum):
    """How far it came."""

    READING = "reading"
    """No event could be made of the change: the content is the change, and a later release may read it."""
    PUBLISHING = "publishing"
    """The bus did not take it."""
    DELIVERING = "delivering"
    """The bus could not hand it to a target, or a consumer failed on it again and again."""
    LOST = "lost"
    """Nobody has it any more, or nobody can read it: all that is known is the content, for a person to look at."""


@dataclass(frozen=True)
class DeadLetter:
    """
    Attributes:
        letter_id: an event's own id, so that the same event is one dead letter however often it dies.
        subject, order: what it is about, and where it stands among the events of that.
        kind: the event's detail-type; empty where there is none yet.
        content: JSON text: the event's detail, the change, or whatever arrived.
        times: how often it came here.
        noted_at: when it first did.
    """

    letter_id: str
    subject: str
    order: int
    stage: Stage
    reason: str
    kind: str
    content: str
    noted_at: datetime
    times: int = 1

    @property
    def is_sendable(self) -> bool:
        return self.stage is not Stage.LOST


def of_message(message: Message, stage: Stage, reason: str, now: datetime) -> DeadLetter:
    """One of an event; lost when its detail is none of ours or too large to be kept."""
    try:
        detail = json.loads(message.detail)
        letter_id = str(detail["eventId"])
    except (ValueError, TypeError, KeyError):
        return lost(message.detail, reason, now)
    if len(message.detail.encode()) > MAX_CONTENT_BYTES:
        return lost(message.detail, f"{reason} (and it is too large to be kept)", now)
    return DeadLetter(
        letter_id=letter_id,
        subject=subject_of(message.kind, detail),
        order=order_of(detail),
        stage=stage,
        reason=reason[:MAX_REASON],
        kind=message.kind,
        content=message.detail,
        noted_at=now,
    )


def of_change(change: Mapping[str, Any], subject: str, order: int, reason: str, now: datetime) -> DeadLetter:
    """One of a change that no event could be made of; without the older image where both are too large to be kept.

    Args:
        change: table, sequence, before and after, as JSON can hold them.
    """
    content = json.dumps(change, separators=(",", ":"))
    if len(content.encode()) > MAX_CONTENT_BYTES:
        content = json.dumps({**change, "before": None}, separators=(",", ":"))
    letter_id = derived_id("dead-letter", subject, str(change["sequence"]))
    if len(content.encode()) > MAX_CONTENT_BYTES:
        return lost(content, f"{reason} (and it is too large to be kept)", now)
    return DeadLetter(letter_id, subject, order, Stage.READING, reason[:MAX_REASON], "", content, now)


def lost(content: str, reason: str, now: datetime) -> DeadLetter:
    """What cannot be sent again, as much of it as can be kept."""
    # Half a character, which a message may contain, can't be stored.
    kept = content.encode("utf-8", "replace")[:MAX_CONTENT_BYTES].decode("utf-8", "ignore")
    letter_id = derived_id("dead-letter", "lost", kept)
    return DeadLetter(letter_id, f"lost/{letter_id}", 0, Stage.LOST, reason[:MAX_REASON], "", kept, now)
