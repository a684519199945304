"""A DynamoDB in memory, for simulations: what the stores do to it has the result, and the price, that it has on AWS.

Conditional writes, transactions, queries of tables and indexes, and batches, with botocore's exceptions; safe to use from
many threads; each call is atomic. `tests/contracts` runs the same suite on this and on the embedded cloud's DynamoDB. It
does not tell how fast DynamoDB is, and an index is never behind its table.

Prices: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.expressions import Attributes, Condition, updated
from chalicelib.table import MAX_TRANSACTION_ITEMS
from infra import tables

Row = tuple[str, str, str]
"""Sort key in an index, and the item's own key."""

_HIGHEST = "\U0010ffff"


class ConditionalCheckFailedException(ClientError):
    pass


class TransactionCanceledException(ClientError):
    pass


class _Exceptions:
    ConditionalCheckFailedException = ConditionalCheckFailedException
    TransactionCanceledException = TransactionCanceledException
    ClientError = ClientError


@dataclass
class Meter:
    """What was asked and what it costs: requests, read units, write units."""

    calls: int = 0
    read_units: float = 0.0
    write_units: float = 0.0

    def since(self, before: Meter) -> Meter:
        return Meter(
            self.calls - before.calls,
            self.read_units - before.read_units,
            self.write_units - before.write_units,
        )


@dataclass
class _Table:
    """Items by key, and for the table and each index the sorted rows of each partition."""

    indexes: tuple[str, ...]
    items: dict[tuple[str, str], Attributes] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict)

    def put(self, item: Attributes) -> None:
        key = _key(item)
        self.remove(key)
        self.items[key] = item
        self.sizes[key] = _size(item)
        for index, partition, row in self._entries(item):
            insort(self.rows.setdefault(index, {}).setdefault(partition, []), row)

    def remove(self, key: tuple[str, str]) -> None:
        old = self.items.pop(key, None)
        self.sizes.pop(key, None)
        for index, partition, row in self._entries(old) if old else ():
            rows = self.rows[index][partition]
            del rows[bisect_left(rows, row)]

    def _entries(self, item: Attributes) -> Iterable[tuple[str, str, Row]]:
        pk, sk = _key(item)
        yield "", pk, (sk, pk, sk)
        for index in self.indexes:
            partition, sort = item.get(tables.index_key(index)), item.get(tables.SORT_KEY)
            if partition and sort:
                yield f"by-{index}", partition["S"], (sort["S"], pk, sk)


