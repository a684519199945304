"""How values meet DynamoDB: items in, items out, pages, and the one way to write conditionally.

Stores build on this and are the only place with expressions of their own. Numbers are written as they are and come back
as int or Decimal; opaque structures (a training configuration, a manifest) are written as JSON text, exact to the letter.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chalicelib.cursor import Cursor, not_ours, pages
from chalicelib.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
U = TypeVar("U")

Item = dict[str, Any]
"""An item as Python values: str, int, Decimal, bool, bytes, list, dict, and a frozenset of str."""

# DynamoDB's own limits: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MAX_TRANSACTION_ITEMS = 100
MAX_BATCH_ITEMS = 25
MAX_BATCH_KEYS = 100
MAX_ITEM_BYTES = 400 * 1024

# Seconds before each repetition of a batch that was not written whole; 3.1 s in all.
_BATCH_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)

# The longest pause before each repetition of a transaction that met another one on the same item. Each pause is drawn from
# zero to this; 7.5 s in all on average. "Full jitter" of
# https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
_CONFLICT_PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 2.5, 2.5, 2.5, 2.5)


class ConditionFailed(Exception):
    """A conditional write found the item in another state. `reasons` has one entry per item of a transaction."""

    def __init__(self, reasons: Sequence[str] = ()) -> None:
        super().__init__(f"condition failed: {list(reasons)}")
        self.reasons = tuple(reasons)

    def failed(self, position: int) -> bool:
        """Whether the condition of the item at this position of the transaction is (one of) the cause(s)."""
        return position < len(self.reasons) and self.reasons[position] == "ConditionalCheckFailed"


@dataclass(frozen=True)
class Write:
    """One item of a transaction, or a write by itself: build with `put`, `change` or `check`."""

    operation: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Page:
    """Some items in order, and where to go on; `cursor` is None at the end."""

    items: tuple[Item, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class Lookup(Generic[T]):
    """Items that are wanted by their keys, and what they say; several lookups, also of several tables, are one call."""

    table: Table
    keys: Sequence[tuple[str, str]]
    read: Callable[[Sequence[Item | None]], T]

    def now(self) -> T:
        """What they say, in one call of its own."""
        return self.read(self.table.get_many(self.keys))


@dataclass(frozen=True)
class Table:
    """One table with keys `pk` and `sk`."""

    client: DynamoDBClient
    name: str
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False, compare=False)

    def get(self, pk: str, sk: str) -> Item | None:
        """The item as last written (strongly consistent), or None."""
        answer = self.client.get_item(TableName=self.name, Key=encode({"pk": pk, "sk": sk}), ConsistentRead=True)
        found = answer.get("Item")
        return decode(found) if found else None

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of up to 100 keys, in the order of the keys, strongly consistent; None for what is not there.

        Raises:
            Unavailable: the table stayed too busy to read all.
        """
        found = _get_all([Lookup(self, keys, list)]) if keys else {}
        return [found.get((self.name, *key)) for key in keys]

    def put(
        self,
        item: Item,
        *,
        condition: str | None = None,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Write:
        """Replace the whole item; the condition works as in `change`."""
        return Write("Put", self._arguments({"Item": encode(item)}, condition, values, names or {}))

    def put_if_absent(self, item: Item) -> Write:
        return self.put(item, condition="attribute_not_exists(pk)")

    def change(
        self,
        pk: str,
        sk: str,
        assign: Mapping[str, Any],
        *,
        add: Mapping[str, int | Decimal] | None = None,
        remove: Sequence[str] = (),
        condition: str | None = None,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Write:
        """Change single attributes.

        Args:
            assign: attribute → new value.
            add: attribute → amount added to the number that is there (absent counts as 0).
            condition: an expression over `#name` and `:value` placeholders given in `names` and `values`.
        """
        names_used = dict(names or {})
        values_used = dict(values or {})
        sets, adds, removes = [], [], []
        for index, (attribute, value) in enumerate(assign.items()):
            names_used[f"#s{index}"], values_used[f":s{index}"] = attribute, value
            sets.append(f"#s{index} = :s{index}")
        for index, (attribute, amount) in enumerate((add or {}).items()):
            names_used[f"#a{index}"], values_used[f":a{index}"] = attribute, amount
            adds.append(f"#a{index} :a{index}")
        for index, attribute in enumerate(remove):
            names_used[f"#r{index}"] = attribute
            removes.append(f"#r{index}")
        clauses = [
            f"{verb} {', '.join(parts)}" for verb, parts in (("SET", sets), ("ADD", adds), ("REMOVE", removes)) if parts
        ]
        arguments: dict[str, Any] = {"Key": encode({"pk": pk, "sk": sk}), "UpdateExpression": " ".join(clauses)}
        return Write("Update", self._arguments(arguments, condition, values_used, names_used))

    def delete(
        self,
        pk: str,
        sk: str,
        *,
        condition: str | None = None,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Write:
        """Delete an item; the condition works as in `change`."""
        return Write("Delete", self._arguments({"Key": encode({"pk": pk, "sk": sk})}, condition, values, names or {}))

    def check(
        self,
        pk: str,
        sk: str,
        *,
        condition: str,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Write:
        """Of a transaction: the others happen only if this item is in that state; the condition works as in `change`."""
        arguments = {"Key": encode({"pk": pk, "sk": sk})}
        return Write("ConditionCheck", self._arguments(arguments, condition, values, names or {}))

    def write(self, write: Write) -> None:
        """Carry out a single write; one that meets a transaction on its item is tried again after a random pause.

        Raises:
            ConditionFailed: the item is in another state than the condition asks for.
            Unavailable: it met other transactions each time.
        """
        calls: dict[str, Callable[..., Any]] = {
            "Put": self.client.put_item,
            "Update": self.client.update_item,
            "Delete": self.client.delete_item,
        }
        call = calls[write.operation]
        for pause in (*_CONFLICT_PAUSES, None):
            try:
                call(**dict(write.arguments))
            except self.client.exceptions.ConditionalCheckFailedException:
                raise ConditionFailed(["ConditionalCheckFailed"]) from None
            except self.client.exceptions.TransactionConflictException as error:
                if pause is None:
                    raise Unavailable(f"The table {self.name} is too busy. Try again.") from error
                self.sleep(self.uniform(0, pause))
            else:
                return

    def transact(self, *writes: Write, token: str | None = None) -> None:
        """Carry out all writes or none (also across tables).

        Where another transaction is at work on one of the items, DynamoDB refuses and nothing has happened: it is tried
        again after a random pause.

        Args:
            token: the same token makes a repeated call within ten minutes a success that changes nothing.

        Raises:
            ConditionFailed: with the reason for each write, in order.
            Unavailable: it met other transactions each time.
        """
        arguments: dict[str, Any] = {"TransactItems": [{write.operation: dict(write.arguments)} for write in writes]}
        if token:
            arguments["ClientRequestToken"] = token
        for pause in (*_CONFLICT_PAUSES, None):
            try:
                self.client.transact_write_items(**arguments)
            except self.client.exceptions.TransactionCanceledException as error:
                reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
                if "ConditionalCheckFailed" in reasons:
                    raise ConditionFailed(reasons) from None
                if "TransactionConflict" not in reasons:
                    raise
                if pause is None:
                    raise Unavailable(f"The table {self.name} is too busy. Try again.") from error
                self.sleep(self.uniform(0, pause))
            else:
                return

    def put_all(self, items: Sequence[Item]) -> None:
        """Write many items without conditions, 25 a call; of several with one key the last counts.

        What DynamoDB hands back unprocessed, because the table is busy, is sent again after a growing pause.

        Raises:
            Unavailable: some items were still unprocessed after the last pause. Writing all again does no harm.
        """
        distinct = list({(item["pk"], item["sk"]): item for item in items}.values())
        for start in range(0, len(distinct), MAX_BATCH_ITEMS):
            batch = distinct[start : start + MAX_BATCH_ITEMS]
            self._write_batch([{"PutRequest": {"Item": encode(item)}} for item in batch])

    def delete_all(self, keys: Sequence[tuple[str, str]]) -> None:
        """Delete many items, 25 a call; one that is not there is no error.

        Raises:
            Unavailable: some items were still unprocessed after the last pause. Deleting all again does no harm.
        """
        requests = [{"DeleteRequest": {"Key": encode({"pk": pk, "sk": sk})}} for pk, sk in keys]
        for start in range(0, len(requests), MAX_BATCH_ITEMS):
            self._write_batch(requests[start : start + MAX_BATCH_ITEMS])

    def _write_batch(self, requests: Any) -> None:
        for pause in (*_BATCH_PAUSES, None):
            answer = self.client.batch_write_item(RequestItems={self.name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not requests:
                return
            if pause is not None:
                self.sleep(pause)
        raise Unavailable(f"The table {self.name} is too busy to write {len(requests)} items.")

    def query(
        self,
        key: tuple[str, str],
        *,
        index: str | None = None,
        begins_with: tuple[str, str] | None = None,
        between: tuple[str, str, str] | None = None,
        after: Cursor | None = None,
        limit: int,
        offset: int = 0,
        newest_first: bool = False,
        consistent: bool = False,
    ) -> Page:
        """One page of the items under a partition key.

        Reads no more than `offset + limit` items however many there are.

        Args:
            key: name and value of the partition key.
            begins_with: name and prefix of the sort key.
            between: name, least and greatest value of the sort key.
            after: the cursor of the page before.
            consistent: see every write that was acknowledged before; an index cannot.

        Raises:
            InvalidRequest: `after` is not a position in this list.
        """
        names, values = {"#k": key[0]}, {":k": key[1]}
        expression = "#k = :k"
        if begins_with:
            names["#b"], values[":b"] = begins_with
            expression += " AND begins_with(#b, :b)"
        if between:
            names["#r"], values[":least"], values[":most"] = between
            expression += " AND #r BETWEEN :least AND :most"
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": encode(values),
            "ScanIndexForward": not newest_first,
        }
        if index:
            arguments["IndexName"] = index
        if consistent:
            arguments["ConsistentRead"] = True
        if after:
            arguments["ExclusiveStartKey"] = encode(after.key)
        items: list[Item] = []
        wanted = offset + limit
        last: Any = None
        while len(items) < wanted:
            try:
                answer = self.client.query(**arguments, Limit=wanted - len(items))
            except self.client.exceptions.ClientError as error:
                # Everything else in the request is ours, so it is the position that DynamoDB does not accept.
                if after and error.response.get("Error", {}).get("Code") == "ValidationException":
                    raise not_ours() from None
                raise
            items.extend(decode(found) for found in answer["Items"])
            last = answer.get("LastEvaluatedKey")
            if not last:
                break
            arguments["ExclusiveStartKey"] = last
        return Page(tuple(items[offset:]), Cursor(decode(last)) if last else None)

    def all_of(self, pk: str, prefix: str = "", *, consistent: bool = False) -> Iterator[Item]:
        """Every item under a partition key, in order of the sort key."""
        return self._pages(pk, begins_with=("sk", prefix) if prefix else None, consistent=consistent)

    def every(self, pk: str, between: tuple[str, str, str], *, consistent: bool = False) -> Iterator[Item]:
        """Every item under a partition key whose sort key lies in a range, in order."""
        return self._pages(pk, between=between, consistent=consistent)

    def _pages(
        self,
        pk: str,
        *,
        begins_with: tuple[str, str] | None = None,
        between: tuple[str, str, str] | None = None,
        consistent: bool,
    ) -> Iterator[Item]:
        for page in pages(
            lambda after: self.query(
                ("pk", pk), begins_with=begins_with, between=between, after=after, limit=1000, consistent=consistent
            )
        ):
            yield from page.items

    def _arguments(
        self,
        arguments: dict[str, Any],
        condition: str | None,
        values: Mapping[str, Any] | None,
        names: Mapping[str, str],
    ) -> dict[str, Any]:
        arguments["TableName"] = self.name
        if condition:
            arguments["ConditionExpression"] = condition
        if names:
            arguments["ExpressionAttributeNames"] = dict(names)
        if values:
            arguments["ExpressionAttributeValues"] = encode(values)
        return arguments


def look_up(first: Lookup[T], second: Lookup[U]) -> tuple[T, U]:
    """Two lookups in one call, strongly consistent.

    Raises:
        Unavailable: the tables stayed too busy to read all.
    """
    found = _get_all([first, second])
    return (
        first.read([found.get((first.table.name, *key)) for key in first.keys]),
        second.read([found.get((second.table.name, *key)) for key in second.keys]),
    )


def _get_all(lookups: Sequence[Lookup[Any]]) -> dict[tuple[str, str, str], Item]:
    """What is there of all keys, by table and key. What DynamoDB leaves out, being busy, is asked for again."""
    if (count := sum(len(each.keys) for each in lookups)) > MAX_BATCH_KEYS:
        raise ValueError(f"{count} keys are more than DynamoDB reads at once")
    table = lookups[0].table
    wanted: Any = {}
    for each in lookups:
        keys = [encode({"pk": pk, "sk": sk}) for pk, sk in each.keys]
        wanted.setdefault(each.table.name, {"Keys": [], "ConsistentRead": True})["Keys"] += keys
    found: dict[tuple[str, str, str], Item] = {}
    for pause in (*_BATCH_PAUSES, None):
        answer: Any = table.client.batch_get_item(RequestItems=wanted)
        for name, items in answer["Responses"].items():
            found |= {(name, item["pk"], item["sk"]): item for item in map(decode, items)}
        wanted = answer.get("UnprocessedKeys")
        if not wanted:
            return found
        if pause is not None:
            table.sleep(pause)
    raise Unavailable(f"The table {table.name} is too busy to read.")


def encode(values: Mapping[str, Any]) -> dict[str, Any]:
    """Python values as DynamoDB attribute values; attributes that are None are left out."""
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def decode(item: Mapping[str, Any]) -> Item:
    return {name: _value(attribute) for name, attribute in item.items()}


def as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": encode(value)}
        case frozenset():
            return {"SS": sorted(value)}
        case list() | tuple():
            return {"L": [_attribute(element) for element in value]}
    raise TypeError(f"{type(value).__name__} has no place in an item: write it as text, int, Decimal or JSON text")


def _value(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            number = Decimal(value)
            return int(number) if number == number.to_integral_value() else number
        case "M":
            return decode(value)
        case "L":
            return [_value(element) for element in value]
        case "SS":
            return frozenset(value)
        case "B":
            return bytes(value)
        case "NULL":
            return None
        case _:
            return value
