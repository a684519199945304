"""Drift: the same answers are rarely taken for others however often one looks, other answers are found."""

from __future__ import annotations

import random

import pytest

from chalicelib.rollouts.drift import Drift, Value, drift
from chalicelib.rollouts.gates import FALSE_ALARM, Reading, judge
from chalicelib.rollouts.rollout import Finding, Gate, GateType

GATE = Gate(GateType.DRIFT, maximum=0.1)


def numbers(dice: random.Random, mean: float, count: int) -> list[Value]:
    return [dice.gauss(mean, 1.0) for _ in range(count)]


def labels(dice: random.Random, weights: tuple[float, ...], count: int) -> list[Value]:
    return list(dice.choices([f"class {number}" for number in range(len(weights))], weights, k=count))


def is_surely_apart(found: Drift) -> bool:
    return found.distance > found.margin


class TestTheSameAnswers:
    @pytest.mark.parametrize("kind", ["numbers", "labels"])
    def test_are_rarely_ever_taken_for_others_however_often_one_looks(self, kind: str) -> None:
        dice = random.Random(7)  # noqa: S311  for a simulation
        alarms = 0
        for _ in range(200):
            old, new = (
                numbers(dice, 0.0, 300) if kind == "numbers" else labels(dice, (0.6, 0.3, 0.1), 300) for _ in range(2)
            )
            alarms += any(
                is_surely_apart(drift(old[: 15 * look], new[: 15 * look], look, FALSE_ALARM)) for look in range(1, 21)
            )
        assert alarms <= 3 * FALSE_ALARM * 200


class TestOtherAnswers:
    def test_of_numbers_are_found_where_they_differ_most(self) -> None:
        dice = random.Random(7)  # noqa: S311  for a simulation
        found = drift(numbers(dice, 0.0, 500), numbers(dice, 2.0, 500), 60, FALSE_ALARM)
        assert found.distance == pytest.approx(0.68, abs=0.06)
        assert isinstance(found.where, float)
        assert found.where == pytest.approx(1.0, abs=0.4)
        assert judge(GATE, Reading(drift=found)).finding is Finding.BREACHED

    def test_of_labels_are_found_with_the_label(self) -> None:
        dice = random.Random(7)  # noqa: S311  for a simulation
        found = drift(labels(dice, (0.9, 0.1), 500), labels(dice, (0.1, 0.9), 500), 60, FALSE_ALARM)
        assert found.where == "class 0"
        assert found.distance == pytest.approx(0.8, abs=0.06)
        assert judge(GATE, Reading(drift=found)).finding is Finding.BREACHED

    def test_that_became_labels_are_not_those_numbers(self) -> None:
        found = drift([1.0] * 200, ["one"] * 200, 1, FALSE_ALARM)
        assert found.distance == 1.0
        assert judge(GATE, Reading(drift=found)).finding is Finding.BREACHED

    def test_are_not_hidden_by_a_single_label_among_the_numbers(self) -> None:
        dice = random.Random(7)  # noqa: S311  for a simulation
        new = ["n/a", *numbers(dice, 50.0, 499)]
        found = drift(numbers(dice, 0.0, 500), new, 60, FALSE_ALARM)
        assert judge(GATE, Reading(drift=found)).finding is Finding.BREACHED

    def test_that_may_be_so_by_chance_pass_with_their_numbers(self) -> None:
        found = judge(GATE, Reading(drift=Drift(500, 500, 4.25, 0.4, 0.52, 0.15)))
        assert (found.gate, found.finding) == ("drift <= 0.1", Finding.PASSED)
        assert found.reason == (
            "52.0% of the new version's answers are at most 4.25, 40.0% of the old one's: a distance of 0.120 ± 0.150; "
            "up to 0.1 is allowed."
        )


@pytest.mark.parametrize(("old", "new"), [(0, 0), (500, 99), (99, 500), (0, 500)])
def test_too_few_answers_are_nothing_to_judge_by(old: int, new: int) -> None:
    found = judge(GATE, Reading(drift=drift([1.0] * old, [2.0] * new, 1, FALSE_ALARM)))
    assert found.finding is Finding.WAITING
    assert f"{new} answers of the new version and {old} of the old one were captured" in found.reason
