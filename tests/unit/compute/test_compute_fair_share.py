"""Fair share in the emulator's Batch: whose job is next."""

from __future__ import annotations

import pytest

from localcloud.compute.batch.fairshare import Candidate, Policy, Use, in_order, usage

NOW = 1_000_000.0


def jobs(share: str, *names: str, priority: int = 0, vcpus: float = 1) -> list[Candidate]:
    return [Candidate(name, share, priority, vcpus) for name in names]


class TestOrder:
    def test_shares_take_turns_however_many_jobs_one_has(self) -> None:
        waiting = [*jobs("greedy", "g1", "g2", "g3"), *jobs("other", "o1")]
        assert in_order(Policy(), waiting, {}) == ["g1", "o1", "g2", "g3"]

    def test_who_has_more_now_waits(self) -> None:
        waiting = [*jobs("greedy", "g1"), *jobs("other", "o1", "o2")]
        assert in_order(Policy(), waiting, {"greedy": 2}) == ["o1", "o2", "g1"]

    def test_priority_orders_the_jobs_of_one_share_only(self) -> None:
        waiting = [*jobs("a", "old"), *jobs("a", "urgent", priority=900), *jobs("b", "b1")]
        assert in_order(Policy(), waiting, {}) == ["urgent", "b1", "old"]

    def test_jobs_of_one_priority_keep_their_order(self) -> None:
        assert in_order(Policy(), jobs("a", "1", "2", "3"), {}) == ["1", "2", "3"]

    def test_a_share_of_a_smaller_weight_gets_more(self) -> None:
        policy = Policy(weights={"paying": 0.25})
        waiting = [*jobs("other", *"abcd"), *jobs("paying", *"wxyz")]
        assert in_order(policy, waiting, {"other": 1, "paying": 1})[:3] == ["w", "x", "y"]

    @pytest.mark.parametrize(("share", "weight"), [("team1", 3.0), ("team2", 2.0), ("tea", 1.0), ("teamwork", 0.5)])
    def test_a_weight_is_for_an_identifier_or_the_longest_beginning_of_it(self, share: str, weight: float) -> None:
        assert Policy(weights={"team1": 3.0, "team*": 2.0, "teamwo*": 0.5}).weight(share) == weight


class TestUse:
    def test_without_a_decay_only_what_is_in_use_counts(self) -> None:
        uses = [Use("a", 4, NOW - 100), Use("b", 8, NOW - 100, NOW - 1)]
        assert usage(Policy(), uses, NOW) == {"a": 4}

    def test_with_one_the_recent_past_counts_and_less_the_older_it_is(self) -> None:
        policy = Policy(decay_seconds=1000)
        recent = usage(policy, [Use("a", 4, NOW - 200, NOW - 100)], NOW)["a"]
        older = usage(policy, [Use("a", 4, NOW - 900, NOW - 800)], NOW)["a"]
        assert recent == pytest.approx(4 * 0.1 * 0.85)
        assert older == pytest.approx(4 * 0.1 * 0.15)

    def test_what_lies_before_the_decay_is_forgotten(self) -> None:
        assert usage(Policy(decay_seconds=10), [Use("a", 4, NOW - 100, NOW - 11)], NOW) == {}


class TestReservation:
    @pytest.mark.parametrize(("active", "usable"), [(0, 0.5), (1, 0.5), (2, 0.75), (3, 0.875)])
    def test_keeps_a_part_for_shares_that_are_not_active(self, active: int, usable: float) -> None:
        assert Policy(reservation=50).usable(active) == usable

    def test_of_nothing_keeps_nothing(self) -> None:
        assert Policy().usable(1) == 1.0
