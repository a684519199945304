"""Items as lines and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backup.errors import Refused
from backup.wire import from_line, to_line

KEY = {"pk": {"S": "acme#1"}, "sk": {"S": "job"}}


@pytest.mark.parametrize(
    "value",
    [
        {"S": "ü\n\u2028"},
        {"N": "12345678901234567890.000000000001"},
        {"B": bytes(range(256))},
        {"BOOL": False},
        {"NULL": True},
        {"SS": ["a", "b"]},
        {"NS": ["1", "2"]},
        {"BS": [b"a", b"b"]},
        {"L": [{"M": {"x": {"B": b"\x00"}}}]},
    ],
)
def test_every_value_comes_back_as_it_was(value: dict[str, Any]) -> None:
    item = {**KEY, "value": value}
    assert from_line(json.loads(json.dumps(to_line(item)))) == item


@pytest.mark.parametrize(
    ("number", "plain"), [("0.000010", "0.00001"), ("2.0", "2"), ("100", "100"), ("0", "0"), ("1.50E+3", "1.50E+3")]
)
def test_a_number_is_written_without_zeros_that_say_nothing(number: str, plain: str) -> None:
    assert to_line({"value": {"N": number}}) == {"value": {"N": plain}}


@pytest.mark.parametrize(
    "line",
    [
        {},
        [],
        {"pk": {"S": "acme#1"}},
        {**KEY, "sk": {"S": ""}},
        {**KEY, "x": "text"},
        {**KEY, "x": {"B": "%"}},
        {**KEY, "x": {"S": "a", "N": "1"}},
    ],
)
def test_what_is_no_item_is_refused(line: Any) -> None:
    with pytest.raises(Refused):
        from_line(line)
