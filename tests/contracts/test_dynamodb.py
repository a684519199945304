"""One suite for both DynamoDBs that the stores are tried on: the embedded cloud's, and the one that simulations use."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.dynamodb import MemoryDynamoDB
from chalicelib.table import ConditionFailed, Table, Write
from tests.contracts.dynamodb import EmbeddedDynamoDB

_NUMBERS = count()


def table_of(kind: type[Any]) -> Table:
    client: Any = kind()
    name = f"contract-{next(_NUMBERS)}"
    client.add_table(name, "capacity")
    return Table(client, name)


@pytest.fixture(params=[MemoryDynamoDB, EmbeddedDynamoDB], ids=["memory", "embedded"])
def table(request: pytest.FixtureRequest) -> Table:
    return table_of(request.param)


def fill(table: Table, *sorts: str, pk: str = "p", **more: Any) -> None:
    for sort in sorts:
        table.write(table.put({"pk": pk, "sk": sk(sort), "value": sort, **more}))


def sk(text: str) -> str:
    return f"s#{text}"


def values(table: Table, **options: Any) -> list[str]:
    return [item["value"] for item in table.query(("pk", "p"), limit=options.pop("limit", 10), **options).items]


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "given", "holds"),
        [
            ("attribute_not_exists(pk)", {}, False),
            ("attribute_exists(#a)", {}, True),
            ("#a = :x", {":x": 5}, True),
            ("#a = :x", {":x": "5"}, False),
            ("#a < :x", {":x": 10}, True),
            ("#a >= :x AND #b = :y", {":x": 5, ":y": "b"}, True),
            ("#a > :x OR #b = :y", {":x": 5, ":y": "b"}, True),
            ("NOT #a = :x", {":x": 5}, False),
            ("#a = :x AND (#b = :y OR #b = :z)", {":x": 5, ":y": "x", ":z": "b"}, True),
            ("#b IN (:y, :z)", {":y": "x", ":z": "b"}, True),
            ("#b IN (:y, :z)", {":y": "x", ":z": "y"}, False),
            ("#a BETWEEN :x AND :y", {":x": 1, ":y": 5}, True),
            ("begins_with(#b, :y)", {":y": "b"}, True),
            ("#c = :x", {":x": 5}, False),
            ("#c <> :x", {":x": 5}, True),
            ("attribute_not_exists(#c) OR #c < :x", {":x": 5}, True),
        ],
    )
    def test_decide_about_a_write(self, table: Table, condition: str, given: dict[str, Any], holds: bool) -> None:
        table.write(table.put({"pk": "p", "sk": "s", "a": 5, "b": "b"}))
        names = {f"#{name}": name for name in "abc" if f"#{name}" in condition}
        write = table.change("p", "s", {"done": True}, condition=condition, values=given, names=names)
        try:
            table.write(write)
            assert holds
        except ConditionFailed:
            assert not holds
        item = table.get("p", "s")
        assert item is not None
        assert ("done" in item) == holds

    def test_decide_about_a_deletion(self, table: Table) -> None:
        fill(table, "1")
        with pytest.raises(ConditionFailed):
            table.write(table.delete("p", sk("1"), condition="#v = :v", values={":v": "2"}, names={"#v": "value"}))
        table.write(table.delete("p", sk("1"), condition="#v = :v", values={":v": "1"}, names={"#v": "value"}))
        assert table.get("p", sk("1")) is None


class TestChanges:
    def test_set_add_and_remove_at_once(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "s", "count": 2, "gone": "x"}))
        table.write(table.change("p", "s", {"name": "n"}, add={"count": -5, "new": 1}, remove=["gone"]))
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "count": -3, "new": 1, "name": "n"}

    def test_make_an_item_that_is_not_there(self, table: Table) -> None:
        table.write(table.change("p", "s", {}, add={"count": 1}))
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "count": 1}


class TestTransactions:
    def test_are_whole_or_nothing_and_say_which_condition_failed(self, table: Table) -> None:
        fill(table, "1")
        writes: list[Write] = [
            table.put({"pk": "p", "sk": "new"}),
            table.put_if_absent({"pk": "p", "sk": sk("1")}),
            table.change("p", "other", {}, add={"count": 1}),
        ]
        with pytest.raises(ConditionFailed) as failed:
            table.transact(*writes)
        assert [failed.value.failed(position) for position in range(3)] == [False, True, False]
        assert table.get("p", "new") is None
        table.transact(writes[0], writes[2])
        assert table.get("p", "new") is not None

    def test_name_every_item_once(self, table: Table) -> None:
        with pytest.raises(table.client.exceptions.ClientError, match="multiple operations"):
            table.transact(table.put({"pk": "p", "sk": "s"}), table.delete("p", "s"))


class TestQueries:
    def test_read_a_partition_in_order_from_either_end(self, table: Table) -> None:
        fill(table, "3", "1", "2")
        fill(table, "4", pk="other")
        assert values(table) == ["1", "2", "3"]
        assert values(table, newest_first=True, limit=2) == ["3", "2"]

    def test_read_on_from_a_cursor_to_the_end(self, table: Table) -> None:
        fill(table, *"12345")
        for newest_first in (False, True):
            read: list[str] = []
            cursor = None
            while True:
                page = table.query(("pk", "p"), limit=2, after=cursor, newest_first=newest_first, consistent=True)
                read += [item["value"] for item in page.items]
                cursor = page.cursor
                if cursor is None:
                    break
            assert read == sorted("12345", reverse=newest_first)

    def test_read_what_begins_so_or_lies_between(self, table: Table) -> None:
        fill(table, "1a", "1b", "2a")
        assert values(table, begins_with=("sk", "s#1")) == ["1a", "1b"]
        assert values(table, between=("sk", "s#1b", "s#2a")) == ["1b", "2a"]

    def test_read_an_index_that_has_only_what_has_its_key(self, table: Table) -> None:
        fill(table, "1", "2", age_key="pool", listed_at="b")
        fill(table, "3", age_key="pool", listed_at="a")
        fill(table, "4")
        table.write(table.change("p", sk("1"), {}, remove=["age_key"]))
        page = table.query(("age_key", "pool"), index="by-age", limit=1)
        assert [item["value"] for item in page.items] == ["3"]
        page = table.query(("age_key", "pool"), index="by-age", limit=5, after=page.cursor)
        assert [item["value"] for item in page.items] == ["2"]


class TestBatches:
    def test_write_read_and_delete_many(self, table: Table) -> None:
        table.put_all([{"pk": "p", "sk": str(number), "value": str(number)} for number in range(30)])
        found = table.get_many([("p", "29"), ("p", "missing"), ("p", "0")])
        assert [item and item["value"] for item in found] == ["29", None, "0"]
        table.delete_all([("p", str(number)) for number in range(30)])
        assert values(table) == []


_KEYS = st.tuples(st.sampled_from("pq"), st.sampled_from("abc"))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _KEYS, st.integers(0, 3)),
        st.tuples(st.just("add"), _KEYS, st.integers(-3, 3)),
        st.tuples(st.just("delete"), _KEYS, st.integers(0, 3)),
        st.tuples(st.just("both"), _KEYS, st.integers(0, 3)),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_both_are_the_same_after_whatever_happened(steps: list[tuple[str, tuple[str, str], int]]) -> None:
    pair = [table_of(MemoryDynamoDB), table_of(EmbeddedDynamoDB)]
    for step in steps:
        first, second = (_done(table, *step) for table in pair)
        assert first == second
    states = [[page.items for page in (table.query(("pk", pk), limit=10) for pk in "pq")] for table in pair]
    assert states[0] == states[1]


def _done(table: Table, verb: str, key: tuple[str, str], number: int) -> bool:
    """Whether its condition held."""
    expected: dict[str, Any] = {
        "condition": "attribute_not_exists(#n) OR #n <= :n",
        "values": {":n": number},
        "names": {"#n": "n"},
    }
    pk, sort = key
    try:
        match verb:
            case "put":
                table.write(table.put({"pk": pk, "sk": sort, "n": number}, **expected))
            case "add":
                table.write(table.change(pk, sort, {"seen": True}, add={"n": number}, **expected))
            case "delete":
                table.write(table.delete(pk, sort, **expected))
            case _:
                table.transact(
                    table.put({"pk": "q", "sk": "z", "n": number}), table.change(pk, sort, {}, add={"n": 1}, **expected)
                )
    except ConditionFailed:
        return False
    return True
