"""The statistic that ministack's CloudWatch lacks."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.seam.percentile_rank import RankedToo, rank

SAMPLES = [(100.0, 1.0), (200.0, 2.0), (300.0, 1.0)]


@pytest.mark.parametrize(
    ("least", "most", "percent"),
    [(None, 300, 100), (None, 200, 75), (None, 199, 25), (None, 99, 0), (100, 200, 50), (200, None, 25)],
)
def test_is_the_part_of_the_values_between_the_bounds(least: float | None, most: float | None, percent: float) -> None:
    assert rank(SAMPLES, least, most) == percent


def test_leaves_every_other_statistic_to_ministack() -> None:
    asked: list[Any] = []

    def others(*arguments: Any) -> float:
        asked.append(arguments)
        return 7.0

    statistics = RankedToo(others)
    assert statistics({"Sum": 3}, "Sum", []) == 7.0
    assert statistics({}, "p99", []) == 7.0
    assert len(asked) == 2


def test_has_no_value_without_samples() -> None:
    assert RankedToo(lambda *_: 1.0)({}, "PR(:300)", []) is None
