"""Named fields never come through, in whatever form they are sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.captures.redaction import REDACTED, redacted

SECRET = "canary-7f3a"
JSON, CSV = "application/json", "text/csv"


def through(document: Any, *names: str) -> Any:
    return json.loads(redacted(json.dumps(document), JSON, names))


class TestJson:
    def test_loses_values_of_these_names_wherever_they_stand(self) -> None:
        document = {"inputs": [{"age": 3, "who": {"email": SECRET, "city": "Bonn"}}], "email": [SECRET]}
        assert through(document, "email") == {
            "inputs": [{"age": 3, "who": {"email": REDACTED, "city": "Bonn"}}],
            "email": REDACTED,
        }

    def test_loses_columns_of_a_table(self) -> None:
        table = {"dataframe_split": {"columns": ["age", "email"], "index": [0], "data": [[3, SECRET], [4, SECRET]]}}
        found = through(table, "email")["dataframe_split"]
        assert found == {"columns": ["age", "email"], "index": [0], "data": [[3, REDACTED], [4, REDACTED]]}

    def test_loses_rows_that_are_no_lists_where_a_column_is_hidden(self) -> None:
        table = {"columns": ["email"], "data": [SECRET]}
        assert through(table, "email") == {"columns": ["email"], "data": [REDACTED]}

    def test_that_cannot_be_read_is_withheld(self) -> None:
        assert redacted(f'{{"email": "{SECRET}"', JSON, ["email"]) == REDACTED

    def test_stays_to_the_letter_when_nothing_is_named(self) -> None:
        assert redacted('{ "a":1 }', JSON, []) == '{ "a":1 }'

    @given(
        st.recursive(
            st.none() | st.integers() | st.just(1.5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["a", "columns", "data", "email"]), inner, max_size=3)
                | st.fixed_dictionaries({"email": st.just(SECRET)})
                | st.fixed_dictionaries(
                    {"columns": st.just(["a", "email"]), "data": st.just([[1, SECRET], [2, SECRET]])}
                )
            ),
            max_leaves=12,
        )
    )
    def test_never_lets_one_through(self, document: Any) -> None:
        assert SECRET not in redacted(json.dumps(document), JSON, ["email"])


class TestCsv:
    def test_loses_columns_of_the_header(self) -> None:
        text = f'age, email\n3,"{SECRET}, Ada"\n4,{SECRET}\n'
        assert redacted(text, CSV, ["email"]) == f"age, email\n3,{REDACTED}\n4,{REDACTED}\n"

    @pytest.mark.parametrize("text", [f"3,{SECRET}\n", f'age,"email\n3,{SECRET}\n', ""])
    def test_whose_columns_nobody_knows_is_withheld(self, text: str) -> None:
        assert redacted(text, CSV, ["email"]) == REDACTED
