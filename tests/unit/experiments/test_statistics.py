"""Estimates and tests against an independent library, tea-tasting, and against what they promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tea_tasting as tt
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import dirichlet_multinomial, multinomial, norm

from chalicelib.experiments.metric import Counters, Direction, Metric, MetricType, added, exact
from chalicelib.experiments.statistics import bandit, mismatch
from chalicelib.experiments.statistics.effects import Effect, compare
from chalicelib.experiments.statistics.moments import estimates
from chalicelib.experiments.statistics.sequences import margin

pandas = pytest.importorskip("pandas")
Z = norm.isf(0.025)


@pytest.fixture(scope="module")
def units() -> Any:
    """Units of two variants, with two numbers, a covariate and an event each."""
    rng = np.random.default_rng(7)
    n = 600
    x = rng.gamma(2, 3, n).round(6)
    variant = (np.arange(n) % 3 == 0).astype(int)
    y = (0.8 * x + rng.gamma(2, 3, n) + 0.7 * variant).round(6)
    return pandas.DataFrame(
        {"variant": variant, "y": y, "x": x, "d": rng.integers(1, 6, n), "event": (y > 9).astype(int)}
    )


def effect_of(metric: Metric, units: Any, second: str | None = None, value: str = "y") -> Effect:
    sums: list[Counters] = [{}, {}]
    for unit in units.to_dict("records"):
        one = metric.of_unit(float(unit[value]), float(unit[second]) if second else None)
        sums[unit["variant"]] = added(sums[unit["variant"]], one)
    effect = compare(*estimates(metric, sums))
    assert effect is not None
    return effect


def analysed(metric: Any, units: Any) -> Any:
    return tt.Experiment(found=metric).analyze(units)["found"]


def metric(kind: MetricType, **more: Any) -> Metric:
    return Metric("m", kind, Direction.INCREASE, **more)


class TestEffects:
    def test_of_means_are_those_of_the_library(self, units: Any) -> None:
        effect = effect_of(metric(MetricType.MEAN), units)
        told = analysed(tt.Mean("y", use_t=False, equal_var=False), units)
        assert effect.difference == pytest.approx(told.effect_size, rel=1e-9)
        assert effect.z == pytest.approx(told.statistic, rel=1e-9)
        assert effect.interval(Z) == pytest.approx((told.effect_size_ci_lower, told.effect_size_ci_upper), rel=1e-9)
        assert effect.relative == pytest.approx(told.rel_effect_size, rel=1e-9)
        assert effect.relative_interval(Z) == pytest.approx(
            (told.rel_effect_size_ci_lower, told.rel_effect_size_ci_upper), abs=0.002
        )

    def test_of_means_with_a_covariate_are_those_of_the_library_and_narrower(self, units: Any) -> None:
        effect = effect_of(metric(MetricType.MEAN, covariate=True), units, "x")
        told = analysed(tt.Mean("y", covariate="x", use_t=False, equal_var=False), units)
        # The library pools the covariance in a slightly different way.
        assert effect.difference == pytest.approx(told.effect_size, rel=1e-3)
        assert effect.z == pytest.approx(told.statistic, rel=2e-3)
        assert effect.standard_error < 0.9 * effect_of(metric(MetricType.MEAN), units).standard_error

    def test_of_ratios_are_those_of_the_library(self, units: Any) -> None:
        effect = effect_of(metric(MetricType.RATIO), units, "d")
        told = analysed(tt.RatioOfMeans("y", "d", use_t=False, equal_var=False), units)
        assert effect.difference == pytest.approx(told.effect_size, rel=1e-9)
        assert effect.z == pytest.approx(told.statistic, rel=1e-6)

    def test_of_proportions_are_those_of_the_library(self, units: Any) -> None:
        effect = effect_of(metric(MetricType.PROPORTION), units, value="event")
        told = analysed(tt.Mean("event", use_t=False, equal_var=False), units)
        assert effect.difference == pytest.approx(told.effect_size, rel=1e-9)
        # It divides by n - 1, where a share's own variance has n.
        assert effect.z == pytest.approx(told.statistic, rel=3e-3)

    def test_of_quantiles_are_those_of_the_share_over_the_threshold(self, units: Any) -> None:
        over = effect_of(metric(MetricType.QUANTILE, quantile=0.95, threshold=9.0), units)
        share = effect_of(metric(MetricType.PROPORTION), units, value="event")
        assert over == share

    @given(st.lists(st.integers(0, 3), min_size=6, max_size=12), st.floats(1.0, 4.0), st.floats(0.0, 1.0))
    def test_are_worse_than_allowed_exactly_where_the_relative_interval_is(
        self, values: list[int], reach: float, allowed: float
    ) -> None:
        half = len(values) // 2
        sums: list[Counters] = [{}, {}]
        for position, value in enumerate(values):
            which = position >= half
            sums[which] = added(sums[which], metric(MetricType.MEAN).of_unit(value + 5, None))
        effect = compare(*estimates(metric(MetricType.MEAN), sums))
        assert effect is not None
        interval, excess = effect.relative_interval(reach), effect.excess(-1, allowed)
        if interval is None or excess is None or math.isclose(excess, reach, rel_tol=1e-6):
            return
        assert (excess > reach) == (interval[0] > allowed)

    def test_of_what_does_not_vary_decide_nothing(self) -> None:
        sums = [{"n": 500, "successes": 0}, {"n": 500, "successes": 0}]
        effect = compare(*estimates(metric(MetricType.PROPORTION), sums))
        assert effect is not None
        assert (effect.z, effect.is_decidable, effect.relative) == (None, False, None)


class TestSums:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.randoms())
    def test_are_the_same_in_any_order(self, values: list[float], rng: Any) -> None:
        def summed(some: list[float]) -> Counters:
            total: Counters = {}
            for value in some:
                total = added(total, metric(MetricType.MEAN).of_unit(value, None))
            return total

        mixed = list(values)
        rng.shuffle(mixed)
        assert summed(values) == summed(mixed)

    def test_lose_nothing_where_floating_point_would(self) -> None:
        """A million units around a million, a hundredth apart: the variance of floats would be off or below zero."""
        n, centre, apart = 1_000_000, exact(999_999.0), exact(0.01)
        low, high = centre - apart, centre + apart
        sums: Counters = {"n": n, "sum": n * centre, "sum_squares": (n // 2) * (low * low + high * high)}
        (found,) = estimates(metric(MetricType.MEAN), [sums])
        assert found is not None
        assert found.unit_variance == pytest.approx(1e-4 * n / (n - 1), rel=1e-12)


class TestMargin:
    def test_is_the_formula_of_the_paper(self) -> None:
        """arXiv 2103.06476, theorem 2.2, with ρ of appendix B.2 for t* = 500."""
        alpha, t = 0.05, 321
        rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 500)
        width = math.sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * math.log(math.sqrt(t * rho**2 + 1) / alpha))
        assert margin(t, 500, alpha) == pytest.approx(width * math.sqrt(t), rel=1e-12)

    def test_holds_at_all_times_at_once(self) -> None:
        """Of 2,000 walks of 1,000 steps no more leave it, ever, than one in twenty."""
        rng = np.random.default_rng(1)
        walks = rng.standard_normal((2000, 1000)).cumsum(axis=1)
        steps = np.arange(1, 1001)
        bounds = np.array([margin(float(t), 300, 0.05) for t in steps])
        left = (np.abs(walks) / np.sqrt(steps) > bounds).any(axis=1).mean()
        assert 0.005 < left <= 0.05


class TestMismatch:
    def test_is_the_bayes_factor_of_a_dirichlet_mixture(self) -> None:
        counts, shares = [5210, 4790], [0.5, 0.5]
        prior = [50.0, 50.0]
        told = multinomial.logpmf(counts, 10_000, shares) - dirichlet_multinomial.logpmf(counts, prior, 10_000)
        assert mismatch.p_value(counts, shares) == pytest.approx(min(1.0, math.exp(told)), rel=1e-6)

    def test_is_found_where_it_is_and_hardly_ever_where_not(self) -> None:
        rng = np.random.default_rng(5)
        found = 0
        for _ in range(300):
            split = rng.binomial(100, 0.5, 100).cumsum()
            p = [mismatch.p_value([int(a), 100 * k - int(a)], [0.5, 0.5]) for k, a in enumerate(split, start=1)]
            found += min(p) < 0.05
        assert found <= 15
        assert mismatch.p_value([5400, 4600], [0.5, 0.5]) < mismatch.LEVEL


class TestBandit:
    def test_weights_are_the_probability_of_being_best(self) -> None:
        (_, better) = bandit.probability_of_best([(0.10, 1e-4), (0.12, 1e-4)])
        assert better == pytest.approx(norm.cdf(0.02 / math.sqrt(2e-4)), abs=1e-6)

    def test_add_up_and_keep_the_floor(self) -> None:
        weights = bandit.weights([(0.1, 1e-6), (0.2, 1e-6), (0.3, 1e-6)], 0.05)
        assert sum(weights) == pytest.approx(1)
        assert weights == pytest.approx((0.05, 0.05, 0.9))
