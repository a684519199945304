"""The table of faults that a run of the tests ends with."""

from __future__ import annotations

import pytest

from tests.faults import ROWS, table, told


class TestTable:
    def test_puts_each_figure_beside_its_target_in_order_of_rows(self) -> None:
        lines = table([told(13, "5 rounds"), ("other", "x"), told(1, "20 rounds"), told(13, "100 points: 0 wrong")])
        assert [line[:2] for line in lines] == [" 1", "13", "  "]
        assert lines[1].split() == ["13", *["a", "burst", "against", "a", "quota", "exact", "5", "rounds"]]
        assert lines[2].strip() == "100 points: 0 wrong"

    def test_is_empty_when_nothing_was_shown(self) -> None:
        assert table([("other", "x")]) == []

    def test_has_no_place_for_an_unknown_row(self) -> None:
        with pytest.raises(ValueError, match="no row 30"):
            told(30, "x")

    def test_numbers_its_rows_in_order(self) -> None:
        assert [row.number for row in ROWS] == list(range(1, len(ROWS) + 1))
