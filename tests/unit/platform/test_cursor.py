from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cursor import Cursor, pages
from chalicelib.errors import InvalidRequest


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


class TestCursor:
    @given(key=st.dictionaries(st.text(max_size=9), st.text(max_size=30) | st.integers(-(10**18), 10**18), max_size=5))
    def test_comes_back_as_it_went(self, key: dict[str, Any]) -> None:
        assert Cursor.decode(Cursor(key).encode()) == Cursor(key)

    @given(key=st.dictionaries(st.text(max_size=9), st.text(max_size=30), min_size=1, max_size=5))
    def test_fits_into_an_address_as_it_is(self, key: dict[str, Any]) -> None:
        assert set(Cursor(key).encode()) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    @pytest.mark.parametrize("text", [None, ""])
    def test_that_is_absent_means_from_the_start(self, text: str | None) -> None:
        assert Cursor.decode(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            "x",
            "!!!!",
            "ä",
            "\ud800",
            "a b",
            "e30=e30=",
            encoded(b"{"),
            encoded(b"\xff"),
            encoded([]),
            encoded(None),
            encoded("text"),
            encoded({"a": None}),
            encoded({"a": 1.5}),
            encoded({"a": True}),
            encoded({"a": ["b"]}),
            encoded({"a": {"b": "c"}}),
            encoded(b'{"a":NaN}'),
            encoded(b'{"a":' + b"9" * 3000 + b"e999}"),
            encoded(b"[" * 3000),
            encoded(b'{"a":' * 600 + b"1" + b"}" * 600),
            "A" * 4097,
            "A" * 1_000_000,
        ],
        ids=lambda text: ascii(text)[:20],
    )
    def test_that_is_none_of_ours_is_refused_by_name(self, text: str) -> None:
        with pytest.raises(InvalidRequest) as raised:
            Cursor.decode(text)
        assert raised.value.problems[0].field == "cursor"
        assert "next_cursor" in raised.value.problems[0].cure

    @given(text=st.text(max_size=50))
    def test_of_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            cursor = Cursor.decode(text)
        except InvalidRequest:
            return
        assert cursor is None or all(type(value) in {str, int} for value in cursor.key.values())

    def test_of_another_list_is_refused(self) -> None:
        text = Cursor({"pk": "p", "sk": "s"}).encode()
        assert Cursor.decode(text, names=frozenset({"pk", "sk"}))
        for names in ({"pk"}, {"pk", "sk", "listed_at"}, {"pk", "other"}, set[str]()):
            with pytest.raises(InvalidRequest):
                Cursor.decode(text, names=frozenset(names))

    @pytest.mark.parametrize("key", [{"pk": 1, "sk": "s"}, {"pk": True, "sk": "s"}, {"pk": "p", "sk": 0}])
    def test_with_numbers_for_text_is_refused(self, key: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest):
            Cursor.decode(encoded(key), names=frozenset({"pk", "sk"}))

    def test_is_held_to_the_types_that_are_given(self) -> None:
        assert Cursor.decode(encoded({"a": 1, "s": "x"}), names={"a": int, "s": str})
        with pytest.raises(InvalidRequest):
            Cursor.decode(encoded({"a": "1", "s": "x"}), names={"a": int, "s": str})


@dataclass(frozen=True)
class Page:
    number: int
    cursor: Cursor | None


@dataclass
class Listing:
    """Three pages, and which of them were read."""

    read: list[int] = field(default_factory=list)

    def after(self, cursor: Cursor | None) -> Page:
        number = cursor.key["number"] + 1 if cursor else 0
        self.read.append(number)
        return Page(number, Cursor({"number": number}) if number < 2 else None)


class TestPages:
    def test_are_all_there_are(self) -> None:
        assert [page.number for page in pages(Listing().after)] == [0, 1, 2]

    def test_begin_behind_a_cursor(self) -> None:
        assert [page.number for page in pages(Listing().after, Cursor({"number": 1}))] == [2]

    def test_are_read_no_further_than_they_are_looked_at(self) -> None:
        listing = Listing()
        found = pages(listing.after)
        assert next(found).number == 0
        assert listing.read == [0]
