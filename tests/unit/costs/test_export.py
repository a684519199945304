"""CSV that a spreadsheet shows and does not compute."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.costs.export import cell, to_csv

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    '=HYPERLINK("http://evil.test")',
    "=cmd|' /C calc'!A0",
)


class TestCsv:
    def test_has_a_header_and_a_line_for_each_row(self) -> None:
        assert to_csv(("a", "b"), [{"a": 1, "b": "x"}, {"b": 'say "y", z'}]) == 'a,b\r\n1,x\r\n,"say ""y"", z"\r\n'

    @pytest.mark.parametrize("text", FORMULAS)
    def test_holds_no_formula(self, text: str) -> None:
        (_, (read,)) = list(csv.reader(io.StringIO(to_csv(("name",), [{"name": text}]), newline="")))
        assert read == f"'{text}"

    @given(st.text())
    def test_never_begins_a_cell_with_what_a_spreadsheet_computes(self, text: str) -> None:
        assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
