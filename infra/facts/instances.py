"""Puts the prices of the AWS Price List API into `chalicelib/data/instance_types.json`.

`python -m infra.facts.instances`, with credentials that allow `pricing:GetProducts`.

Which types there are, and their sizes, stays as it was written down: that is a choice. A type that AWS no longer lists
keeps its last price and is reported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

TABLE = Path(__file__).parents[2] / "chalicelib" / "data" / "instance_types.json"
SOURCE = "AWS Price List API, {service}, on demand, {region}"
# The API exists in few regions and knows the prices of all.
API_REGION = "us-east-1"

SERVICES = {"sagemaker": "AmazonSageMaker", "batch": "AmazonEC2", "serving": "AmazonSageMaker"}
# What makes one product of the many that each type has:
# https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "sagemaker": {"platoinstancetype": "Training"},
    "batch": {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"},
    "serving": {"platoinstancetype": "Hosting"},
}


class Pricing(Protocol):
    """The part of boto3's `pricing` client that is used."""

    def get_products(self, **arguments: Any) -> Mapping[str, Any]: ...


def refresh(table: Mapping[str, Any], pricing: Pricing, today: date) -> tuple[dict[str, Any], list[str]]:
    """The table with today's prices, and the types that AWS does not list any more."""
    fresh: dict[str, Any] = {"currency": table["currency"], "region": table["region"]}
    unlisted = []
    for use, service in SERVICES.items():
        rows = []
        for row in table[use]["types"]:
            price = _price(pricing, use, row["type"], table["region"])
            if price is None:
                unlisted.append(f"{use}: {row['type']}")
            rows.append({**row, "usd_per_hour": row["usd_per_hour"] if price is None else format(price, "f")})
        source = SOURCE.format(service=service, region=table["region"])
        fresh[use] = {"source": source, "date": today.isoformat(), "types": rows}
    return fresh, unlisted


def _price(pricing: Pricing, use: str, name: str, region: str) -> Decimal | None:
    """USD per hour; the one price that is above zero among the products that match."""
    wanted = {"instanceName" if use != "batch" else "instanceType": name, "regionCode": region, **ATTRIBUTES[use]}
    answer = pricing.get_products(
        ServiceCode=SERVICES[use],
        Filters=[{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()],
    )
    prices = {price for product in answer["PriceList"] for price in _hourly(json.loads(product)) if price > 0}
    if len(prices) > 1:
        raise ValueError(f"{use} {name} has several prices in {region}: {sorted(prices)}")
    return prices.pop() if prices else None


def _hourly(product: Mapping[str, Any]) -> Iterable[Decimal]:
    for offer in product["terms"].get("OnDemand", {}).values():
        for dimension in offer["priceDimensions"].values():
            if dimension["unit"] in {"Hrs", "Hours"}:
                yield Decimal(dimension["pricePerUnit"]["USD"]).normalize()


def render(table: Mapping[str, Any]) -> str:
    """JSON with one line for each type, so that a change of a price is a readable difference."""
    sections = []
    for use in SERVICES:
        section = table[use]
        rows = ",\n".join(f"      {json.dumps(row)}" for row in section["types"])
        head = "".join(f'    "{name}": {json.dumps(section[name])},\n' for name in ("source", "date"))
        sections.append(f'  "{use}": {{\n{head}    "types": [\n{rows}\n    ]\n  }}')
    head = "".join(f'  "{name}": {json.dumps(table[name])},\n' for name in ("currency", "region"))
    return "{\n" + head + ",\n".join(sections) + "\n}\n"


def main() -> int:
    import boto3

    pricing: Any = boto3.client("pricing", region_name=API_REGION)
    today = date.today()  # noqa: DTZ011  the day on which a person runs this
    table, unlisted = refresh(json.loads(TABLE.read_text("utf-8")), pricing, today)
    TABLE.write_text(render(table), "utf-8")
    for name in unlisted:
        print(f"no longer listed, kept at its last price: {name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
