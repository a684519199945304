"""Which variant a key gets: by its weight, always the same, and moved only where it has to be."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.assignment import assigned

KEYS = [f"user-{number}" for number in range(100_000)]


class TestAssignment:
    @pytest.mark.parametrize("weights", [{"a": 90.0, "b": 10.0}, {"a": 0.5, "b": 0.3, "c": 0.2}])
    def test_of_a_hundred_thousand_lies_within_three_standard_errors(self, weights: dict[str, float]) -> None:
        counts = Counter(assigned("e-1", key, weights) for key in KEYS)
        whole = sum(weights.values())
        for variant, weight in weights.items():
            share = weight / whole
            error = math.sqrt(share * (1 - share) * len(KEYS))
            assert abs(counts[variant] - share * len(KEYS)) <= 3 * error

    def test_moves_exactly_the_added_share(self) -> None:
        before = [assigned("e-1", key, {"a": 90, "b": 10}) for key in KEYS]
        after = [assigned("e-1", key, {"a": 80, "b": 20}) for key in KEYS]
        moved = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
        assert set(moved) == {("a", "b")}
        assert len(moved) == after.count("b") - before.count("b")

    def test_leaves_the_others_when_a_variant_gets_nobody_any_more(self) -> None:
        weights = {"a": 1.0, "b": 1.0, "c": 1.0}
        for key in KEYS[:2000]:
            before = assigned("e-1", key, weights)
            after = assigned("e-1", key, {**weights, "c": 0.0})
            assert after == before if before != "c" else after in {"a", "b"}

    @given(st.text(max_size=40), st.floats(0.01, 100))
    def test_does_not_depend_on_the_unit_of_the_weights(self, key: str, unit: float) -> None:
        weights = {"a": 0.7, "b": 0.3}
        scaled = {variant: weight * unit for variant, weight in weights.items()}
        assert assigned("e-1", key, weights) == assigned("e-1", key, scaled)

    def test_of_one_experiment_says_nothing_about_another(self) -> None:
        weights = {"a": 1.0, "b": 1.0}
        same = sum(assigned("e-1", key, weights) == assigned("e-2", key, weights) for key in KEYS[:20_000])
        assert abs(same - 10_000) <= 3 * math.sqrt(5_000)
