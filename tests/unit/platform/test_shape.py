from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from chalicelib.errors import FieldProblem, InvalidRequest, TooLarge
from chalicelib.shape import MAX_BODY_BYTES, Shape, read


class Inner(Shape):
    size: int
    ratio: float = 1.0


class Outer(Shape):
    name: str = Field(max_length=5)
    color: Literal["red", "green"] = "red"
    inner: Inner | None = None
    items: list[Inner] = Field(default_factory=list, max_length=2)
    table: dict[str, int] = Field(default_factory=dict)


def problems(body: bytes | str) -> dict[str, FieldProblem]:
    with pytest.raises(InvalidRequest) as raised:
        read(Outer, body.encode() if isinstance(body, str) else body)
    assert all(problem.message and problem.cure for problem in raised.value.problems)
    return {problem.field: problem for problem in raised.value.problems}


class TestRead:
    def test_gives_a_frozen_value(self) -> None:
        value = read(Outer, b'{"name": "a", "inner": {"size": 1}}')
        assert (value.name, value.inner and value.inner.size) == ("a", 1)
        with pytest.raises(ValidationError):
            value.name = "b"

    def test_takes_a_whole_number_for_a_fraction_but_not_the_other_way(self) -> None:
        assert read(Inner, b'{"size": 1, "ratio": 2}').ratio == 2
        with pytest.raises(InvalidRequest):
            read(Inner, b'{"size": 1.0}')

    def test_takes_a_body_of_exactly_the_limit_and_not_a_byte_more(self) -> None:
        body = b'{"name": "a"}'
        assert read(Outer, body + b" " * (MAX_BODY_BYTES - len(body)))
        with pytest.raises(TooLarge) as error:
            read(Outer, body + b" " * (MAX_BODY_BYTES - len(body) + 1))
        assert [(problem.field, "upload" in problem.cure) for problem in error.value.problems] == [("body", True)]

    @given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def test_refuses_bytes_that_mean_nothing(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest):
            read(Outer, body)


class TestHostileJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b'{"name": "a",}',
            b"{'name': 'a'}",
            b'{"name": "a"} x',
            b'{"name": "a"}{"name": "b"}',
            b'/* */ {"name": "a"}',
            b'\xef\xbb\xbf{"name": "a"}',
            '{"name": "a"}'.encode("utf-16"),
            b'{"name": "\xff"}',
            b'{"name": "\xed\xa0\x80"}',
            rb'{"name": "\ud800"}',
            rb'{"name": "\udc00\ud800"}',
            b'{"name": "a\nb"}',
            b'{"name": "\0"}',
            b'{"inner": {"size": ' + b"9" * 5000 + b"}}",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"table": ' + b"[" * 300 + b"]" * 300 + b"}",
        ],
        ids=lambda body: ascii(body)[:24],
    )
    def test_is_not_valid_and_says_where(self, body: bytes) -> None:
        (problem,) = problems(body).values()
        assert "not valid JSON" in problem.message
        assert " at line " in problem.cure

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ('{"name": "a", "name": "b"}', "name"),
            ('{"name": "a", "name": "a"}', "name"),
            ('{"name": "a", "n\\u0061me": "b"}', "name"),
            ('{"name": "a", "inner": {"size": 1, "size": 2}}', "size"),
            ('{"name": "a", "table": {"x": 1, "x": 2}}', "x"),
            ('{"name": "a", "items": [{"size": 1}, {"size": 2, "size": 2}]}', "size"),
        ],
    )
    def test_with_a_field_twice_is_refused_because_readers_would_disagree(self, body: str, field: str) -> None:
        assert problems(body)[field].message == "is given more than once"

    @pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity"])
    def test_with_numbers_that_are_not_finite_is_refused(self, number: str) -> None:
        assert "inner.ratio" in problems(f'{{"name": "a", "inner": {{"size": 1, "ratio": {number}}}}}')

    def test_with_a_huge_whole_number_is_taken_or_refused_but_exact(self) -> None:
        assert read(Inner, b'{"size": ' + b"9" * 4000 + b"}").size == 10**4000 - 1


class TestProblems:
    @pytest.mark.parametrize(
        ("body", "field", "message", "cure"),
        [
            ("{}", "name", "is missing", "Add it."),
            ('{"name": 1}', "name", "is 1", "text"),
            ('{"name": "abcdef"}', "name", "is too long", "at most 5 characters"),
            ('{"name": "a", "color": "blue"}', "color", 'is "blue"', "'red' or 'green'"),
            ('{"name": "a", "inner": 1}', "inner", "is not a JSON object", "object"),
            ('{"name": "a", "inner": {}}', "inner.size", "is missing", "Add it."),
            ('{"name": "a", "inner": {"size": "1"}}', "inner.size", 'is "1"', "without quotes"),
            ('{"name": "a", "inner": {"size": 1, "sice": 1}}', "inner.sice", "is not a field", "size, ratio"),
            ('{"name": "a", "items": [{"size": 1}, {"x": 1}]}', "items.1.x", "is not a field", "size, ratio"),
            ('{"name": "a", "items": [{"size": 1}, {"size": 1}, {"size": 1}]}', "items", "too many", "at most 2"),
            ('{"name": "a", "items": {}}', "items", "is {}", "list"),
            ('{"name": "a", "table": {"x": null}}', "table.x", "is null", "whole number"),
            ("[]", "body", "is not a JSON object", "object"),
            ("", "body", "is not a JSON object", "object"),
        ],
    )
    def test_name_field_fault_and_cure(self, body: str, field: str, message: str, cure: str) -> None:
        problem = problems(body)[field]
        assert message in problem.message
        assert cure in problem.cure

    def test_show_only_the_beginning_of_a_long_value(self) -> None:
        assert len(problems(f'{{"name": ["{"x" * 1000}"]}}')["name"].message) < 100

    def test_are_not_without_number(self) -> None:
        body = "{" + ",".join(f'"k{number}": 1' for number in range(1000)) + "}"
        assert len(problems(body)) == 25
