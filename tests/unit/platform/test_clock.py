from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.clock import derived_id, duration, from_text, new_id, to_text, utc_now

moments = st.datetimes(datetime(1970, 1, 1), datetime(9990, 1, 1), timezones=st.timezones())  # noqa: DTZ001  naive by contract


class TestText:
    @given(moment=moments)
    def test_comes_back_to_the_millisecond(self, moment: datetime) -> None:
        assert timedelta(0) <= moment - from_text(to_text(moment)) < timedelta(milliseconds=1)

    @given(one=moments, other=moments)
    def test_sorts_as_time_does(self, one: datetime, other: datetime) -> None:
        earlier, later = sorted([one, other])
        assert to_text(earlier) <= to_text(later)

    def test_is_utc_with_milliseconds_whatever_the_zone(self) -> None:
        moment = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
        assert to_text(moment) == "2026-02-28T23:30:00.000Z"

    def test_of_now_is_in_utc(self) -> None:
        assert utc_now().tzinfo is UTC


class TestIds:
    def test_are_uuids_and_never_the_same(self) -> None:
        ids = {new_id() for _ in range(100)}
        assert len(ids) == 100
        assert all(str(uuid.UUID(each)) == each for each in ids)

    def test_derived_are_the_same_for_the_same_parts(self) -> None:
        assert derived_id("acme", "job", "1") == derived_id("acme", "job", "1")

    @given(one=st.lists(st.sampled_from("ab"), max_size=4), other=st.lists(st.sampled_from("ab"), max_size=4))
    def test_derived_differ_when_the_parts_do_also_where_they_are_cut(self, one: list[str], other: list[str]) -> None:
        # An empty list and a list of one empty part are the same text; ids are made of at least one part.
        assert (derived_id("x", *one) == derived_id("x", *other)) == (one == other)


class TestDuration:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "PT0S"),
            (-5, "PT0S"),
            (0.4, "PT0S"),
            (1, "PT1S"),
            (59.6, "PT1M"),
            (60, "PT1M"),
            (3600, "PT1H"),
            (9000, "PT2H30M"),
            (3661, "PT1H1M1S"),
            (90061, "PT25H1M1S"),
        ],
    )
    def test_is_iso_8601(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text
