"""Gates: one error at low traffic stops nothing, a bad version is found soon, and looking often costs nothing."""

from __future__ import annotations

import random

import pytest

from chalicelib.experiments.experiment import Decision, Verdict
from chalicelib.rollouts.gates import FALSE_ALARM, Reading, is_above, judge
from chalicelib.rollouts.rollout import Finding, Gate, GateType

ERRORS = Gate(GateType.ERROR_RATE, maximum=0.05)
LATENCY = Gate(GateType.LATENCY, maximum=300, percentile=99)
ALARM = Gate(GateType.ALARM, name="checkout")
EXPERIMENT = Gate(GateType.EXPERIMENT, name="x", promotes=True)


def first_alarm(seed: int, share: float, bound: float, requests: int) -> int | None:
    """At which request a version is found to be above the bound, looked at after each."""
    dice, hits = random.Random(seed), 0  # noqa: S311  for a simulation
    for trials in range(1, requests + 1):
        hits += dice.random() < share
        if is_above(hits, trials, bound):
            return trials
    return None


class TestAShare:
    def test_that_keeps_its_bound_is_rarely_ever_found_above_it_however_often_one_looks(self) -> None:
        alarms = [first_alarm(seed, 0.05, 0.05, 2_000) for seed in range(300)]
        assert sum(alarm is not None for alarm in alarms) <= 3 * FALSE_ALARM * len(alarms)

    def test_that_does_not_keep_it_is_found_within_some_dozen_requests(self) -> None:
        alarms = [first_alarm(seed, 0.5, 0.05, 200) for seed in range(100)]
        found = sorted(alarm for alarm in alarms if alarm is not None)
        assert len(found) == len(alarms)
        assert found[len(found) // 2] <= 20

    @pytest.mark.parametrize(("hits", "trials"), [(1, 1), (1, 3), (1, 20), (0, 10), (5, 100)])
    def test_of_single_errors_at_low_traffic_is_not(self, hits: int, trials: int) -> None:
        assert not is_above(hits, trials, 0.05)


class TestJudging:
    def test_without_a_request_there_is_nothing_to_judge_by(self) -> None:
        assert [judge(gate, Reading()).finding for gate in (ERRORS, LATENCY)] == [Finding.WAITING, Finding.WAITING]

    def test_says_the_numbers(self) -> None:
        found = judge(ERRORS, Reading(requests=40, errors=20))
        assert found.finding is Finding.BREACHED
        assert found.reason == "20 of 40 requests (50.00%) failed; 0.05 of them may, and that is surely more."

    def test_a_latency_is_the_share_of_slow_requests(self) -> None:
        slow = judge(LATENCY, Reading(requests=200, slow={LATENCY: 20}))
        assert (slow.finding, slow.gate) == (Finding.BREACHED, "p99 latency <= 300 ms")
        assert judge(LATENCY, Reading(requests=200, slow={LATENCY: 2})).finding is Finding.PASSED

    @pytest.mark.parametrize(
        ("state", "finding"),
        [
            ("ALARM", Finding.BREACHED),
            ("OK", Finding.PASSED),
            ("INSUFFICIENT_DATA", Finding.WAITING),
            (None, Finding.WAITING),
        ],
    )
    def test_an_alarm_by_its_state(self, state: str | None, finding: Finding) -> None:
        assert judge(ALARM, Reading(alarms={ALARM: state})).finding is finding

    @pytest.mark.parametrize(
        ("value", "finding"),
        [(None, Finding.WAITING), (2.0, Finding.BREACHED), (3.0, Finding.PASSED), (6.0, Finding.BREACHED)],
    )
    def test_a_metric_by_its_last_value(self, value: float | None, finding: Finding) -> None:
        gate = Gate(GateType.METRIC, minimum=3, maximum=5, name="orders")
        assert judge(gate, Reading(values={gate: value})).finding is finding

    @pytest.mark.parametrize(
        ("decision", "finding"),
        [
            (Decision.CONTINUE, Finding.PASSED),
            (Decision.ROLLBACK, Finding.BREACHED),
            (Decision.PROMOTE, Finding.PROMOTES),
            (Decision.INCONCLUSIVE, Finding.PASSED),
        ],
    )
    def test_an_experiment_by_its_decision(self, decision: Decision, finding: Finding) -> None:
        assert judge(EXPERIMENT, Reading(verdicts={EXPERIMENT: Verdict(decision, "said")})).finding is finding