class MemoryDynamoDB:
    """The part of boto3's DynamoDB client that the stores use."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.meter = Meter()
        self._tables: dict[str, _Table] = {}
        self._lock = threading.RLock()

    def add_table(self, name: str, kind: str) -> None:
        """
        Args:
            kind: the template's name of the table, which says what indexes it has.
        """
        self._tables[name] = _Table(tables.INDEXES[kind])

    def items_of(self, name: str) -> list[Attributes]:
        with self._lock:
            return list(self._tables[name].items.values())

    def snapshot(self) -> Meter:
        with self._lock:
            return Meter(self.meter.calls, self.meter.read_units, self.meter.write_units)

    def get_item(self, **arguments: Any) -> Attributes:
        with self._lock:
            self.meter.calls += 1
            table, key = self._tables[arguments["TableName"]], _key(arguments["Key"])
            item = table.items.get(key)
            self._read(table, [key], arguments)
            return {"Item": item} if item else {}

    def batch_get_item(self, **arguments: Any) -> Attributes:
        with self._lock:
            self.meter.calls += 1
            answer: dict[str, list[Attributes]] = {}
            for name, wanted in arguments["RequestItems"].items():
                table, keys = self._tables[name], [_key(key) for key in wanted["Keys"]]
                answer[name] = [table.items[key] for key in keys if key in table.items]
                for key in keys:
                    self._read(table, [key], wanted)
            return {"Responses": answer, "UnprocessedKeys": {}}

    def put_item(self, **arguments: Any) -> Attributes:
        return self._single("Put", arguments)

    def update_item(self, **arguments: Any) -> Attributes:
        return self._single("Update", arguments)

    def delete_item(self, **arguments: Any) -> Attributes:
        return self._single("Delete", arguments)

    def batch_write_item(self, **arguments: Any) -> Attributes:
        with self._lock:
            self.meter.calls += 1
            for name, requests in arguments["RequestItems"].items():
                for request in requests:
                    ((kind, content),) = request.items()
                    self._apply(kind.removesuffix("Request"), {"TableName": name, **content}, 1)
            return {"UnprocessedItems": {}}

    def transact_write_items(self, **arguments: Any) -> Attributes:
        """All or nothing. A `ClientRequestToken` is not remembered."""
        with self._lock:
            self.meter.calls += 1
            operations = [next(iter(item.items())) for item in arguments["TransactItems"]]
            targets = {(each["TableName"], _key(_target(each))) for _, each in operations}
            if len(targets) < len(operations):
                said = "Transaction request cannot include multiple operations on one item"
                raise _error(ClientError, "ValidationException", said)
            if len(operations) > MAX_TRANSACTION_ITEMS:
                raise _error(ClientError, "ValidationException", "Member must have length less than or equal to 100")
            reasons = [{"Code": "None" if self._holds(each) else "ConditionalCheckFailed"} for _, each in operations]
            if any(reason["Code"] != "None" for reason in reasons):
                self.meter.write_units += sum(2 * _write_units(_size(_target(each))) for _, each in operations)
                code = "TransactionCanceledException"
                raise _error(TransactionCanceledException, code, "cancelled", CancellationReasons=reasons)
            for kind, each in operations:
                self._apply(kind, each, 2)
            return {}

    def query(self, **arguments: Any) -> Attributes:
        """`#k = :k`, alone or with `begins_with` or `BETWEEN`, as `Table.query` asks: by the names of its placeholders."""
        with self._lock:
            self.meter.calls += 1
            table, index = self._tables[arguments["TableName"]], arguments.get("IndexName", "")
            forward, limit = arguments.get("ScanIndexForward", True), arguments["Limit"]
            values, after = arguments["ExpressionAttributeValues"], arguments.get("ExclusiveStartKey")
            rows = table.rows.get(index, {}).get(values[":k"]["S"], [])
            prefix = values.get(":b", {"S": ""})["S"]
            least, most = values.get(":least", {"S": prefix})["S"], values.get(":most", {"S": prefix + _HIGHEST})["S"]
            start, end = bisect_left(rows, (least, "", "")), bisect_right(rows, (most, _HIGHEST, _HIGHEST))
            if after:
                row = ((after[tables.SORT_KEY] if index else after["sk"])["S"], *_key(after))
                start, end = (bisect_right(rows, row), end) if forward else (start, bisect_left(rows, row))
            chosen = rows[start : min(end, start + limit)] if forward else rows[max(start, end - limit) : end][::-1]
            items = [table.items[row[1:]] for row in chosen]
            self._read(table, [row[1:] for row in chosen], arguments)
            answer: Attributes = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
            if len(items) == limit:
                of_index = [arguments["ExpressionAttributeNames"]["#k"], tables.SORT_KEY] if index else []
                answer["LastEvaluatedKey"] = {name: items[-1][name] for name in ("pk", "sk", *of_index)}
            return answer

    def _read(self, table: _Table, keys: Sequence[tuple[str, str]], arguments: Attributes) -> None:
        size = sum(table.sizes.get(key, 0) for key in keys)
        self.meter.read_units += _read_units(size, consistent=arguments.get("ConsistentRead", False))

    def _single(self, kind: str, arguments: Attributes) -> Attributes:
        with self._lock:
            self.meter.calls += 1
            if not self._holds(arguments):
                self.meter.write_units += 1
                raise _error(
                    ConditionalCheckFailedException, "ConditionalCheckFailedException", "The conditional request failed"
                )
            self._apply(kind, arguments, 1)
            return {}

    def _holds(self, arguments: Attributes) -> bool:
        expression = arguments.get("ConditionExpression")
        if not expression:
            return True
        item = self._tables[arguments["TableName"]].items.get(_key(_target(arguments)), {})
        names, values = arguments.get("ExpressionAttributeNames", {}), arguments.get("ExpressionAttributeValues", {})
        return Condition(expression, names, values).holds(item)

    def _apply(self, kind: str, arguments: Attributes, factor: int) -> None:
        table = self._tables[arguments["TableName"]]
        key = _key(_target(arguments))
        before, size = table.items.get(key), table.sizes.get(key, 0)
        after: Attributes | None
        if kind == "Put":
            after = arguments["Item"]
        elif kind == "Delete":
            after = None
        elif kind == "Update":
            names, values = (
                arguments.get("ExpressionAttributeNames", {}),
                arguments.get("ExpressionAttributeValues", {}),
            )
            after = updated(before or dict(arguments["Key"]), arguments["UpdateExpression"], names, values)
        else:
            raise ValueError(kind)
        if after is None:
            table.remove(key)
        else:
            table.put(after)
            size = max(size, table.sizes[key])
        self.meter.write_units += factor * _write_units(size)
        for index in table.indexes:
            name = tables.index_key(index)
            old, new = before if before and name in before else None, after if after and name in after else None
            moved = old and new and (old[name], old[tables.SORT_KEY]) != (new[name], new[tables.SORT_KEY])
            self.meter.write_units += (2 if moved else 1 if old or new else 0) * _write_units(size)


def _target(arguments: Attributes) -> Attributes:
    found: Attributes = arguments.get("Key") or arguments["Item"]
    return found


def _key(item: Attributes) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _error(kind: Callable[..., ClientError], code: str, message: str, **more: Any) -> ClientError:
    return kind({"Error": {"Code": code, "Message": message}, **more}, "DynamoDB")


def _read_units(size: int, *, consistent: bool) -> float:
    """One for 4 KB, rounded up, half of it where an older state is good enough. Nothing found costs as much as 4 KB."""
    return max(1, math.ceil(size / 4096)) * (1.0 if consistent else 0.5)


def _write_units(size: int) -> int:
    return max(1, math.ceil(size / 1024))


def _size(item: Attributes) -> int:
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(attribute: Attributes) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return len(value) // 2 + 1
        case "M":
            return 3 + sum(len(name) + _value_size(each) for name, each in value.items())
        case "L":
            return 3 + sum(map(_value_size, value))
    return 1
