"""What goes out as events, and what could not."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.models import Models
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.events.gateways import Archive, Bus, Message
    from chalicelib.events.service import EventService
    from chalicelib.events.store import DeadLetterStore
    from chalicelib.events.undelivered import Undelivered


class Events(Models):
    """What goes out as events, and what could not."""

    @cached_property
    def event_bus(self) -> Bus:
        from chalicelib.events.gateways import Bus

        return Bus(self.clients.events, self.settings.event_bus, time.sleep)

    @cached_property
    def _dead_letter_store(self) -> DeadLetterStore:
        from chalicelib.events.store import DeadLetterStore

        return DeadLetterStore(Table(self.clients.dynamodb, self.settings.events_table))

    @cached_property
    def undelivered(self) -> Undelivered:
        from chalicelib.events.gateways import Streams
        from chalicelib.events.tasks import change_of
        from chalicelib.events.undelivered import Undelivered

        return Undelivered(self._dead_letter_store, Streams(lambda: self.clients.dynamodb_streams), change_of, self.now)

    @cached_property
    def events(self) -> EventService:
        from chalicelib.events.gateways import Archive
        from chalicelib.events.service import EventService

        def archive() -> Archive:
            return Archive(self.clients.events, self.settings.event_archive_arn, self.settings.event_bus)

        def messages_of(content: str) -> list[Message]:
            from chalicelib.events.changes import events_of
            from chalicelib.events.gateways import Message
            from chalicelib.events.undelivered import change_from

            return [Message.of(event) for event in events_of([change_from(content)])]

        return EventService(
            store=self._dead_letter_store,
            bus=lambda: self.event_bus,
            archive=archive,
            messages_of=messages_of,
            now=self.now,
            seconds=time.monotonic,
            stack=self.settings.stack,
            audit=self.audit,
        )
