"""The calls about events that could not be told, and about those that shall be told again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport

_PATH = "/admin/events"
_PAUSE_SECONDS = 1.0
_UNDER_WAY = frozenset({"starting", "running", "cancelling"})


@dataclass(frozen=True)
class DeadLetter:
    """An event that could not be published or delivered.

    Attributes:
        subject: what it is about; letters of one subject are sent again in their order.
        type: the event's type; None for a change that no event could be made of.
        stage: how far it came: reading, publishing, delivering; or lost, which cannot be sent again.
        times: how often it has ended here.
        content: the event's detail, or what else is known.
    """

    dead_letter_id: str
    subject: str
    type: str | None
    stage: str
    reason: str
    times: int
    noted_at: str
    content: Any = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> DeadLetter:
        names = ("dead_letter_id", "subject", "type", "stage", "reason", "times", "noted_at", "content")
        return cls(**{name: document.get(name) for name in names}, document=document)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Redrive:
    """How many letters were sent again, and how many stay in the list."""

    sent: int
    failed: int


@dataclass(frozen=True)
class Replay:
    """A replay of archived events.

    Attributes:
        state: starting, running, completed, cancelling, cancelled or failed.
    """

    replay_id: str
    state: str
    reason: str | None
    began_at: str | None
    ended_at: str | None
    last_event_at: str | None
    document: Mapping[str, Any] = field(repr=False)

    @property
    def is_under_way(self) -> bool:
        return self.state in _UNDER_WAY

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Replay:
        return cls(
            replay_id=document["replay_id"],
            state=document["state"],
            reason=document.get("reason"),
            began_at=document.get("began_at"),
            ended_at=document.get("ended_at"),
            last_event_at=document.get("last_event_at"),
            document=document,
        )


@dataclass(frozen=True)
class EventCalls:
    """``client.events``. For administrators of the whole installation."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def dead_letters(self, *, page_size: int = 50) -> Iterator[DeadLetter]:
        """Oldest first, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            return self.transport.document(
                "GET", f"{_PATH}/dead-letters", params={"limit": page_size, "cursor": cursor}
            )

        return (DeadLetter.from_document(each) for each in each_document(fetch, "dead_letters"))

    def redrive(self, subject: str | None = None) -> Redrive:
        """Sends all dead letters again, or those about one thing; as many calls as it takes."""
        body = {"subject": subject} if subject is not None else {}
        sent = failed = 0
        while True:
            done = self.transport.document("POST", f"{_PATH}/redrive", body=body)
            sent, failed = sent + done["sent"], failed + done["failed"]
            if not done["next_cursor"]:
                return Redrive(sent, failed)
            body = {"cursor": done["next_cursor"]}

    def start_replay(
        self, since: str, until: str | None = None, *, rule: str | None = None, name: str | None = None
    ) -> Replay:
        """Has the archived events of a time put on the bus again. The same times and rule are the same replay.

        Args:
            since, until: RFC 3339 with a time zone; until now by default.
            rule: the only rule of the bus that gets them.
            name: tells replays of the same time apart.
        """
        wanted = {"since": since, "until": until, "rule": rule, "name": name}
        body = {key: value for key, value in wanted.items() if value is not None}
        return Replay.from_document(self.transport.document("POST", f"{_PATH}/replays", body=body))

    def replay(self, replay_id: str) -> Replay:
        return Replay.from_document(self.transport.document("GET", f"{_PATH}/replays/{quote(replay_id, safe='')}"))

    def wait(self, replay: Replay, timeout: float = 3600) -> Replay:
        """Waits until a replay has ended.

        Raises:
            TimeoutError: it did not in time, and goes on.
        """
        deadline = self.monotonic() + timeout
        while replay.is_under_way:
            if self.monotonic() >= deadline:
                raise TimeoutError(f"the replay {replay.replay_id} is still {replay.state}")
            self.sleep(_PAUSE_SECONDS)
            replay = self.replay(replay.replay_id)
        return replay
