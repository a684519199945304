"""A critical job that waits, and low ones that give way: who is chosen, and what happens when calls are lost or repeated."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from chalicelib.capacity.preemption import fewest
from chalicelib.jobs.job import Attempt, Backend
from tests.e2e.sweeps.faulty import Died, Fault
from tests.faults import Shows
from tests.functional.capacity.conftest import HOUR, POOL, Room
from tests.functional.capacity.test_faults import WiredRoom
from tests.unit.capacity.entries import entry


def runs(room: Room, name: str, size: int = 1, priority: str = "low", *, checkpoint: bool = True, **more: Any) -> None:
    assert room.submit(name, size, priority, seconds=more.pop("seconds", 10 * HOUR), **more)
    room.jobs.put_attempt(Attempt("acme", name, 1, "token", Backend.SAGEMAKER, room.clock()))
    if checkpoint:
        room.checkpoints.of.add(name)
    room.clock.advance(seconds=60)


def stopped(room: Room) -> list[str]:
    found, room.backends.stopped = room.backends.stopped, []
    return [name.removeprefix("aimatrix-").removesuffix("-1") for name in found]


def assessed(room: Room, name: str) -> None:
    """What the assessment of a stopped attempt asks for."""
    job = room.jobs.require("acme", name)
    assert room.admission.preempted_by(job, 1)
    room.admission.requeue(job, 2)


class TestChoice:
    def test_takes_the_newest_and_no_more_than_are_needed(self) -> None:
        able = [entry("new", 1), entry("newer", 2), entry("old", 4), entry("oldest", 8)]
        assert [each.job_id for each in fewest(1, able)] == ["new"]
        assert [each.job_id for each in fewest(3, able)] == ["new", "newer"]
        assert [each.job_id for each in fewest(4, able)] == ["old"]
        assert [each.job_id for each in fewest(15, able)] == ["new", "newer", "old", "oldest"]

    def test_takes_nobody_when_all_of_them_are_not_enough(self) -> None:
        assert fewest(16, [entry("a", 8), entry("b", 4)]) == []
        assert fewest(0, [entry("a", 8)]) == []


class TestMakeRoom:
    @pytest.fixture(autouse=True)
    def pool(self, room: Room) -> None:
        room.limit(4, preempt_low=True)

    def test_stops_the_newest_low_job_with_a_checkpoint_and_lets_the_critical_one_in(self, room: Room) -> None:
        runs(room, "old", 2)
        runs(room, "new", 2)
        assert not room.submit("urgent", 1, "critical")
        assert room.preemption.make_room(room.pool().name) == 1
        assert stopped(room) == ["new"]
        assert room.pool().in_use == 4
        assessed(room, "new")
        assert room.told() == ["urgent"]
        job, waiting = room.jobs.require("acme", "new"), room.entry("new")
        assert (job.status.value, job.attempts, job.secondary_status) == ("pending", 2, "AwaitingCapacity")
        assert job.waiting_reason is not None
        assert job.waiting_reason.startswith("Preempted by job urgent, its checkpoint is kept. Waits for 2 of the 4")
        assert waiting is not None
        assert not waiting.is_admitted
        assert room.differences() == []
        room.finish("urgent")
        room.admission.begin_to_wait("acme", "new", "acme:new")
        assert room.told() == ["new"]
        assert room.differences() == []

    def test_happens_only_where_an_operator_allows_it(self, room: Room) -> None:
        room.limit(4, preempt_low=False)
        runs(room, "low", 4)
        room.submit("urgent", 1, "critical")
        assert room.preemption.make_room(room.pool().name) == 0
        assert stopped(room) == []

    @pytest.mark.parametrize(
        ("victim", "needs"),
        [
            ({"priority": "medium"}, 1),
            ({"checkpoint": False}, 1),
            ({"seconds": 230}, 1),  # what its limit leaves is too little to go on with
            ({"size": 2}, 3),  # stopping it would not be enough
        ],
    )
    def test_leaves_alone_who_cannot_give_way(self, room: Room, victim: dict[str, Any], needs: int) -> None:
        runs(room, "victim", **{"size": 4, **victim})
        if victim.get("size"):
            runs(room, "other", 2, "high")
        assert not room.submit("urgent", needs, "critical")
        assert room.preemption.make_room(room.pool().name) == 0
        assert stopped(room) == []

    def test_is_for_jobs_that_were_submitted_as_critical(self, room: Room) -> None:
        runs(room, "low", 4, seconds=100 * HOUR)
        room.submit("risen", 1, "high")
        room.clock.advance(hours=30)
        room.upkeep.all(60)
        risen = room.entry("risen")
        assert risen is not None
        assert risen.level == 3
        assert stopped(room) == []

    def test_spares_a_low_job_that_has_waited_long_enough_to_rise(self, room: Room) -> None:
        runs(room, "holds", 4, "high", seconds=40 * HOUR)
        assert not room.submit("patient", 4, "low", seconds=40 * HOUR)
        room.clock.advance(hours=7)
        room.upkeep.all(60)
        room.finish("holds")
        room.checkpoints.of.add("patient")
        room.submit("urgent", 1, "critical")
        assert room.preemption.make_room(room.pool().name) == 0

    def test_stops_nobody_twice_or_in_excess(self, room: Room) -> None:
        for name in ("a", "b"):
            runs(room, name, 2)
        room.submit("urgent", 1, "critical")
        assert [room.preemption.make_room(room.pool().name) for _ in range(3)] == [1, 0, 0]
        assert set(stopped(room)) == {"b"}

    def test_does_not_let_others_take_the_room_that_it_made(self, room: Room) -> None:
        runs(room, "a", 2)
        runs(room, "b", 2)
        room.submit("urgent", 4, "critical")
        assert room.preemption.make_room(room.pool().name) == 2
        assessed(room, "b")
        assert not room.submit("small", 1, "high", seconds=HOUR)
        assert room.told() == []
        assessed(room, "a")
        assert room.told() == ["urgent"]

    def test_repeats_a_stop_that_was_lost(self, room: Room) -> None:
        runs(room, "low", 4)
        room.submit("urgent", 1, "critical")
        room.backends.lose = 1
        with pytest.raises(ConnectionError):
            room.preemption.make_room(room.pool().name)
        assert stopped(room) == []
        room.upkeep.all(60)
        assert stopped(room) == ["low"]

    def test_gives_the_room_to_the_critical_job_when_the_other_ends_by_itself(self, room: Room) -> None:
        runs(room, "low", 4)
        room.submit("urgent", 1, "critical")
        room.preemption.make_room(room.pool().name)
        room.finish("low")
        assert room.told() == ["urgent"]
        assert room.differences() == []

    def test_puts_a_job_back_once_however_often_its_end_is_assessed(self, room: Room) -> None:
        runs(room, "low", 4)
        room.submit("urgent", 1, "critical")
        room.preemption.make_room(room.pool().name)
        for _ in range(3):
            assessed(room, "low")
        assert room.told() == ["urgent"]
        room.finish("urgent")
        assessed(room, "low")
        low = room.entry("low")
        assert low is not None
        assert low.is_admitted
        assert not low.is_preempted
        assert room.differences() == []

    def test_names_no_job_of_another_tenant(self, room: Room) -> None:
        runs(room, "low", 4)
        room.submit("secret", 1, "critical", tenant="umbrella")
        room.preemption.make_room(room.pool().name)
        assert room.admission.preempted_by(room.jobs.require("acme", "low"), 1) == "a critical job"

    def test_does_so_in_rounds_when_there_are_many(self, room: Room) -> None:
        room.limit(40, preempt_low=True)
        for number in range(40):
            runs(room, f"low-{number}", 1)
        room.submit("urgent", 40, "critical")
        assert room.preemption.make_room(room.pool().name) == 40
        assert len(stopped(room)) == 40


class TestSweep:
    """Every call of making room and of going back is lost, or its answer is, or the process dies."""

    STEPS: ClassVar[dict[str, Callable[[Room], object]]] = {
        "make room": lambda room: room.preemption.make_room(POOL),
        "go back": lambda room: room.admission.requeue(room.jobs.require("acme", "low"), 2),
    }

    @staticmethod
    def prepared(step: str) -> WiredRoom:
        """A low job that holds the pool, and a critical one that waits."""
        room = WiredRoom()
        room.limit(2, preempt_low=True)
        runs(room, "low", 2)
        room.submit("urgent", 2, "critical")
        if step == "go back":
            room.preemption.make_room(POOL)
        return room

    @staticmethod
    def settle(room: WiredRoom) -> list[str]:
        """The schedule looks, what was stopped is assessed, who is told goes on, what runs ends; who ended, in order."""
        done: list[str] = []
        for _ in range(8):
            room.upkeep.all(1)
            for name in dict.fromkeys(stopped(room)):
                if room.admission.preempted_by(room.jobs.require("acme", name), 1):
                    room.admission.requeue(room.jobs.require("acme", name), 2)
                    room.plan(name)
            for name in dict.fromkeys(room.told()):
                assert room.plan(name)
            for name in ("low", "urgent"):
                entry = room.entry(name)
                if entry is not None and entry.is_admitted and not entry.is_preempted:
                    room.finish(name)
                    done.append(name)
            assert room.differences() == []
        return done

    def test_loses_no_job_and_no_counter_at_any_point(self, shows: Shows) -> None:
        points = 0
        for step, run in self.STEPS.items():
            room = self.prepared(step)
            room.struck(None, Fault.LOST)
            run(room)
            calls = list(room.wire.calls)
            for at in range(1, len(calls) + 1):
                for fault in Fault:
                    what = f"{step}, call {at} ({calls[at - 1]}), {fault.value}"
                    room = self.prepared(step)
                    room.struck(at, fault)
                    try:
                        run(room)
                    except (Exception, Died):  # noqa: BLE001 - whatever it was, the step is repeated
                        room.struck(None, fault)
                        run(room)
                    room.struck(None, fault)
                    assert room.differences() == [], what
                    assert room.pool().in_use <= 2, what
                    assert self.settle(room) == ["urgent", "low"], what
                    assert room.jobs.require("acme", "low").attempts == 2, what
                    points += 1
        shows(2, f"giving way: {points} points, 0 jobs lost, 0 differences")

    def test_many_who_make_room_at_once_stop_no_more_than_one_does(self) -> None:
        with ThreadPoolExecutor(16) as threads:
            for _ in range(20):
                room = Room()
                room.limit(8, preempt_low=True)
                for number in range(8):
                    runs(room, f"low-{number}", 1)
                room.submit("urgent", 3, "critical")
                told = list(threads.map(lambda _, room=room: room.preemption.make_room(POOL), range(16)))
                assert sum(told) == 3
                assert set(stopped(room)) == {"low-7", "low-6", "low-5"}
                assert room.differences() == []
