"""The table against moto; what moto cannot do (throttle, hand items back) against a client that is told what to answer."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from chalicelib.cursor import Cursor
from chalicelib.errors import InvalidRequest, Unavailable
from chalicelib.table import MAX_BATCH_ITEMS, ConditionFailed, Table, decode, encode

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module")
def client() -> Iterator[DynamoDBClient]:
    with mock_aws():
        made: DynamoDBClient = boto3.client(
            "dynamodb", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        yield made


@pytest.fixture
def table(client: DynamoDBClient, request: pytest.FixtureRequest) -> Iterator[Table]:
    name = "things"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk", "color")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-color",
                "KeySchema": [
                    {"AttributeName": "color", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    yield Table(client, name)
    client.delete_table(TableName=name)


def fill(table: Table, count: int, pk: str = "p") -> list[str]:
    keys = [f"{number:04}" for number in range(count)]
    table.put_all([{"pk": pk, "sk": key, "color": "red"} for key in keys])
    return keys


class TestGet:
    def test_gives_back_what_was_written(self, table: Table) -> None:
        item = {"pk": "p", "sk": "s", "n": 7, "d": Decimal("0.1"), "b": True, "l": [1, "x"], "m": {"a": b"\0"}}
        table.write(table.put(item))
        assert table.get("p", "s") == item

    def test_gives_nothing_for_what_is_not_there(self, table: Table) -> None:
        assert table.get("p", "s") is None


class TestPutIfAbsent:
    def test_writes_the_first_and_refuses_the_second(self, table: Table) -> None:
        table.write(table.put_if_absent({"pk": "p", "sk": "s", "n": 1}))
        with pytest.raises(ConditionFailed) as raised:
            table.write(table.put_if_absent({"pk": "p", "sk": "s", "n": 2}))
        assert raised.value.failed(0)
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "n": 1}


class TestPut:
    def test_replaces_the_whole_item(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "s", "old": 1}))
        table.write(table.put({"pk": "p", "sk": "s", "new": 1}))
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "new": 1}

    def test_obeys_its_condition(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "s", "version": 1}))
        with pytest.raises(ConditionFailed):
            table.write(table.put({"pk": "p", "sk": "s"}, condition="version = :v", values={":v": 2}))
        table.write(table.put({"pk": "p", "sk": "s", "version": 2}, condition="version = :v", values={":v": 1}))


class TestChange:
    def test_assigns_adds_and_removes_and_leaves_the_rest(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "s", "status": "a", "count": 1, "gone": 1, "kept": 1}))
        table.write(table.change("p", "s", {"status": "b", "name": "n"}, add={"count": 2, "fresh": 5}, remove=["gone"]))
        assert table.get("p", "s") == {
            "pk": "p",
            "sk": "s",
            "status": "b",
            "name": "n",
            "count": 3,
            "fresh": 5,
            "kept": 1,
        }

    def test_takes_names_that_are_words_of_dynamodb(self, table: Table) -> None:
        table.write(table.change("p", "s", {"status": 1, "name": 2, "size": 3}, remove=["values"]))
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "status": 1, "name": 2, "size": 3}

    def test_with_a_condition_that_fails_changes_nothing(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "s", "version": 1}))
        change = table.change(
            "p",
            "s",
            {"version": 9},
            condition="#version = :expected",
            names={"#version": "version"},
            values={":expected": 2},
        )
        with pytest.raises(ConditionFailed):
            table.write(change)
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "version": 1}

    def test_passes_other_errors_on(self, table: Table) -> None:
        with pytest.raises(ClientError):
            table.write(table.change("p", "s", {"n": 1}, condition="this is no expression"))


class TestDelete:
    def test_takes_away_and_does_not_mind_when_there_is_nothing(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "s"}))
        table.write(table.delete("p", "s"))
        table.write(table.delete("p", "s"))
        assert table.get("p", "s") is None


class TestTransact:
    def test_does_all(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "counter", "n": 1}))
        table.transact(table.put_if_absent({"pk": "p", "sk": "new"}), table.change("p", "counter", {}, add={"n": 1}))
        assert table.get("p", "new")
        assert table.get("p", "counter") == {"pk": "p", "sk": "counter", "n": 2}

    def test_or_nothing_and_says_which_condition_failed(self, table: Table) -> None:
        table.write(table.put({"pk": "p", "sk": "there"}))
        with pytest.raises(ConditionFailed) as raised:
            table.transact(
                table.put_if_absent({"pk": "p", "sk": "new"}),
                table.put_if_absent({"pk": "p", "sk": "there"}),
                table.change("p", "counter", {}, add={"n": 1}),
            )
        assert [raised.value.failed(position) for position in range(4)] == [False, True, False, False]
        assert table.get("p", "new") is None
        assert table.get("p", "counter") is None

    def test_that_met_another_writer_is_tried_again(self, client: DynamoDBClient) -> None:
        pauses: list[float] = []
        stub = Stub(client, transact=[["None", "TransactionConflict"]] * 3 + [None])
        table = Table(stub, "things", pauses.append, lambda least, most: most)  # type: ignore[arg-type]
        table.transact(table.delete("p", "s"), table.delete("p", "t"))
        assert len(stub.calls) == 4
        assert pauses == sorted(pauses)

    def test_that_always_meets_another_writer_says_that_the_table_is_busy(self, client: DynamoDBClient) -> None:
        stub = Stub(client, transact=[["TransactionConflict"]] * 100)
        table = Table(stub, "things", lambda _: None)  # type: ignore[arg-type]
        with pytest.raises(Unavailable):
            table.transact(table.delete("p", "s"))
        assert len(stub.calls) < 20

    def test_that_is_refused_for_another_reason_is_not_tried_again(self, client: DynamoDBClient) -> None:
        table = Table(Stub(client, transact=[["ValidationError"]]), "things")  # type: ignore[arg-type]
        with pytest.raises(ClientError, match="TransactionCanceled"):
            table.transact(table.delete("p", "s"))

    def test_carries_its_token(self, client: DynamoDBClient) -> None:
        stub = Stub(client, transact=[None])
        Table(stub, "things").transact(Table(client, "things").delete("p", "s"), token="once")  # type: ignore[arg-type]
        assert stub.calls[0]["ClientRequestToken"] == "once"


class TestQuery:
    def test_goes_through_all_pages_without_loss_or_repeat(self, table: Table) -> None:
        keys = fill(table, 23)
        seen: list[str] = []
        cursor: Cursor | None = None
        for _ in range(10):
            page = table.query(("pk", "p"), after=cursor, limit=5)
            assert len(page.items) <= 5
            seen += [item["sk"] for item in page.items]
            cursor = Cursor.decode(page.cursor.encode()) if page.cursor else None
            if cursor is None:
                break
        assert seen == keys

    def test_skips_an_offset(self, table: Table) -> None:
        keys = fill(table, 10)
        assert [item["sk"] for item in table.query(("pk", "p"), limit=3, offset=4).items] == keys[4:7]

    def test_behind_the_end_is_empty_and_last(self, table: Table) -> None:
        fill(table, 3)
        page = table.query(("pk", "p"), limit=3, offset=10)
        assert (page.items, page.cursor) == ((), None)

    def test_of_nothing_is_empty(self, table: Table) -> None:
        page = table.query(("pk", "nobody"), limit=3)
        assert (page.items, page.cursor) == ((), None)

    def test_can_start_with_the_newest(self, table: Table) -> None:
        keys = fill(table, 5)
        page = table.query(("pk", "p"), limit=2, newest_first=True)
        assert [item["sk"] for item in page.items] == keys[:2:-1]
        again = table.query(("pk", "p"), limit=2, newest_first=True, after=page.cursor)
        assert [item["sk"] for item in again.items] == [keys[2], keys[1]]

    def test_keeps_to_a_prefix(self, table: Table) -> None:
        table.put_all([{"pk": "p", "sk": sk} for sk in ("a#1", "a#2", "ab", "b#1")])
        page = table.query(("pk", "p"), begins_with=("sk", "a#"), limit=10)
        assert [item["sk"] for item in page.items] == ["a#1", "a#2"]

    def test_keeps_to_its_partition(self, table: Table) -> None:
        fill(table, 3, "p")
        fill(table, 3, "q")
        assert {item["pk"] for item in table.query(("pk", "q"), limit=10).items} == {"q"}

    def test_reads_an_index_page_by_page(self, table: Table) -> None:
        fill(table, 4, "p")
        fill(table, 4, "q")
        first = table.query(("color", "red"), index="by-color", limit=5)
        rest = table.query(("color", "red"), index="by-color", limit=5, after=first.cursor)
        found = {(item["pk"], item["sk"]) for item in (*first.items, *rest.items)}
        assert (len(first.items), len(rest.items), len(found)) == (5, 3, 8)

    def test_asks_for_no_more_than_it_gives(self, client: DynamoDBClient) -> None:
        stub = Stub(client, query=[answer(3, more=True), answer(2, more=True)])
        page = Table(stub, "things").query(("pk", "p"), limit=3, offset=2)  # type: ignore[arg-type]
        assert [call["Limit"] for call in stub.calls] == [5, 2]
        assert len(page.items) == 3

    @pytest.mark.parametrize("key", [{"pk": "p"}, {"pk": "p", "sk": 1}, {"pk": "p", "sk": "s", "x": "y"}, {}])
    def test_refuses_a_cursor_that_dynamodb_refuses(self, client: DynamoDBClient, key: dict[str, Any]) -> None:
        stub = Stub(client, query=["ValidationException"])
        with pytest.raises(InvalidRequest) as raised:
            Table(stub, "things").query(("pk", "p"), limit=3, after=Cursor({"a": 1, **key}))  # type: ignore[arg-type]
        assert raised.value.problems[0].field == "cursor"

    @pytest.mark.parametrize(
        ("after", "code"), [(None, "ValidationException"), (Cursor({"pk": "p"}), "ThrottlingException")]
    )
    def test_passes_other_errors_on(self, client: DynamoDBClient, after: Cursor | None, code: str) -> None:
        with pytest.raises(ClientError):
            Table(Stub(client, query=[code]), "things").query(("pk", "p"), limit=3, after=after)  # type: ignore[arg-type]


class TestAllOf:
    def test_goes_on_to_the_end_of_the_partition(self, client: DynamoDBClient) -> None:
        pages = [answer(1000, more=True), answer(1000, more=True), answer(7, more=False)]
        assert len(list(Table(Stub(client, query=pages), "things").all_of("p"))) == 2007  # type: ignore[arg-type]

    def test_keeps_to_a_prefix(self, table: Table) -> None:
        table.put_all([{"pk": "p", "sk": sk} for sk in ("a#1", "b#1", "a#2")])
        assert [item["sk"] for item in table.all_of("p", "a#")] == ["a#1", "a#2"]


class TestPutAll:
    def test_writes_more_than_one_call_takes(self, table: Table) -> None:
        assert [item["sk"] for item in table.all_of("p")] == fill(table, 0)
        keys = fill(table, 2 * MAX_BATCH_ITEMS + 3)
        assert [item["sk"] for item in table.all_of("p")] == keys

    def test_sends_what_came_back_unprocessed_again_after_growing_pauses(self, client: DynamoDBClient) -> None:
        stub, pauses = Stub(client, batch=[20, 7, 0]), list[float]()
        table = Table(stub, "things", pauses.append)  # type: ignore[arg-type]
        fill(table, 25)
        assert [len(call["RequestItems"]["things"]) for call in stub.calls] == [25, 20, 7]
        assert pauses == sorted(pauses)
        assert len(pauses) == 2

    def test_gives_up_on_a_table_that_stays_busy(self, client: DynamoDBClient) -> None:
        stub, pauses = Stub(client, batch=[25] * 100), list[float]()
        with pytest.raises(Unavailable):
            fill(Table(stub, "things", pauses.append), 25)  # type: ignore[arg-type]
        assert sum(pauses) < 10

    def test_keeps_the_last_of_several_with_one_key(self, table: Table) -> None:
        table.put_all([{"pk": "p", "sk": "s", "n": number} for number in range(30)])
        assert table.get("p", "s") == {"pk": "p", "sk": "s", "n": 29}

    def test_of_nothing_calls_nobody(self, client: DynamoDBClient) -> None:
        stub = Stub(client)
        Table(stub, "things").put_all([])  # type: ignore[arg-type]
        assert stub.calls == []


numbers = st.integers(-(10**37), 10**37) | st.decimals(-1000, 1000, places=3).filter(bool)
values = st.recursive(
    st.booleans() | numbers | st.text() | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class TestEncode:
    @given(item=st.dictionaries(st.text(), values, max_size=5))
    def test_comes_back_as_it_went(self, item: dict[str, Any]) -> None:
        assert decode(encode(item)) == item

    def test_tells_true_from_one(self) -> None:
        assert encode({"a": True, "b": 1}) == {"a": {"BOOL": True}, "b": {"N": "1"}}

    def test_leaves_out_what_is_none(self) -> None:
        assert encode({"a": None, "b": {"c": None}}) == {"b": {"M": {}}}

    @pytest.mark.parametrize("value", [1.5, object(), {1, 2}, [None]])
    def test_refuses_what_has_no_place_in_an_item(self, value: Any) -> None:
        with pytest.raises(TypeError):
            encode({"a": value})

    def test_reads_what_others_wrote_as_null(self) -> None:
        assert decode({"a": {"NULL": True}}) == {"a": None}


def answer(count: int, *, more: bool) -> dict[str, Any]:
    items = [encode({"pk": "p", "sk": str(number)}) for number in range(count)]
    return {"Items": items, **({"LastEvaluatedKey": encode({"pk": "p", "sk": "x"})} if more else {})}


class Stub:
    """Answers as it was told, and notes how it was called.

    Args:
        query: answers in order; text is the code of an error.
        batch: for each call, how many of the items to hand back unprocessed.
        transact: for each call, the reasons of a cancellation, or None for success.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        query: list[Any] | None = None,
        batch: list[int] | None = None,
        transact: list[list[str] | None] | None = None,
    ) -> None:
        self.exceptions = client.exceptions
        self._query, self._batch, self._transact = query or [], batch or [], transact or []
        self.calls: list[dict[str, Any]] = []

    def query(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        told = self._query.pop(0)
        if isinstance(told, str):
            raise ClientError({"Error": {"Code": told, "Message": "told so"}}, "Query")
        return told

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> Any:  # noqa: N803  boto3's name
        self.calls.append({"RequestItems": RequestItems})
        back = self._batch.pop(0)
        return {"UnprocessedItems": {name: items[:back] for name, items in RequestItems.items() if back}}

    def transact_write_items(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        reasons = self._transact.pop(0)
        if reasons:
            error: Any = {
                "Error": {"Code": "TransactionCanceledException", "Message": "TransactionCanceled"},
                "CancellationReasons": [{"Code": reason} for reason in reasons],
            }
            raise self.exceptions.TransactionCanceledException(error, "TransactWriteItems")
        return {}
