from __future__ import annotations

import pytest

from chalicelib.retraining.schema import MAX_COLUMNS, MAX_JSON_BYTES, differences, from_json, profile, to_json

ROWS = "age,city\n30,Bonn\n41,Ulm\n"


def said(before: str, now: str) -> list[str]:
    return differences(profile([before]), profile([now]))


class TestDifferences:
    def test_of_the_same_data_are_none(self) -> None:
        assert said(ROWS, ROWS) == []

    def test_of_anything_and_nothing_are_unknown(self) -> None:
        assert said(ROWS, "") == []
        assert said("", ROWS) == []

    def test_name_columns_that_are_gone_and_new(self) -> None:
        assert said(ROWS, "age,town\n30,Bonn\n") == ["These columns are missing: city.", "These columns are new: town."]

    def test_name_five_columns_and_count_the_others(self) -> None:
        names = ",".join(f"c{number}" for number in range(8))
        assert said(f"age,{names}\n", "age\n") == ["These columns are missing: c0, c1, c2, c3, c4 and 3 more."]

    def test_name_a_type_that_changed_either_way(self) -> None:
        assert said("age\n30\n", "age\nold\n") == ["age was numbers, and is text."]
        assert said("age\nold\n", "age\n30\n") == ["age was text, and is numbers."]

    @pytest.mark.parametrize(("value", "is_said"), [("20", False), ("-10", False), ("50", False), ("51", True)])
    def test_let_a_range_grow_by_its_own_width(self, value: str, is_said: bool) -> None:
        assert bool(said("n\n10\n30\n", f"n\n{value}\n")) is is_said

    def test_say_a_range_with_its_numbers(self) -> None:
        assert said("n\n10\n30\n", "n\n3000\n") == ["n was 10 to 30, and is 3000 to 3000."]

    def test_of_very_many_columns_are_counted(self) -> None:
        header = ",".join(f"c{number}" for number in range(30))
        numbers, words = ",".join(["1"] * 30), ",".join(["x"] * 30)
        found = said(f"{header}\n{numbers}\n", f"{header}\n{words}\n")
        assert len(found) == 21
        assert found[-1] == "10 more differences."

    def test_cut_a_long_name(self) -> None:
        assert said(f"{'x' * 500}\n1\n", f"{'x' * 500}\na\n") == [f"{'x' * 80} was numbers, and is text."]


class TestAProfile:
    def test_is_of_all_samples_together(self) -> None:
        seen = profile(["n\n1\n", "n,more\n5,a\n"])
        assert (seen["n"].least, seen["n"].greatest, seen["more"].is_number) == (1, 5, False)

    def test_leaves_empty_values_out(self) -> None:
        seen = profile(["n\n1\n\nNaN\nNA\nnull\n3\n"])
        assert (seen["n"].is_number, seen["n"].least, seen["n"].greatest) == (True, 1, 3)

    def test_leaves_rows_of_another_length_out(self) -> None:
        assert profile(["a,b\n1,2\nbroken\n"])["a"].is_number

    def test_numbers_columns_that_have_no_names(self) -> None:
        assert profile(["1,2\n3,4\n"]).keys() == {"column 1", "column 2"}

    def test_reads_names_behind_a_byte_order_mark_and_within_quotes(self) -> None:
        assert profile(['\ufeff"a, b",c\n1,2\n']).keys() == {"a, b", "c"}

    @pytest.mark.parametrize("text", ["", "\n", "a,a\n1,2\n", "a" * 140_000, f"{',' * MAX_COLUMNS}x\n"])
    def test_of_what_is_no_table_is_nothing(self, text: str) -> None:
        assert profile([text]) == {}

    def test_of_more_columns_or_longer_names_than_are_kept_is_nothing(self) -> None:
        many = [",".join(f"{file}-{number}" for number in range(MAX_COLUMNS - 1)) for file in "ab"]
        assert profile(many) == {}
        assert to_json(profile([",".join(f"{'日' * 100}{number}" for number in range(900))])) is None
        fits = to_json(profile([",".join(f"{'x' * 50}{number}" for number in range(900))]))
        assert fits is not None
        assert len(fits.encode()) <= MAX_JSON_BYTES

    @pytest.mark.parametrize("text", [ROWS, "n\n\n", "n\n1e308\n-1e308\n"])
    def test_comes_back_as_it_was_kept(self, text: str) -> None:
        assert from_json(to_json(profile([text]))) == profile([text])

    def test_that_was_never_kept_is_nothing(self) -> None:
        assert from_json(None) == {}
