from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from infra.facts.instances import TABLE, refresh, render

TODAY = date(2030, 1, 2)


class PriceApi:
    """Answers like the Price List API: a list of products, each a JSON text."""

    def __init__(self, prices: Mapping[str, list[str]], default: list[str] | None = None) -> None:
        self.prices, self.default = prices, default or []
        self.asked: list[dict[str, str]] = []

    def get_products(self, **arguments: Any) -> Mapping[str, Any]:
        fields = {each["Field"]: each["Value"] for each in arguments["Filters"]}
        self.asked.append({"ServiceCode": arguments["ServiceCode"], **fields})
        name = fields.get("instanceName") or fields["instanceType"]
        return {"PriceList": [self.product(price) for price in self.prices.get(name, self.default)]}

    @staticmethod
    def product(price: str, unit: str = "Hrs") -> str:
        dimension = {"unit": unit, "pricePerUnit": {"USD": price}}
        return json.dumps({"product": {}, "terms": {"OnDemand": {"a.b": {"priceDimensions": {"a.b.c": dimension}}}}})


def committed() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return table


def prices(table: Mapping[str, Any], use: str) -> dict[str, str]:
    return {row["type"]: row["usd_per_hour"] for row in table[use]["types"]}


class TestRefresh:
    def test_takes_todays_price_and_says_where_and_when(self) -> None:
        table, _ = refresh(
            committed(), PriceApi({"ml.m5.large": ["0.1150000000"], "m5.large": ["20.0000000000"]}), TODAY
        )
        assert prices(table, "sagemaker")["ml.m5.large"] == "0.115"
        assert prices(table, "batch")["m5.large"] == "20"
        assert table["batch"]["date"] == "2030-01-02"
        assert "Price List API" in table["batch"]["source"]

    def test_keeps_and_reports_what_is_no_longer_listed(self) -> None:
        before = committed()
        table, unlisted = refresh(before, PriceApi({"p3.2xlarge": []}, default=["1.5"]), TODAY)
        assert unlisted == ["batch: p3.2xlarge"]
        assert prices(table, "batch")["p3.2xlarge"] == prices(before, "batch")["p3.2xlarge"]

    def test_asks_for_training_and_hosting_prices_apart(self) -> None:
        api = PriceApi({}, default=["1"])
        refresh(committed(), api, TODAY)
        asked = {(each["ServiceCode"], each.get("platoinstancetype")) for each in api.asked}
        assert asked == {("AmazonSageMaker", "Training"), ("AmazonSageMaker", "Hosting"), ("AmazonEC2", None)}
        assert {each["regionCode"] for each in api.asked} == {"us-east-1"}

    def test_ignores_products_that_cost_nothing(self) -> None:
        table, _ = refresh(committed(), PriceApi({"m5.large": ["0.0000000000", "0.0960000000"]}), TODAY)
        assert prices(table, "batch")["m5.large"] == "0.096"

    def test_refuses_to_choose_between_two_prices(self) -> None:
        with pytest.raises(ValueError, match="several prices"):
            refresh(committed(), PriceApi({"m5.large": ["1", "2"]}), TODAY)

    def test_changes_no_size(self) -> None:
        table, _ = refresh(committed(), PriceApi({}, default=["9"]), TODAY)
        for use in ("sagemaker", "batch", "serving"):
            sizes = [
                {name: value for name, value in row.items() if name != "usd_per_hour"} for row in table[use]["types"]
            ]
            assert sizes == [
                {name: value for name, value in row.items() if name != "usd_per_hour"}
                for row in committed()[use]["types"]
            ]


class TestRender:
    def test_of_the_committed_table_is_the_committed_file(self) -> None:
        assert render(committed()) == TABLE.read_text("utf-8")
