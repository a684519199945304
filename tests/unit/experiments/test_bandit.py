"""Weights that follow the outcomes, and what is decided while they move."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from chalicelib.experiments.allocation import allocation
from chalicelib.experiments.experiment import Decision, EffectKind, Experiment, Method, Plan
from chalicelib.experiments.look import Counted, State, look
from chalicelib.experiments.metric import Direction, Metric, MetricType
from chalicelib.experiments.statistics.effects import compare
from chalicelib.experiments.statistics.moments import Estimate
from chalicelib.experiments.statistics.sequences import TIGHTEST, margin

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONVERSION = Metric("conversion", MetricType.PROPORTION, Direction.INCREASE)
FIRST = State()
PLAN = Plan(
    primary=CONVERSION,
    guardrails=(),
    alpha=0.05,
    power=0.8,
    minimum_effect=None,
    minimum_effect_kind=EffectKind.RELATIVE,
    looks=20,
    samples=2000,
    method=Method.ALWAYS_VALID,
    floor=0.1,
)


def experiment(*shares: float) -> Experiment:
    return Experiment(
        tenant="acme",
        experiment_id="e",
        user="alice",
        name="checkout",
        hypothesis="",
        variants=tuple("abcdef"[: len(shares)]),
        shares=shares,
        assignment_key="user_id",
        plan=PLAN,
        sample_size={},
        created_at=NOW,
        updated_at=NOW,
    )


def looked(of: Experiment, before: State = FIRST, **counted: tuple[int, int]) -> State:
    """The next look, at units and conversions of each variant, all told."""
    sums = {name: {"conversion": {"n": n, "successes": successes}} for name, (n, successes) in counted.items()}
    return look(of, Counted(sums, {}, before.seen + 1), before)


class TestWeights:
    def test_are_the_plans_until_each_variant_has_a_hundred_units(self) -> None:
        one = experiment(0.75, 0.25)
        assert allocation(one, FIRST) == {"a": 0.75, "b": 0.25}
        assert allocation(one, looked(one, a=(5000, 500), b=(99, 30))) == {"a": 0.75, "b": 0.25}

    def test_follow_the_outcomes_down_to_the_floor(self) -> None:
        one = experiment(0.5, 0.5)
        some = allocation(one, looked(one, a=(300, 30), b=(300, 36)))
        most = allocation(one, looked(one, a=(300, 30), b=(300, 50)))
        assert 0.5 > some["a"] > most["a"] >= 0.1
        assert sum(most.values()) == pytest.approx(1)

    def test_are_nothing_for_what_is_rolled_back_and_shared_among_the_others(self) -> None:
        three = experiment(0.5, 0.25, 0.25)
        state = looked(three, a=(1000, 150), b=(1000, 60), c=(50, 7))
        assert state.arms["b"].verdict.decision is Decision.ROLLBACK
        weights = allocation(three, state)
        assert weights == {"a": pytest.approx(2 / 3, abs=1e-5), "b": 0, "c": pytest.approx(1 / 3, abs=1e-5)}

    def test_are_everything_for_what_is_promoted(self) -> None:
        one = experiment(0.5, 0.5)
        state = looked(one, a=(1500, 150), b=(1500, 300))
        assert allocation(one.decided(state.verdict, NOW), state) == {"a": 0, "b": 1}

    def test_of_fixed_shares_stay(self) -> None:
        fixed = replace(experiment(0.5, 0.5), plan=replace(PLAN, floor=None))
        assert allocation(fixed, looked(fixed, a=(300, 30), b=(300, 40))) == {"a": 0.5, "b": 0.5}


class TestWhatIsDecided:
    def test_without_any_effect_is_wrong_no_more_often_than_was_agreed(self) -> None:
        rng = np.random.default_rng(1)
        wrong = sum(_decides(experiment(0.5, 0.5), rng, {"a": 0.1, "b": 0.1}) for _ in range(150))
        # Of 150 at 5 %: more than 15 come by chance once in three hundred times.
        assert wrong <= 15

    def test_with_one_is_found(self) -> None:
        rng = np.random.default_rng(2)
        assert sum(_decides(experiment(0.5, 0.5), rng, {"a": 0.1, "b": 0.2}) for _ in range(20)) >= 18

    def test_among_three_takes_an_interval_of_each(self) -> None:
        state = looked(experiment(0.4, 0.3, 0.3), a=(900, 90), b=(300, 40), c=(400, 40))
        shown = {each["variant"]: each["boundary"] for each in state.report["metrics"]}
        each = {n: margin(n, PLAN.samples * TIGHTEST, PLAN.alpha / 2 / 2) for n in (900, 300, 400)}
        assert shown == {
            "b": pytest.approx(math.hypot(each[900], each[300]), rel=1e-5),
            "c": pytest.approx(math.hypot(each[900], each[400]), rel=1e-5),
        }

    def test_takes_information_for_time_however_units_are_spread(self) -> None:
        products = []
        for n, other in ((500, 500), (900, 100), (100, 900)):
            effect = compare(Estimate(n, 1.0, 1.0), Estimate(other, 1.0, 9.0))
            assert effect is not None
            products.append(effect.informed_samples * effect.standard_error**2)
        assert products == pytest.approx([10, 10, 10])


def _decides(of: Experiment, rng: np.random.Generator, rates: Mapping[str, float]) -> bool:
    """Whether twenty looks, at 200 units more each, end in a promotion or a rollback."""
    state, units, events = FIRST, dict.fromkeys(rates, 0), dict.fromkeys(rates, 0)
    for _ in range(20):
        weights = allocation(of, state)
        gets = rng.random(200) < weights["b"] / sum(weights.values())
        for name, more in (("b", int(gets.sum())), ("a", 200 - int(gets.sum()))):
            units[name] += more
            events[name] += int(rng.binomial(more, rates[name]))
        state = looked(of, state, **{name: (units[name], events[name]) for name in rates})
        if state.verdict.decision.is_final:
            break
    return state.verdict.decision in {Decision.PROMOTE, Decision.ROLLBACK}
