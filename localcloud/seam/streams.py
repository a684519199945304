"""Streams of tables: they outlive the process, and are read when nobody waits for an answer.

On AWS a stream remembers for a day, whoever dies. ministack's are lists in its memory, and its notes of how far each
function has read go by ids that are new at each start. Here both are in the journal, by the names of table and function,
and a function goes on where it was. What it was told in the last minute it is told again: the queues that its own doing had
filled are gone, and whoever reads a stream has to bear with repetition on AWS, too.

What every function has read is forgotten, but for the latest: on a laptop they say enough.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

from ministack.services import dynamodb, lambda_svc

from localcloud.journal.records import Change, Contents, Name, Told

Record = dict[str, Any]

# Of each table, of what has been read.
CHANGES = 1000
TOLD_AGAIN_SECONDS = 60


class Records(list[Record]):
    """What a table's stream tells, the oldest first; notes what comes and what is forgotten."""

    def __init__(self, name: Name, records: Iterable[Record], append: Callable[[Change], None]) -> None:
        super().__init__(records)
        self._name = list(name)
        self._append = append

    def append(self, record: Record, /) -> None:
        super().append(record)
        self._append(["r", self._name, [record]])

    def __delitem__(self, which: SupportsIndex | slice[Any, Any, Any], /) -> None:
        before = len(self)
        super().__delitem__(which)
        # ministack and we delete at the front only.
        self._append(["R", self._name, before - len(self)])


class Streams:
    """Connects ministack's streams with the journal."""

    def __init__(self, append: Callable[[Change], None]) -> None:
        self._append = append
        self._resumed: dict[tuple[Name, str], int] = {}
        self._noted: dict[tuple[Name, str], int] = {}

    def install(self, contents: Contents, begin: Callable[[], None]) -> None:
        """Give back what the last run held and begin to note changes.

        Args:
            contents: taken apart, not copied.
            begin: called before the streams are looked at, in the poller's own thread; may wait. On AWS, what reads streams
                runs elsewhere; here it would take its share of two cores from the very requests that fill them.
        """
        for name, told in contents.streams.items():
            for function, position in told.positions.items():
                self._resumed[name, function] = min(position, _last_minute(told))
            dynamodb._stream_records._data[name] = Records(name, told.records, self._append)
            dynamodb._stream_trimmed._data[name] = told.forgotten
        contents.streams.clear()
        dynamodb._emit_stream_event = self._noting(dynamodb._emit_stream_event)
        poll = lambda_svc._poll_dynamodb_streams

        @functools.wraps(poll)
        def when_quiet() -> bool:
            begin()
            self._resume()
            found: bool = poll()
            if found:
                self._note_positions()
                self._forget()
            return found

        lambda_svc._poll_dynamodb_streams = when_quiet

    def _noting(self, emit: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(emit)
        def wrapper(table_name: str, *arguments: Any, **named: Any) -> None:
            name = dynamodb._stream_records._scoped(table_name)
            if name not in dynamodb._stream_records._data:
                dynamodb._stream_records._data.setdefault(name, Records(name, (), self._append))
            emit(table_name, *arguments, **named)

        return wrapper

    def _resume(self) -> None:
        """Have functions go on where they were in the last run."""
        for scope, table, function in _readers() if self._resumed else ():
            position = self._resumed.pop((table, function), None)
            if position is not None:
                with lambda_svc._dynamodb_stream_positions_lock:
                    lambda_svc._dynamodb_stream_positions._data[scope] = position

    def _note_positions(self) -> None:
        for scope, table, function in _readers():
            position = lambda_svc._dynamodb_stream_positions._data.get(scope)
            if position is not None and self._noted.get((table, function)) != position:
                self._noted[table, function] = position
                self._append(["p", list(table), function, position])

    def _forget(self, keep: int = CHANGES) -> None:
        """Forget the oldest changes that every function has read; their positions count what was forgotten."""
        read: dict[Name, list[int]] = {}
        for scope, table, _function in _readers():
            read.setdefault(table, []).append(lambda_svc._dynamodb_stream_positions._data.get(scope, 0))
        for name, records in list(dynamodb._stream_records._data.items()):
            forgotten = dynamodb._stream_trimmed._data.get(name, 0)
            excess = min(len(records) - keep, min(read.get(name, [forgotten])) - forgotten)
            if excess > 0:
                del records[:excess]
                dynamodb._stream_trimmed._data[name] = forgotten + excess


def _readers() -> list[tuple[tuple[str, str, str], Name, str]]:
    """Each function that reads a stream: the key of its position, its table, its name."""
    found = []
    for account, region, mapping in lambda_svc._iter_all_esms():
        _arn, _, resource = mapping.get("EventSourceArn", "").partition(":table/")
        if resource:
            table = resource.partition("/")[0]
            found.append(((account, region, mapping["UUID"]), (account, region, table), mapping["FunctionName"]))
    return found


def _last_minute(told: Told) -> int:
    """The position of the first record of the last minute that anything was told in."""
    moments: list[float] = [record["dynamodb"]["ApproximateCreationDateTime"] for record in told.records]
    recent = sum(moment >= max(moments) - TOLD_AGAIN_SECONDS for moment in moments)
    return told.forgotten + len(moments) - recent
