"""Enter, wait, be admitted, leave: in order, and whatever comes between two steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.capacity.entry import State
from chalicelib.capacity.store import Stale
from chalicelib.jobs.job import Backend, JobStatus
from chalicelib.jobs.life import AWAITING, AttemptPlanned, apply
from tests.functional.capacity.conftest import HOUR, POOL, Room


class TestWithoutALimit:
    def test_nothing_is_written(self, room: Room) -> None:
        before = room.dynamodb.snapshot()
        job = room.job("a", 64)
        created = room.dynamodb.snapshot().since(before)
        assert room.admission.claim(job) == job
        assert room.dynamodb.snapshot().since(before).write_units == created.write_units
        assert room.dynamodb.items_of("capacity") == []

    def test_a_job_of_batch_is_not_even_looked_up(self, room: Room) -> None:
        job = room.job("a", 64, backend=Backend.BATCH)
        before = room.dynamodb.snapshot()
        assert room.admission.claim(job) == job
        assert room.dynamodb.snapshot().since(before).calls == 0

    def test_a_job_that_ran_before_there_was_one_goes_on(self, room: Room) -> None:
        room.limit(0)
        assert room.submit("a", 4, attempts=1)
        assert room.pool().in_use == 0

    def test_any_more_those_who_wait_are_let_in(self, room: Room) -> None:
        room.limit(1)
        assert [room.submit(name) for name in "abc"] == [True, False, False]
        room.limit(None)
        room.admission.admit(POOL)
        assert room.told() == ["b", "c"]
        for name in "abc":
            room.finish(name)
        assert room.pool().in_use == 0
        assert room.differences() == []


class TestLimit:
    def test_admits_at_once_what_fits_without_a_wait(self, room: Room) -> None:
        room.limit(8)
        assert room.submit("a", 5)
        assert room.jobs.require("acme", "a").waiting_reason is None
        assert room.pool().in_use == 5
        assert room.differences() == []

    def test_lets_the_others_wait_and_says_so_in_the_job(self, room: Room) -> None:
        room.limit(8)
        assert room.submit("a", 5)
        assert not room.submit("b", 4)
        job = room.jobs.require("acme", "b")
        assert job.secondary_status == AWAITING
        assert job.waiting_reason is not None
        assert "4 of the 8 GPUs of the pool sagemaker/v100" in job.waiting_reason

    def test_admits_the_next_when_one_ends(self, room: Room) -> None:
        room.limit(8)
        room.submit("a", 8)
        assert not room.submit("b", 8)
        assert room.told() == []
        room.finish("a")
        assert room.told() == ["b"]
        assert room.plan("b")
        assert room.pool().in_use == 8
        assert room.differences() == []

    def test_does_not_let_a_newcomer_pass_those_who_wait(self, room: Room) -> None:
        room.limit(8)
        room.submit("a", 6)
        assert not room.submit("b", 8)
        assert not room.submit("c", 2, seconds=100 * HOUR)

    def test_keeps_a_job_that_is_larger_until_it_is_raised(self, room: Room) -> None:
        room.limit(8)
        assert not room.submit("giant", 16)
        room.clock.advance(seconds=1)
        assert room.submit("a", 8)
        entry = room.entry("giant")
        assert entry is not None
        assert entry.state is State.PARKED
        room.finish("a")
        room.limit(16)
        room.upkeep.all(1)
        assert room.told() == ["giant"]
        assert room.differences() == []

    def test_lowered_below_what_is_in_use_stops_only_new_ones(self, room: Room) -> None:
        room.limit(8)
        for name in "abcd":
            assert room.submit(name, 2)
        room.limit(4)
        assert not room.submit("e", 2)
        room.finish("a")
        room.finish("b")
        assert room.told() == []
        room.finish("c")
        assert room.told() == ["e"]

    def test_of_nothing_keeps_everybody_waiting_until_it_is_raised(self, room: Room) -> None:
        room.limit(0)
        assert not any(room.submit(name, 1) for name in "abc")
        room.limit(2)
        room.upkeep.all(1)
        assert room.told() == ["a", "b"]


class TestOrder:
    def test_is_by_priority(self, room: Room) -> None:
        room.limit(1)
        room.submit("first")
        for priority in ("low", "critical", "medium", "high"):
            room.clock.advance(seconds=1)
            room.submit(priority, priority=priority)
        assert _in_turn(room, "first") == ["critical", "high", "medium", "low"]

    def test_takes_turns_between_users_whoever_submitted_more(self, room: Room) -> None:
        room.limit(1)
        room.submit("first", user="carol")
        for number in range(3):
            room.clock.advance(seconds=1)
            room.submit(f"a{number}", user="alice")
        for number in range(2):
            room.clock.advance(seconds=1)
            room.submit(f"b{number}", user="bob")
        assert _in_turn(room, "first") == ["a0", "b0", "a1", "b1", "a2"]

    def test_puts_who_used_much_lately_behind(self, room: Room) -> None:
        room.limit(1)
        room.submit("greedy", user="alice", seconds=10 * HOUR)
        room.clock.advance(hours=10)
        room.submit("a", user="alice")
        room.clock.advance(seconds=1)
        room.submit("b", user="bob")
        assert _in_turn(room, "greedy") == ["b", "a"]

    def test_forgets_what_was_used_long_ago(self, room: Room) -> None:
        room.limit(1, half_life_seconds=HOUR)
        room.submit("greedy", user="alice", seconds=HOUR)
        room.clock.advance(hours=1)
        room.finish("greedy")
        room.clock.advance(hours=30)
        room.submit("first", user="carol")
        room.submit("a", user="alice")
        room.clock.advance(seconds=1)
        room.submit("b", user="bob")
        assert _in_turn(room, "first") == ["a", "b"]

    def test_is_by_age_between_users_who_used_nothing(self, room: Room) -> None:
        room.limit(1)
        room.submit("first", user="zoe")
        for name, user in (("1", "yan"), ("2", "ada"), ("3", "moe")):
            room.clock.advance(minutes=5)
            room.submit(name, user=user)
        assert _in_turn(room, "first") == ["1", "2", "3"]

    def test_separates_users_of_one_name_in_two_tenants(self, room: Room) -> None:
        room.limit(1)
        room.submit("first", user="carol")
        for number in range(2):
            room.clock.advance(seconds=1)
            room.submit(f"a{number}", user="alice")
        room.clock.advance(seconds=1)
        assert not room.submit("other", user="alice", tenant="umbrella")
        room.finish("first")
        room.clock.advance(minutes=30)
        room.finish("a0")
        assert room.told() == ["a0", "other"]

    def test_lets_a_small_job_pass_a_large_one_only_if_that_does_not_delay_it(self, room: Room) -> None:
        room.limit(8)
        room.submit("runs", 6, seconds=2 * HOUR)
        assert not room.submit("large", 8)
        assert not room.submit("long", 2, seconds=3 * HOUR)
        assert room.submit("short", 2, seconds=HOUR)

    def test_does_not_let_small_jobs_pass_a_large_one_for_ever(self, room: Room) -> None:
        room.limit(8)
        for number in range(8):
            room.submit(f"small-{number}", 1, seconds=2 * HOUR, user="bob")
        assert not room.submit("large", 8)
        for number in range(8, 16):
            room.clock.advance(minutes=10)
            assert not room.submit(f"small-{number}", 1, seconds=2 * HOUR, user="bob")
            room.finish(f"small-{number - 8}")
        assert room.told() == ["large"]

    def test_is_the_same_on_machines_whose_clocks_differ_by_ten_minutes(self, room: Room) -> None:
        room.limit(1)
        room.submit("first")
        for number in range(6):
            room.clock.advance(seconds=1)
            job = room.job(f"{number}", priority=("low", "high")[number % 2])
            room.clock.advance(minutes=(10, -10)[number % 2])
            room.plan(job.job_id)
            room.clock.advance(minutes=(-10, 10)[number % 2])
        turns: list[str] = []
        name = "first"
        for skew in (10, -10, 10, -10, 10, -10):
            room.clock.advance(minutes=skew)
            room.finish(name)
            (name,) = room.told()
            turns.append(name)
            room.clock.advance(minutes=-skew)
        assert turns == ["1", "3", "5", "0", "2", "4"]


class TestInterleavings:
    def test_admitted_between_the_plan_and_the_token(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        assert room.admission.claim(room.job("b")) is None
        room.finish("a")
        assert room.told() == []
        assert room.admission.begin_to_wait("acme", "b", "acme:b")
        assert room.told() == ["b"]
        assert room.plan("b")

    def test_cancelled_between_the_plan_and_the_token(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        assert room.admission.claim(room.job("b")) is None
        room.cancel("b")
        assert room.told() == []
        assert room.admission.begin_to_wait("acme", "b", "acme:b")
        assert room.told() == ["b"]

    def test_cancelled_while_it_waits(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        room.submit("b")
        room.cancel("b")
        assert room.told() == ["b"]
        room.finish("b", JobStatus.CANCELLED)
        assert room.entry("b") is None
        assert room.differences() == []

    def test_cancelled_before_it_entered(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        job = room.job("b")
        room.cancel("b")
        entered = room.admission.claim(job)
        assert entered is None or entered.cancel_requested_at is not None
        room.finish("b", JobStatus.CANCELLED)
        assert room.differences() == []

    def test_room_is_made_while_a_job_enters(self, room: Room) -> None:
        """The only one that runs ends between the look at the pool and the entry."""
        room.limit(1)
        room.submit("a")
        job = room.job("b")

        class Late:
            """A store of jobs where that happens before the first change."""

            def __getattr__(self, name: str) -> Any:
                if name == "change" and room.pool().in_use:
                    room.finish("a")
                return getattr(room.jobs, name)

        jobs: Any = Late()
        assert replace(room.admission, jobs=jobs).claim(job) is not None
        assert room.pool().in_use == 1
        assert room.differences() == []

    def test_the_answer_is_lost_and_made_good_by_the_schedule(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        room.submit("b")
        room.machines.lose = 1
        with pytest.raises(ConnectionError):
            room.finish("a")
        assert room.told() == []
        room.upkeep.all(1)
        assert room.told() == ["b"]
        room.upkeep.all(1)
        assert room.told() == []

    def test_the_answer_to_a_cancelled_job_is_lost_and_made_good_by_the_schedule(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        room.submit("b")
        room.machines.lose = 1
        with pytest.raises(ConnectionError):
            room.cancel("b")
        room.upkeep.all(1)
        assert room.told() == ["b"]

    def test_the_machine_is_started_again_and_waits_with_another_token(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        room.submit("b")
        assert room.admission.claim(room.jobs.require("acme", "b")) is None
        assert not room.admission.begin_to_wait("acme", "b", "acme:second")
        room.finish("a")
        assert room.told() == ["second"]

    def test_every_step_is_repeated(self, room: Room) -> None:
        room.limit(1)
        for _ in range(3):
            room.submit("a") if room.jobs.get("acme", "a") is None else room.plan("a")
        room.submit("b")
        for _ in range(3):
            assert not room.plan("b")
        room.finish("a")
        room.admission.admit(POOL)
        assert room.told() == ["b"]
        for _ in range(3):
            assert room.plan("b")
        assert room.pool().in_use == 1
        assert room.differences() == []

    def test_a_finished_job_never_enters(self, room: Room) -> None:
        room.limit(1)
        job = room.job("a")
        room.finish("a", JobStatus.FAILED)
        assert room.admission.claim(job) is not None
        assert room.pool().in_use == 0

    def test_released_twice_gives_back_once(self, room: Room) -> None:
        room.limit(4)
        room.submit("a", 3)
        job = room.jobs.require("acme", "a")
        writes = room.admission.release(job)
        room.store.transact(*writes)
        assert room.admission.release(job) == []
        with pytest.raises(Stale):
            room.store.transact(*writes)
        assert room.pool().in_use == 0
        assert room.differences() == []

    def test_the_reason_goes_away_when_it_is_admitted(self, room: Room) -> None:
        room.limit(1)
        room.submit("a")
        room.submit("b")
        job = room.jobs.require("acme", "b")
        assert job.waiting_reason is not None
        assert apply(job, AttemptPlanned(1)) == replace(job, waiting_reason=None, secondary_status=None, attempts=1)


def _in_turn(room: Room, first: str) -> list[str]:
    """End one after the other, each half an hour after it began; who came next each time."""
    turns: list[str] = []
    name = first
    while True:
        room.clock.advance(minutes=30)
        room.finish(name)
        told = room.told()
        if not told:
            assert room.differences() == []
            return turns
        (name,) = told
        assert room.plan(name)
        turns.append(name)
