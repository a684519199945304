"""Copies as good as `copy.deepcopy`'s, expressions that are read once, key conditions that say what ministack says."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import dynamodb

from localcloud.seam.speed import Copy, KeyConditions, Tokens, plain_copy

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


KEYS = st.text(alphabet="ab#~\u00e9\uffff\U0001f600", min_size=1, max_size=3)
CONDITIONS = (
    "#k = :k",
    "#k = :k AND begins_with(#b, :b)",
    "#k = :k AND #r BETWEEN :least AND :most",
    "#k = :k AND #b >= :least",
)


class TestKeyConditions:
    @given(
        st.sampled_from(CONDITIONS),
        st.lists(st.tuples(KEYS, KEYS), max_size=8),
        KEYS,
        st.lists(KEYS, min_size=3, max_size=3),
    )
    def test_say_what_ministack_says(
        self, condition: str, keys: list[tuple[str, str]], pk: str, words: list[str]
    ) -> None:
        least, most = sorted(words[1:])
        names = {"#k": "pk", "#b": "sk", "#r": "sk"}
        values = {":k": {"S": pk}, ":b": {"S": words[0]}, ":least": {"S": least}, ":most": {"S": most}}
        plain = getattr(dynamodb._evaluate_condition, "_evaluate", dynamodb._evaluate_condition)
        fast = KeyConditions(plain)
        for here, there in [(pk, words[0]), *keys]:
            item = {"pk": {"S": here}, "sk": {"S": there}, "more": {"N": "1"}}
            asked = (condition, item, values, names, "KeyConditionExpression")
            assert fast(*asked) == plain(*asked)

    def test_do_not_take_another_query_for_the_last_one(self) -> None:
        fast = KeyConditions(dynamodb._evaluate_condition)
        item, names = {"pk": {"S": "a"}}, {"#k": "pk"}
        for key in ("a", "b", "a"):
            assert fast("#k = :k", item, {":k": {"S": key}}, names, "KeyConditionExpression") is (key == "a")

    def test_leave_other_expressions_alone(self) -> None:
        fast = KeyConditions(dynamodb._evaluate_condition)
        assert fast("attribute_not_exists(pk)", {"pk": {"S": "a"}}, {}, {}) is False
        with pytest.raises(ValueError, match="KeyConditionExpression"):
            fast("#k = = :k", {"pk": {"S": "a"}}, {":k": {"S": "a"}}, {"#k": "pk"}, "KeyConditionExpression")
