"""What AWS charges for what the control plane and a job's disk use: list prices, each with its source and date.

Free tiers, volume discounts and savings plans are not deducted: they belong to an account, not to a job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from importlib import resources

HOURS_PER_MONTH = 730
"""AWS's own divisor for prices per month, 365 days of 24 hours by 12: https://docs.aws.amazon.com/pricing-calculator/"""

MICRO = Decimal("0.000001")
"""What every line of a bill is rounded to."""


@dataclass(frozen=True)
class Price:
    """`usd` for every `per` of `unit`."""

    item: str
    usd: Decimal
    per: int
    unit: str
    source: str
    date: str

    def of(self, count: Decimal) -> Decimal:
        """USD for so many, not rounded."""
        return self.usd * count / self.per


def rounded(usd: Decimal) -> Decimal:
    """To a millionth of a dollar, half to even: a line of the control plane's share."""
    return usd.quantize(MICRO, ROUND_HALF_EVEN)


@cache
def service_prices() -> Mapping[str, Price]:
    """The table by item, read when it is first asked for."""
    text = resources.files("chalicelib").joinpath("data/service_prices.json").read_text("utf-8")
    rows = json.loads(text)["prices"]
    return {item: Price(item, Decimal(row.pop("usd")), **row) for item, row in rows.items()}
