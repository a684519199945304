"""Boundaries against published tables, against the multivariate normal distribution, and against themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from chalicelib.experiments.statistics import power
from chalicelib.experiments.statistics.spending import (
    FARTHEST,
    LEAST_STEP,
    analyses,
    crossing,
    next_analysis,
    planned,
    spent,
)


class TestBoundaries:
    @pytest.mark.parametrize(
        ("alpha", "expected"),
        [
            # Two-sided, O'Brien-Fleming type, five equal looks: Lan and DeMets (1983); the program ld98 gives four digits.
            (0.05, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
            # One-sided 0.05, that is two-sided 0.1 with the same spending on each side.
            (0.1, (4.2292, 2.8883, 2.2981, 1.9618, 1.7396)),
        ],
    )
    def test_are_those_of_the_tables(self, alpha: float, expected: tuple[float, ...]) -> None:
        assert [each.bound for each in planned(5, alpha)] == pytest.approx(expected, abs=2e-4)

    def test_spend_what_they_may_at_unequal_fractions(self) -> None:
        """The probability not to have crossed, as the multivariate normal distribution has it."""
        fractions = [0.21, 0.4, 0.43, 0.8, 1.0]
        looks = list(analyses(fractions, 0.05))
        for count in range(1, len(looks) + 1):
            times = np.array(fractions[:count])
            bounds = np.array([each.bound for each in looks[:count]])
            shared = np.minimum.outer(times, times) / np.sqrt(np.outer(times, times))
            inside = multivariate_normal.cdf(
                bounds, cov=shared, lower_limit=-bounds, maxpts=2_000_000, abseps=1e-8, releps=1e-8
            )
            assert 1 - inside == pytest.approx(spent(fractions[count - 1], 0.05), abs=2e-6)

    def test_with_one_look_are_those_of_a_plain_test(self) -> None:
        (only,) = planned(1, 0.05)
        assert only.bound == pytest.approx(norm.isf(0.025), abs=1e-9)

    def test_are_capped_where_chance_does_not_reach(self) -> None:
        assert planned(20, 0.05)[0].bound == FARTHEST

    @given(st.lists(st.floats(0.01, 1.5), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
    @settings(max_examples=25, deadline=None)
    def test_never_spend_more_than_alpha_whenever_the_looks_come(self, steps: list[float], alpha: float) -> None:
        total = sum(steps)
        fractions = [sum(steps[: count + 1]) / total * 1.2 for count in range(len(steps))]
        looks = list(analyses(fractions, alpha))
        reached = min(1.0, looks[-1].information)
        assert 2 * crossing(looks, 0.0) == pytest.approx(spent(reached, alpha), rel=1e-6, abs=1e-12)
        assert 2 * crossing(looks, 0.0) <= alpha * (1 + 1e-6)


class TestLooks:
    def test_that_come_too_soon_are_no_analysis(self) -> None:
        first = next_analysis(None, 0.5, 0.05)
        assert next_analysis(first, 0.5 + LEAST_STEP / 2, 0.05) is None
        assert next_analysis(first, 0.5 + LEAST_STEP, 0.05) is not None

    def test_overrun_with_what_is_left_and_the_true_correlation(self) -> None:
        looks = list(analyses([0.5, 1.4], 0.05))
        correlation = math.sqrt(0.5 / 1.4)
        bounds = np.array([each.bound for each in looks])
        inside = multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf(bounds, lower_limit=-bounds)
        assert 1 - inside == pytest.approx(0.05, abs=1e-6)

    def test_end_when_all_samples_are_in(self) -> None:
        last = list(analyses([0.5, 1.0], 0.05))[-1]
        assert next_analysis(last, 1.5, 0.05) is None

    def test_are_as_many_as_one_likes_each_of_one_size(self) -> None:
        looks = list(analyses([number / 400 for number in range(1, 401)], 0.05))
        assert len(looks) == 400
        assert {len(each.density) for each in looks} == {96}
        assert 2 * crossing(looks, 0.0) == pytest.approx(0.05, rel=1e-5)


class TestPower:
    def test_of_one_look_is_that_of_a_plain_test(self) -> None:
        assert power.sequential_power(3.0, 1, 0.05) == pytest.approx(norm.sf(norm.isf(0.025) - 3.0), abs=1e-9)
        assert power.inflation(1, 0.05, 0.8) == pytest.approx(1.0, abs=1e-6)

    def test_takes_a_little_more_samples_for_more_looks(self) -> None:
        sizes = [power.inflation(looks, 0.05, 0.8) for looks in (1, 2, 5, 10, 20)]
        assert sizes == sorted(sizes)
        assert sizes[-1] < 1.05

    def test_is_what_walks_that_drift_have(self) -> None:
        looks = planned(10, 0.05)
        times = np.array([each.information for each in looks])
        steps = np.random.default_rng(2).standard_normal((200_000, 10)) * math.sqrt(0.1) + 2.8 * 0.1
        z = steps.cumsum(axis=1) / np.sqrt(times)
        crossed = (z >= np.array([each.bound for each in looks])).any(axis=1).mean()
        assert power.sequential_power(2.8, 10, 0.05) == pytest.approx(crossed, abs=0.004)

    def test_is_reached_with_the_samples_that_it_takes(self) -> None:
        needed = power.fixed_samples(0.09, 0.1056, 0.02, 0.05, 0.9) * power.inflation(8, 0.05, 0.9)
        assert power.sequential_power(0.02 / math.sqrt(0.1956 / needed), 8, 0.05) == pytest.approx(0.9, abs=1e-6)

    def test_of_a_fixed_sample_is_the_textbook_number(self) -> None:
        # 10 % against 12 %, two-sided 5 %, power 80 %.
        assert power.fixed_samples(0.09, 0.1056, 0.02, 0.05, 0.8) == pytest.approx(3838.1, abs=0.1)

    def test_of_an_always_valid_interval_takes_more(self) -> None:
        assert power.always_valid_inflation(0.05, 0.8) > 1.7
        drift = math.sqrt(power.always_valid_inflation(0.05, 0.8)) * (norm.isf(0.025) + norm.isf(0.2))
        assert power.always_valid_power(drift, 0.05) == pytest.approx(0.8, abs=1e-9)
