"""What an administrator of the installation may do with events: list dead letters, send them again, replay the archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, derived_id, to_text
from chalicelib.cursor import Cursor
from chalicelib.errors import FieldProblem, InvalidRequest, NotFound
from chalicelib.events.dead_letter import MAX_REASON, DeadLetter, Stage
from chalicelib.events.gateways import Archive, Bus, Message, Replay
from chalicelib.events.request import RedriveRequest, ReplayRequest, moment
from chalicelib.events.store import DeadLetterStore, LetterPage
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission

# API Gateway hangs up after 29 s; what one more page takes must fit in between.
REDRIVE_SECONDS = 15.0
_PAGE = 50
# EventBridge knows names of 64 characters, and so do its IAM resources: see infra/permissions.py.
_REPLAY_PREFIX = "aimatrix-"
_REPLAY_NAME = len(_REPLAY_PREFIX) + 36


@dataclass(frozen=True)
class Redrive:
    """What one call has done.

    Attributes:
        sent: letters that the bus has taken; they are gone from the list.
        failed: letters that stay, with a new reason. Those that are lost stay too, and are not counted.
        cursor: where to go on in the list; None when it came to the end.
    """

    sent: int
    failed: int
    cursor: Cursor | None


@dataclass(frozen=True)
class EventService:
    """
    Args:
        bus, archive: made when they are needed.
        messages_of: the events of a dead letter that is none yet: a change that could not be read.
        seconds: that never go back.
        stack: keeps the replays of several installations in one account apart.
    """

    store: DeadLetterStore
    bus: Callable[[], Bus]
    archive: Callable[[], Archive]
    messages_of: Callable[[str], list[Message]]
    now: Clock
    seconds: Callable[[], float]
    stack: str
    audit: Recorder

    def dead_letters(self, caller: Caller, limit: int, offset: int, cursor: str | None) -> LetterPage:
        caller.require(Permission.EVENTS_MANAGE)
        return self.store.search(limit, offset, DeadLetterStore.cursor(cursor))

    def redrive(self, caller: Caller, request: RedriveRequest) -> Redrive:
        """Send dead letters again, those of one subject in their order.

        Whoever has seen an event knows it by its id, so that doing it twice, or dying between sending a letter and taking
        it out of the list, doubles nothing for them.

        Raises:
            NotTaken: the bus takes nothing now. What was sent until then is gone from the list.
        """
        caller.require(Permission.EVENTS_MANAGE)
        self.audit.record(caller, Action.REDRIVE_EVENTS, subject("events", request.subject or "all"))
        if request.subject is not None:
            sent, failed = self._send_all(self.store.of_subject(request.subject))
            return Redrive(sent, failed, None)
        return self._redrive_all(DeadLetterStore.cursor(request.cursor))

    def _redrive_all(self, cursor: Cursor | None) -> Redrive:
        deadline = self.seconds() + REDRIVE_SECONDS
        sent = failed = 0
        seen: set[str] = set()
        while True:
            page = self.store.search(_PAGE, 0, cursor)
            for letter in page.letters:
                if letter.subject in seen:
                    continue
                seen.add(letter.subject)
                done = self._send_all(self.store.of_subject(letter.subject))
                sent, failed = sent + done[0], failed + done[1]
            cursor = page.cursor
            if cursor is None or self.seconds() > deadline:
                return Redrive(sent, failed, cursor)

    def _send_all(self, letters: Iterable[DeadLetter]) -> tuple[int, int]:
        sent = failed = 0
        for letter in letters:
            if not letter.is_sendable:
                continue
            reason = self._send(letter)
            if reason is None:
                sent += 1
                self.store.remove(letter)
            else:
                failed += 1
                self.store.keep(replace(letter, reason=reason[:MAX_REASON]))
        return sent, failed

    def _send(self, letter: DeadLetter) -> str | None:
        """Put a letter on the bus; why it cannot be, or None."""
        try:
            messages = (
                self.messages_of(letter.content)
                if letter.stage is Stage.READING
                else [Message(letter.kind, letter.content)]
            )
        except Exception as error:  # noqa: BLE001  whatever it was, this change still cannot be read
            return f"{type(error).__name__}: {error}"
        refusals = self.bus().send(messages).refusals
        return refusals[0].reason if refusals else None

    def start_replay(self, caller: Caller, request: ReplayRequest) -> Replay:
        """Have the archived events of a time put on the bus again. The same times, rule and name are the same replay.

        Raises:
            InvalidRequest: the times are none, or not in order.
            RefusedValue: the bus has no such rule.
            Conflict: too many replays are under way.
        """
        caller.require(Permission.EVENTS_MANAGE)
        since, until = self._times(request)
        parts = (to_text(since), to_text(until), request.rule or "", request.name or "")
        name = _REPLAY_PREFIX + derived_id("replay", self.stack, *parts)
        self.audit.record(
            caller,
            Action.REPLAY_EVENTS,
            subject("replay", name),
            since=to_text(since),
            until=to_text(until),
            rule=request.rule,
        )
        archive = self.archive()
        archive.start(name, since, until, request.rule)
        return archive.describe(name)

    def replay(self, caller: Caller, name: str) -> Replay:
        """
        Raises:
            NotFound: there is none of this name.
        """
        caller.require(Permission.EVENTS_MANAGE)
        if not name.startswith(_REPLAY_PREFIX) or len(name) != _REPLAY_NAME or not name.isascii():
            raise NotFound("replay")
        return self.archive().describe(name)

    def _times(self, request: ReplayRequest) -> tuple[datetime, datetime]:
        now = self.now()
        since = moment(request.since)
        until = moment(request.until) if request.until is not None else now
        problems = [
            FieldProblem(name, "is not a time", "Use RFC 3339 with a time zone, such as 2026-03-01T12:00:00Z.")
            for name, found in (("since", since), ("until", until))
            if found is None
        ]
        if since is None or until is None:
            raise InvalidRequest.about(*problems)
        if since >= until:
            raise InvalidRequest.about(FieldProblem("since", "is not before until", "Use an earlier time."))
        if since > now:
            raise InvalidRequest.about(FieldProblem("since", "lies in the future", "Use a time that has passed."))
        # EventBridge knows whole seconds: the last one is taken whole.
        return since.astimezone(UTC).replace(microsecond=0), _ceiling(until.astimezone(UTC))


def _ceiling(moment: datetime) -> datetime:
    whole = moment.replace(microsecond=0)
    return whole if whole == moment else whole + timedelta(seconds=1)
