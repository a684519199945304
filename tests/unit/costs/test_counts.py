"""Calls become what AWS charges for, and that becomes money."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from chalicelib.calls import Calls, Sent
from chalicelib.costs.counts import Counts
from chalicelib.costs.prices import Price, rounded, service_prices


class TestPrices:
    def test_all_have_a_source_and_a_date(self) -> None:
        prices = service_prices().values()
        assert prices
        assert all(price.usd > 0 and price.per > 0 and price.source and price.date for price in prices)

    def test_what_was_not_read_from_aws_says_so(self) -> None:
        trusted = [price.item for price in service_prices().values() if price.source.startswith("stored copy of")]
        assert trusted == ["api_requests", "lambda_requests", "state_transitions"]

    def test_are_rounded_half_to_even_at_a_millionth(self) -> None:
        amounts = [Decimal(text) for text in ("0.0000005", "0.0000015", "0.0000025", "1.2345678")]
        assert [str(rounded(amount)) for amount in amounts] == ["0.000000", "0.000002", "0.000002", "1.234568"]

    def test_are_for_a_number_of_units(self) -> None:
        assert Price("x", Decimal("0.20"), 1_000_000, "calls", "s", "d").of(Decimal(500_000)) == Decimal("0.1")


class TestCalls:
    def test_count_what_dynamodb_says_it_took(self) -> None:
        calls = Calls()
        calls.note("dynamodb", "GetItem", {"ConsumedCapacity": {"CapacityUnits": 0.5}}, Sent())
        calls.note("dynamodb", "PutItem", {"ConsumedCapacity": {"CapacityUnits": 3.0}}, Sent())
        tables = [{"CapacityUnits": 4.0}, {"CapacityUnits": 6.0}]
        calls.note("dynamodb", "TransactWriteItems", {"ConsumedCapacity": tables}, Sent())
        assert (calls.read_units, calls.write_units) == (Decimal("0.5"), Decimal(13))

    def test_count_a_refused_write_by_its_size(self) -> None:
        calls = Calls()
        calls.note("dynamodb", "PutItem", {"Error": {"Code": "ConditionalCheckFailedException"}}, Sent(1500))
        cancelled = {"Error": {"Code": "TransactionCanceledException"}}
        calls.note("dynamodb", "TransactWriteItems", cancelled, Sent(1500, items=5))
        calls.note("dynamodb", "PutItem", {"Error": {"Code": "ValidationException"}}, Sent(1500))
        assert calls.write_units == 2 + 10

    def test_count_every_time_that_a_call_was_sent(self) -> None:
        calls = Calls()
        calls.note("s3", "PutObject", {"ResponseMetadata": {"RetryAttempts": 2}}, Sent())
        assert calls.made["s3", "PutObject"] == 3

    def test_begin_anew_when_they_are_taken(self) -> None:
        calls = Calls()
        calls.note("kms", "Sign", {}, Sent())
        assert calls.take().made == {("kms", "Sign"): 1}
        assert calls.take() == Calls()


class TestCounts:
    def test_are_by_the_names_of_the_price_list(self) -> None:
        made = {
            ("s3", "PutObject"): 2,
            ("s3", "ListObjectsV2"): 1,
            ("s3", "HeadObject"): 4,
            ("s3", "DeleteObject"): 9,
            ("kms", "Sign"): 1,
            ("kms", "Decrypt"): 2,
            ("sagemaker", "DescribeTrainingJob"): 5,
            ("stepfunctions", "StartExecution"): 1,
        }
        counts = Counts.of_calls(Calls(Counter(made), Decimal("1.5"), Decimal(7)))
        assert counts.amounts == {
            "dynamodb_read_units": Decimal("1.5"),
            "dynamodb_write_units": 7,
            "s3_writes": 3,
            "s3_reads": 4,
            "kms_signatures": 1,
            "kms_requests": 2,
        }
        assert set(counts.amounts) <= set(service_prices())

    def test_of_an_invocation_are_a_request_and_its_time_by_memory(self) -> None:
        counts = Counts.of_invocation(250, 512)
        assert counts.amounts == {"lambda_requests": 1, "lambda_gb_seconds": Decimal("0.125")}

    def test_add_up(self) -> None:
        both = Counts({"s3_reads": Decimal(1)}) + Counts({"s3_reads": Decimal(2), "s3_writes": Decimal(3)})
        assert both.amounts == {"s3_reads": 3, "s3_writes": 3}

    def test_cost_the_sum_of_their_rounded_lines(self) -> None:
        counts = Counts({"state_transitions": Decimal(9), "dynamodb_write_units": Decimal(100)})
        assert [str(usd) for _, _, usd in counts.priced()] == ["0.000225", "0.000062"]
        assert counts.usd == Decimal("0.000287")
