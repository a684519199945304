"""Target tracking, as numbers: one policy may add, all have to agree before one is removed, cooldowns hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.compute.scaling.tracking import Bounds, Change, Since, Tracked, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOAD = Tracked("load", "invocations", target=100.0, out_cooldown=60, in_cooldown=120)
CPU = Tracked("cpu", "cpu", target=70.0)
PERIODS = (3, 5)


def after(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def wanted(
    current: int, bounds: tuple[int, int] = (1, 10), since: Since | None = None, **seen: list[float]
) -> int | None:
    policies = [policy for policy in (LOAD, CPU) if policy.metric in seen]
    change = decide(current, Bounds(*bounds), policies, seen, PERIODS, since or Since(), NOW)
    return change.count if change else None


class TestAdding:
    def test_is_in_proportion_to_the_metric(self) -> None:
        assert wanted(2, invocations=[250, 250, 250]) == 5

    def test_takes_every_look_in_a_row_above_the_target(self) -> None:
        assert wanted(2, invocations=[500, 100, 500]) is None
        assert wanted(2, invocations=[500, 500]) is None

    def test_is_one_at_least(self) -> None:
        assert wanted(5, invocations=[101, 101, 101]) == 6

    def test_ends_at_the_most(self) -> None:
        assert wanted(2, (1, 3), invocations=[900, 900, 900]) == 3
        assert wanted(3, (1, 3), invocations=[900, 900, 900]) is None

    def test_is_what_one_of_several_policies_wants(self) -> None:
        assert wanted(2, invocations=[150] * 5, cpu=[10] * 5) == 3
        assert wanted(2, invocations=[150] * 5, cpu=[210] * 5) == 6

    def test_waits_for_its_cooldown(self) -> None:
        assert wanted(2, since=Since(added=after(59)), invocations=[150] * 3) is None
        assert wanted(2, since=Since(added=after(60)), invocations=[150] * 3) == 3


class TestRemoving:
    def test_takes_longer_and_stays_away_from_the_target(self) -> None:
        assert wanted(4, invocations=[40] * 4) is None
        assert wanted(4, invocations=[91, 40, 40, 40, 40]) is None
        assert wanted(4, invocations=[40] * 5) == 2

    def test_is_what_all_policies_agree_to(self) -> None:
        assert wanted(4, invocations=[10] * 5, cpu=[68] * 5) is None
        assert wanted(4, invocations=[10] * 5, cpu=[35] * 5) == 2

    def test_ends_at_the_least(self) -> None:
        assert wanted(4, (3, 10), invocations=[0] * 5) == 3
        assert wanted(3, (3, 10), invocations=[0] * 5) is None

    def test_waits_for_the_longest_cooldown(self) -> None:
        assert wanted(4, since=Since(removed=after(119)), invocations=[10] * 5) is None
        assert wanted(4, since=Since(removed=after(120)), invocations=[10] * 5) == 1

    def test_is_not_done_by_a_policy_that_only_adds(self) -> None:
        policy = Tracked("load", "invocations", 100.0, may_remove=False)
        seen = {"invocations": [0.0] * 5}
        assert decide(4, Bounds(1, 10), [policy], seen, PERIODS, Since(), NOW) is None


@pytest.mark.parametrize(("current", "count"), [(1, 2), (9, 5)])
def test_bounds_are_kept_without_any_policy(current: int, count: int) -> None:
    assert decide(current, Bounds(2, 5), [], {}, PERIODS, Since(added=NOW, removed=NOW), NOW) == Change(count)


@given(
    st.integers(1, 20),
    st.tuples(st.integers(1, 10), st.integers(0, 10)),
    st.lists(st.floats(0, 1e6), max_size=8),
    st.lists(st.floats(0, 1e6), max_size=8),
)
def test_no_load_leads_out_of_the_bounds(
    current: int, bounds: tuple[int, int], load: list[float], cpu: list[float]
) -> None:
    least, most = bounds[0], bounds[0] + bounds[1]
    found = wanted(current, (least, most), invocations=load, cpu=cpu)
    assert found is None or (least <= found <= most and found != current)
