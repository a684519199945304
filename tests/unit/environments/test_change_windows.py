"""Change windows keep the clock of their place, also when it is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.environments.policy import DAYS, ChangeWindow

OFFICE = ChangeWindow(("monday", "friday"), "09:00", "17:00", "Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-02T07:59:59", False),
        ("2026-03-02T08:00:00", True),
        ("2026-03-02T15:59:59", True),
        ("2026-03-02T16:00:00", False),
        ("2026-03-03T10:00:00", False),
        # Summer time: the same hours of the day are an hour earlier.
        ("2026-03-30T07:00:00", True),
        ("2026-03-30T15:00:00", False),
    ],
)
def test_is_open_by_the_clock_of_its_place(moment: str, is_open: bool) -> None:
    assert OFFICE.is_open(at(moment)) is is_open


def test_may_last_until_midnight() -> None:
    night = ChangeWindow(("sunday",), "22:00", "24:00")
    assert night.is_open(at("2026-03-01T23:59:59"))
    assert not night.is_open(at("2026-03-02T00:00:00"))


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-03-01T12:00:00", "2026-03-02T08:00:00"),
        ("2026-03-02T08:00:00", "2026-03-06T08:00:00"),
        ("2026-03-27T16:00:00", "2026-03-30T07:00:00"),
    ],
)
def test_opens_next(moment: str, opens: str) -> None:
    assert OFFICE.opens_after(at(moment)) == at(opens)


@given(
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True),
    st.integers(0, 23),
    st.sampled_from(ZONES),
    st.integers(0, 366 * 24 * 60),
)
def test_is_open_when_it_has_said_that_it_opens(days: list[str], hour: int, zone: str, minutes: int) -> None:
    now = at("2026-01-01T00:00:30") + timedelta(minutes=minutes)
    window = ChangeWindow(tuple(days), f"{hour:02d}:00", "24:00", zone)
    opens = window.opens_after(now)
    assert now < opens <= now + timedelta(days=8)
    # An hour that the clock leaves out in spring is the next one.
    assert window.is_open(opens) or window.is_open(opens + timedelta(hours=1))
