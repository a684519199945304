"""Changes, and the contents that follow from them.

A change is a JSON array whose first member says what it is:

```
["i", table, pk, sk, item]       an item was put                 ["d", table, pk, sk]   an item was deleted
["t", table, [[pk, sk, item]…]]  all items of a table, replaced  ["T", table]           a table was deleted
["r", table, [record…]]          a stream told changes           ["R", table, count]    it forgot the oldest so many
["p", table, function, position] a function has read a stream up to there, counted from its first record
["l", group, stream, [event…]]   log events were added           ["L", group, stream]   a stream was deleted
["L", group, null]               a log group was deleted
["a", archive, [event…]]         events were archived            ["A", archive, count]  the oldest so many were forgotten
["A", archive, null]             an archive was deleted
["s", service, state]            a small service's whole state
```
Tables, groups and archives are named by [account, region, name]. Order is the order of the changes; nothing looks at a
clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Item = dict[str, Any]
Name = tuple[str, str, str]
Change = list[Any]

_CHUNK = 500


class UnknownChangeError(ValueError):
    """The journal was written by another version of the project."""


@dataclass
class Told:
    """What a table's stream still knows.

    Attributes:
        forgotten: how many records came before these.
        positions: how far each function has read, counted with those that are forgotten.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    forgotten: int = 0
    positions: dict[str, int] = field(default_factory=dict)


@dataclass
class Contents:
    """What a state holds: tables by name, partition and sort key, and what their streams still know; log streams by group;
    archives; small services whole.
    """

    tables: dict[Name, dict[str, dict[str, Item]]] = field(default_factory=dict)
    streams: dict[Name, Told] = field(default_factory=dict)
    logs: dict[Name, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    archives: dict[Name, list[dict[str, Any]]] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """Follow one change.

        Raises:
            UnknownChangeError: it is of a kind that this version does not know.
        """
        match change:
            case ["i", name, pk, sk, item]:
                self.tables.setdefault(_name(name), {}).setdefault(pk, {})[sk] = item
            case ["d", name, pk, sk]:
                self._delete(_name(name), pk, sk)
            case ["t", name, items]:
                table: dict[str, dict[str, Item]] = {}
                for pk, sk, item in items:
                    table.setdefault(pk, {})[sk] = item
                self.tables[_name(name)] = table
            case ["T", name]:
                self.tables.pop(_name(name), None)
                self.streams.pop(_name(name), None)
            case ["r", name, records]:
                self._told(name).records.extend(records)
            case ["R", name, count]:
                told = self._told(name)
                del told.records[:count]
                told.forgotten += count
            case ["p", name, function, position]:
                self._told(name).positions[function] = position
            case ["l", name, stream, events]:
                self.logs.setdefault(_name(name), {}).setdefault(stream, []).extend(events)
            case ["L", name, None]:
                self.logs.pop(_name(name), None)
            case ["L", name, stream]:
                self.logs.get(_name(name), {}).pop(stream, None)
            case ["a", name, events]:
                self.archives.setdefault(_name(name), []).extend(events)
            case ["A", name, None]:
                self.archives.pop(_name(name), None)
            case ["A", name, count]:
                del self.archives.get(_name(name), [])[:count]
            case ["s", service, state]:
                self.services[service] = state
            case _:
                raise UnknownChangeError(f"the journal holds an unknown change: {change[:1]}")

    def changes(self) -> Iterator[Change]:
        """The shortest sequence of changes that leads to these contents."""
        for name, table in self.tables.items():
            yield ["t", list(name), []]
            for pk, partition in table.items():
                for sk, item in partition.items():
                    yield ["i", list(name), pk, sk, item]
        for name, told in self.streams.items():
            yield ["R", list(name), told.forgotten]
            for start in range(0, len(told.records), _CHUNK):
                yield ["r", list(name), told.records[start : start + _CHUNK]]
            for function, position in told.positions.items():
                yield ["p", list(name), function, position]
        for name, group in self.logs.items():
            for stream, events in group.items():
                yield ["l", list(name), stream, events[:_CHUNK]]
                for start in range(_CHUNK, len(events), _CHUNK):
                    yield ["l", list(name), stream, events[start : start + _CHUNK]]
        for name, events in self.archives.items():
            for start in range(0, len(events), _CHUNK):
                yield ["a", list(name), events[start : start + _CHUNK]]
        for service, state in self.services.items():
            yield ["s", service, state]

    def _told(self, name: list[str]) -> Told:
        return self.streams.setdefault(_name(name), Told())

    def _delete(self, name: Name, pk: str, sk: str) -> None:
        partition = self.tables.get(name, {}).get(pk)
        if partition is not None:
            partition.pop(sk, None)
            if not partition:
                del self.tables[name][pk]


def _name(name: list[str]) -> Name:
    account, region, own = name
    return account, region, own
