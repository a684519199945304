"""The range of an estimate follows from three sums."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.costs.estimate import Estimate, Runtimes

LIMIT = 7200


def runtimes(*seconds: int) -> Runtimes:
    return Runtimes(len(seconds), sum(seconds), sum(each**2 for each in seconds))


class TestEstimate:
    def test_without_history_is_the_time_limit_and_says_so(self) -> None:
        estimate = Estimate.of(Runtimes(), LIMIT)
        assert (estimate.low, estimate.expected, estimate.high, estimate.runs) == (0, LIMIT, LIMIT, 0)
        assert estimate.basis.startswith("the time limit")

    def test_of_one_run_allows_for_half_of_it_either_way(self) -> None:
        estimate = Estimate.of(runtimes(1000), LIMIT)
        assert (estimate.low, estimate.expected, estimate.high) == (0, 1000, 2414)
        assert estimate.basis == "1 completed run of this name on this instance type"

    def test_of_many_like_runs_is_narrow(self) -> None:
        estimate = Estimate.of(runtimes(*[1000, 1010, 990, 1005, 995] * 40), LIMIT)
        assert (estimate.low, estimate.expected, estimate.high) == (928, 1000, 1072)

    def test_approaches_two_sample_deviations(self) -> None:
        seconds = [900, 1100] * 5000
        estimate = Estimate.of(runtimes(*seconds), LIMIT)
        assert abs(estimate.high - (1000 + 2 * statistics.stdev(seconds))) <= 1

    @given(st.lists(st.integers(1, 28 * 24 * 3600), min_size=1, max_size=50), st.integers(60, 28 * 24 * 3600))
    def test_is_ordered_and_never_above_the_time_limit(self, seconds: list[int], limit: int) -> None:
        estimate = Estimate.of(runtimes(*seconds), limit)
        assert 0 <= estimate.low <= estimate.expected <= estimate.high <= limit
        assert estimate.runs == len(seconds)

    def test_comes_back_as_it_was_stored(self) -> None:
        estimate = Estimate.of(runtimes(60, 70), LIMIT)
        assert Estimate.from_dict(estimate.to_dict()) == estimate
