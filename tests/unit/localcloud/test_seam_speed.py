"""Copies that are as good as `copy.deepcopy`'s, and expressions that are read once."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.seam.speed import Copy, Tokens, plain_copy

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class TestPlainCopy:
    @given(PLAIN)
    def test_is_equal_to_a_deep_copy(self, value: Any) -> None:
        assert plain_copy(value) == copy.deepcopy(value)

    def test_shares_nothing_that_can_change(self) -> None:
        item = {"tags": {"SS": ["a"]}, "nested": {"M": {"list": {"L": [{"S": "x"}]}}}}
        made = plain_copy(item)
        made["nested"]["M"]["list"]["L"][0]["S"] = "y"
        made["tags"]["SS"].append("b")
        assert item == {"tags": {"SS": ["a"]}, "nested": {"M": {"list": {"L": [{"S": "x"}]}}}}

    @pytest.mark.parametrize("value", [{1, 2}, Decimal("1.5"), ("a", ["b"])])
    def test_leaves_other_types_to_the_library(self, value: Any) -> None:
        made = plain_copy([value])[0]
        assert made == value
        assert type(made) is type(value)

    def test_stands_in_for_the_module(self) -> None:
        assert Copy().copy is copy.copy


class TestTokens:
    def test_are_read_once_and_shared_with_nobody(self) -> None:
        read: list[str] = []

        def tokenize(expression: str) -> list[tuple[str, str]]:
            read.append(expression)
            return [("IDENT", expression)]

        tokens = Tokens(tokenize)
        first = tokens("a")
        first.append(("EOF", ""))
        assert tokens("a") == [("IDENT", "a")]
        assert tokens("b") == [("IDENT", "b")]
        assert read == ["a", "b"]

    def test_of_what_is_no_expression_are_refused_each_time(self) -> None:
        def tokenize(expression: str) -> list[tuple[str, str]]:
            raise ValueError(expression)

        tokens = Tokens(tokenize)
        for _ in range(2):
            with pytest.raises(ValueError, match="!"):
                tokens("!")
