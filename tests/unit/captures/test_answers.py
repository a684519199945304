"""The last answers that were captured: of the time that was asked for, and of these versions only."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.captures.answers import MOST, CapturedAnswers, first_prediction
from chalicelib.captures.capturing import Capturing, Exchange
from chalicelib.deployments.deployment import DataCapture
from tests.functional.captures.conftest import FakeObjects

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def line(data: str, encoding: str = "JSON") -> dict[str, Any]:
    return {"captureData": {"endpointOutput": {"data": data, "encoding": encoding}}}


class TestTheFirstPrediction:
    @pytest.mark.parametrize(
        ("data", "encoding", "value"),
        [
            ('{"predictions": [4.5, 7]}', "JSON", 4.5),
            ('{"predictions": [3]}', "JSON", 3.0),
            ('{"predictions": ["red", "blue"]}', "JSON", "red"),
            ('{"predictions": [true]}', "JSON", "true"),
            ('{"predictions": [[0.1, 0.7, 0.2]]}', "JSON", "1"),
            ('{"predictions": [[0.25]]}', "JSON", 0.25),
            ("[1.5]", "JSON", 1.5),
            ("2.5\n3.5\n", "CSV", 2.5),
            ("0.2,0.8\n", "CSV", "1"),
            ("red\n", "CSV", "red"),
        ],
    )
    def test_is_a_number_or_a_label(self, data: str, encoding: str, value: object) -> None:
        assert first_prediction(line(data, encoding)) == value

    @pytest.mark.parametrize(
        ("data", "encoding"),
        [
            ("", "JSON"),
            ("{", "JSON"),
            ("[]", "JSON"),
            ("null", "JSON"),
            ('{"predictions": []}', "JSON"),
            ('{"predictions": [{"a": 1}]}', "JSON"),
            ('{"predictions": [NaN]}', "JSON"),
            (f'{{"predictions": [{"9" * 400}]}}', "JSON"),
            ('{"predictions": [["a", "b"]]}', "JSON"),
            ('{"predictions": "[redacted]"}', "JSON"),
            ("[redacted]", "JSON"),
            ("[" * 100_000, "JSON"),
            ("", "CSV"),
            ("\x00\x01", "NONE"),
        ],
    )
    def test_of_anything_else_is_none(self, data: str, encoding: str) -> None:
        assert first_prediction(line(data, encoding)) is None

    def test_of_a_line_of_another_form_is_none(self) -> None:
        assert first_prediction({"captureData": {}}) is None


class Bucket(FakeObjects):
    """Filled by what captures requests itself."""

    def answered(self, at: datetime, value: float, variant: str = "v1") -> None:
        deployment: Any = type("Deployed", (), {"tenant": "acme", "deployment_id": "d", "capture": DataCapture(100.0)})
        answer = json.dumps({"predictions": [value]}).encode()
        exchange = Exchange(b"{}", "application/json", answer, "application/json", variant, "r")
        number = f"{len(self.stored):06d}"
        Capturing(self, lambda: at, lambda: number, lambda _least, _most: 0.0).keep(deployment, exchange)


def newest(bucket: Bucket, *variants: str, seconds: float = 86_400) -> list[float | str]:
    return CapturedAnswers(bucket).newest("acme", "d", variants or ("v1",), NOW - timedelta(seconds=seconds), NOW)


class TestTheNewestAnswers:
    def test_are_the_last_ones_however_many_there_are(self) -> None:
        bucket = Bucket()
        for second in range(MOST + 700):
            bucket.answered(NOW - timedelta(seconds=second / 20), second)
        assert newest(bucket) == [float(second) for second in reversed(range(MOST))]

    def test_reach_into_the_hours_and_days_before_where_few_came(self) -> None:
        bucket = Bucket()
        for hours in (0.001, 0.5, 20, 23.9, 25):
            bucket.answered(NOW - timedelta(hours=hours), hours)
        assert newest(bucket) == [23.9, 20.0, 0.5, 0.001]

    def test_are_not_from_before_the_time_that_was_asked_for(self) -> None:
        bucket = Bucket()
        for seconds in (5, 15, 25):
            bucket.answered(NOW - timedelta(seconds=seconds), seconds)
        assert newest(bucket, seconds=20) == [15.0, 5.0]

    def test_of_several_versions_are_in_the_order_of_time(self) -> None:
        bucket = Bucket()
        for seconds, variant in ((1, "v1"), (2, "v2"), (3, "v1"), (4, "v3")):
            bucket.answered(NOW - timedelta(seconds=seconds), seconds, variant)
        assert newest(bucket, "v1", "v2") == [3.0, 2.0, 1.0]

    def test_of_nobody_are_none(self) -> None:
        assert newest(Bucket()) == []
