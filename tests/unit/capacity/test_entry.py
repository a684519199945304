"""Jobs that grow old, and owners who are charged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.capacity.entry import Entry, Owner, State
from chalicelib.capacity.pool import LEVELS, unit_of
from tests.unit.capacity.entries import HOUR, NOW, entry, pool

SIX_HOURS = timedelta(hours=6)
OWNER = Owner("sagemaker/v100", "acme/alice")


class TestAge:
    def test_raises_by_one_level_for_each_time_waited(self) -> None:
        low = entry(level="low")
        assert low.risen(pool(), NOW + SIX_HOURS - timedelta(seconds=1)) is None
        for times, expected in ((1, "medium"), (2, "high"), (3, "critical"), (9, "critical")):
            risen = low.risen(pool(), NOW + times * SIX_HOURS)
            assert risen is not None
            assert LEVELS[risen.level] == expected

    def test_does_not_raise_above_the_highest(self) -> None:
        assert entry(level="critical").risen(pool(), NOW + 9 * SIX_HOURS) is None

    def test_is_counted_from_the_moment_the_level_was_due_however_late_it_is_noticed(self) -> None:
        risen = entry(level="low").risen(pool(), NOW + 1.5 * SIX_HOURS)
        assert risen is not None
        assert risen.level_since == NOW + SIX_HOURS
        assert risen.risen(pool(), NOW + 2 * SIX_HOURS) is not None

    def test_is_kept_when_a_job_comes_back_to_the_queue(self) -> None:
        admitted = entry(level="low").admitted(pool(), NOW + timedelta(hours=1))
        again = admitted.waiting(pool(), NOW + timedelta(hours=7))
        assert again.since == NOW
        assert LEVELS[again.level] == "medium"


class TestOwner:
    def test_is_charged_for_what_a_job_is_expected_to_take(self) -> None:
        waiting = OWNER.following(None, entry(), pool(), NOW)
        charged = waiting.following(entry(), entry().admitted(pool(), NOW), pool(), NOW)
        assert charged.score > waiting.score
        assert charged.waiting == (0, 0, 0, 0)

    def test_has_the_score_of_what_was_really_used_when_the_job_has_ended(self) -> None:
        long, short = entry(hours=10), entry(hours=1)
        quick, exact = (self._ended(each, after=timedelta(hours=1)) for each in (long, short))
        assert quick.score == pytest.approx(exact.score, abs=1e-6)

    def test_who_ended_without_using_anything_is_as_good_as_new(self) -> None:
        ended = self._ended(entry(hours=10), after=timedelta(0))
        assert ended.score == pytest.approx(OWNER.following(None, entry(), pool(), NOW).score, abs=1e-3)

    def test_with_a_larger_share_comes_later_however_long_ago_both_were_charged(self) -> None:
        small = OWNER.following(None, entry(size=1).admitted(pool(), NOW), pool(), NOW)
        large = OWNER.following(None, entry(size=4).admitted(pool(), NOW), pool(), NOW)
        assert small.score < large.score

    def test_counts_who_waits_by_level_with_the_least_size_and_limit_of_each(self) -> None:
        owner = OWNER
        for each in (entry("a", 4, hours=2), entry("b", 2, hours=3), entry("c", 8, "high", hours=1)):
            owner = owner.following(None, each, pool(), NOW)
        assert owner.waiting == (0, 2, 1, 0)
        assert owner.least[1:3] == ((2, 2 * HOUR), (8, HOUR))
        owner = owner.following(entry("b", 2), None, pool(), NOW)
        owner = owner.following(entry("a", 4), None, pool(), NOW)
        assert owner.following(None, entry("d", 5, hours=9), pool(), NOW).least[1] == (5, 9 * HOUR)

    def test_who_parks_a_job_is_not_charged(self) -> None:
        waiting = OWNER.following(None, entry(), pool(), NOW)
        parked = waiting.following(entry(), entry().parked(), pool(), NOW)
        assert (parked.score, parked.waiting) == (waiting.score, (0, 0, 0, 0))

    @staticmethod
    def _ended(job: Entry, after: timedelta) -> Owner:
        owner = OWNER.following(None, job, pool(), NOW)
        admitted = job.admitted(pool(), NOW)
        return owner.following(job, admitted, pool(), NOW).following(admitted, None, pool(), NOW + after)


class TestPool:
    def test_measures_half_lives_each_as_long_as_it_was_at_its_time(self) -> None:
        before = pool(half_life_seconds=HOUR)
        changed = before.with_settings(NOW + timedelta(hours=2), limit=4, half_life_seconds=HOUR // 2)
        assert changed.half_lives(NOW + timedelta(hours=3)) - before.half_lives(NOW) == pytest.approx(4)

    def test_counts_vcpus_where_there_are_no_gpus(self) -> None:
        assert (unit_of("sagemaker/cpu"), unit_of("sagemaker/t4")) == ("vCPUs", "GPUs")

    def test_has_room_below_its_limit_and_always_without_one(self) -> None:
        assert pool(8, 6).fits(2)
        assert not pool(8, 6).fits(3)
        assert pool(None, 6).fits(300)
        assert pool(4, 6).free == -2


def test_an_admitted_job_is_expected_to_end_by_its_estimate_then_by_its_limit_then_any_moment() -> None:
    job = entry(hours=2, estimated_seconds=HOUR).admitted(pool(), NOW)
    for now, end in ((0.5, 1), (1.5, 2), (3, 3)):
        assert job.end(NOW + timedelta(hours=now)) == NOW + timedelta(hours=end)


def test_a_parked_job_comes_back_as_one_that_waits() -> None:
    assert entry().parked().waiting(pool(), NOW).state is State.WAITING
