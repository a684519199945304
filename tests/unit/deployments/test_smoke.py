"""Counting the rows of requests, and judging answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.smoke import SmokeTestFailed, judge, rows_of


class TestRowsOf:
    @pytest.mark.parametrize(
        ("body", "rows"),
        [
            ({"inputs": [[1, 2], [3, 4]]}, 2),
            ({"inputs": {"a": [1, 2, 3], "b": [1, 2, 3]}}, 3),
            ({"inputs": {"a": 1}}, None),
            ({"inputs": {}}, None),
            ({"instances": [{"a": 1}]}, 1),
            ({"dataframe_records": [{"a": 1}, {"a": 2}]}, 2),
            ({"dataframe_split": {"columns": ["a"], "data": [[1], [2], [3]]}}, 3),
            ({"dataframe_split": {"columns": ["a"]}}, None),
            ([[1], [2]], 2),
            ("text", None),
            ({}, None),
        ],
    )
    def test_knows_every_form_of_the_scoring_protocol(self, body: Any, rows: int | None) -> None:
        assert rows_of(body) == rows


class TestJudge:
    @pytest.mark.parametrize("predictions", [[0, 1], [[0.1], [0.9]], {"class": [0, 1], "probability": [0.6, 0.7]}])
    def test_wants_a_prediction_for_each_row(self, predictions: Any) -> None:
        answer = Answer(json.dumps({"predictions": predictions}).encode(), "application/json", "v1")
        assert "2 prediction(s)" in judge({"inputs": [[1], [2]]}, answer, strict=True)

    @pytest.mark.parametrize("predictions", [[], [0], [0, 1, 2], "two"])
    def test_refuses_any_other_number(self, predictions: Any) -> None:
        answer = Answer(json.dumps({"predictions": predictions}).encode(), "application/json", "v1")
        with pytest.raises(SmokeTestFailed):
            judge({"inputs": [[1], [2]]}, answer, strict=True)
