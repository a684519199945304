"""Recent use as one number that needs no rewriting."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.capacity import share

_USES = st.lists(st.tuples(st.floats(1e-4, 100), st.floats(64, 100)), min_size=1, max_size=8)


def _decayed(uses: list[tuple[float, float]], at: float) -> float:
    """The definition: each use counts half after a half-life."""
    return sum(use * 2 ** -(at - then) for use, then in uses)


def _score(uses: list[tuple[float, float]]) -> float:
    score = -math.inf
    for use, then in uses:
        score = share.charged(score, use, then)
    return score


class TestScore:
    @given(_USES)
    def test_is_the_decayed_use_at_any_later_time(self, uses: list[tuple[float, float]]) -> None:
        for later in (100, 123.4):
            assert 2 ** (_score(uses) - later) == pytest.approx(_decayed(uses, later), rel=1e-9)

    @given(_USES, _USES)
    def test_orders_two_owners_as_their_decayed_use_does(
        self, one: list[tuple[float, float]], other: list[tuple[float, float]]
    ) -> None:
        mine, theirs = _decayed(one, 110), _decayed(other, 110)
        if abs(mine - theirs) > 1e-9 * max(mine, theirs):
            assert (_score(one) < _score(other)) == (mine < theirs)

    @given(_USES, st.floats(1e-4, 100), st.floats(64, 100))
    def test_is_as_before_when_a_use_is_taken_back(
        self, uses: list[tuple[float, float]], use: float, then: float
    ) -> None:
        score = _score(uses)
        again = share.refunded(share.charged(score, use, then), use, then)
        assert 2 ** (again - 110) == pytest.approx(2 ** (score - 110), rel=1e-6, abs=1e-9 * use)

    def test_of_one_who_used_nothing_is_below_everybodys(self) -> None:
        assert share.charged(-math.inf, 0, 70) == -math.inf

    def test_of_newcomers_is_ordered_by_when_they_came(self) -> None:
        earlier, later = share.at_least_nothing(-math.inf, 70.0), share.at_least_nothing(-math.inf, 70.1)
        assert earlier < later < share.charged(-math.inf, 0.01, 70.0)
