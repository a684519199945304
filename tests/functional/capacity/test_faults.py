"""Every call of every step of a wait is lost, or its answer is, or the process dies: a repetition makes it good."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.jobs.job import JobStatus
from tests.e2e.sweeps.faulty import Died, Fault
from tests.faults import Shows
from tests.functional.capacity.conftest import POOL, Machines, Room


@dataclass
class Wire:
    """Everything that is asked of DynamoDB and Step Functions goes through here, and one call can be struck."""

    strike_at: int | None = None
    fault: Fault = Fault.LOST
    calls: list[str] = field(default_factory=list)

    def carry(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        is_struck = len(self.calls) == self.strike_at
        if is_struck and self.fault.is_before:
            self._strike()
        answer = call()
        if is_struck:
            self._strike()
        return answer

    def _strike(self) -> None:
        if self.fault in {Fault.DIED_BEFORE, Fault.DIED_AFTER}:
            raise Died
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1")


@dataclass
class WiredMachines(Machines):
    wire: Wire = field(default_factory=Wire)

    def succeed(self, token: str) -> None:
        self.wire.carry("send_task_success", lambda: super(WiredMachines, self).succeed(token))


@dataclass
class WiredRoom(Room):
    wire: Wire = field(default_factory=Wire)

    def __post_init__(self) -> None:
        outer = self

        class Client:
            exceptions = outer.dynamodb.exceptions

            def __getattr__(self, name: str) -> Any:
                call = getattr(outer.dynamodb, name)
                return lambda **arguments: outer.wire.carry(name, lambda: call(**arguments))

        self.client, self.machines = Client(), WiredMachines(wire=self.wire)
        super().__post_init__()

    def struck(self, at: int | None, fault: Fault) -> None:
        self.wire.strike_at, self.wire.fault, self.wire.calls = at, fault, []


def full() -> WiredRoom:
    """A pool of two with one job that holds it, and two that wait."""
    room = WiredRoom()
    room.limit(2)
    room.submit("holds", 2)
    for name in ("first", "second"):
        room.clock.advance(seconds=1)
        room.submit(name)
    return room


def newcomer() -> WiredRoom:
    room = full()
    room.job("new")
    return room


def planned() -> WiredRoom:
    room = newcomer()
    assert room.admission.claim(room.jobs.require("acme", "new")) is None
    return room


def untold() -> WiredRoom:
    """The two who wait are admitted, and neither has been told."""
    room = full()
    room.struck(None, Fault.LOST)
    job = room.jobs.require("acme", "holds")
    room.store.transact(*room.admission.release(job))
    for _ in range(2):
        room.machines.lose = 1
        with pytest.raises(ConnectionError):
            room.admission.admit(POOL)
    return room


def old() -> WiredRoom:
    room = full()
    room.clock.advance(hours=7)
    return room


def cancel(room: Room) -> None:
    room.cancel("first")


def end(room: Room) -> None:
    if not room.jobs.require("acme", "holds").status.is_finished:
        room.finish("holds")
    else:
        room.admission.admit(POOL)


STEPS: dict[str, tuple[Callable[[], WiredRoom], Callable[[Room], object]]] = {
    "plan without a limit": (lambda: _with_job(WiredRoom()), lambda room: room.plan("new")),
    "plan with room": (lambda: _with_job(_limited()), lambda room: room.plan("new")),
    "plan without room": (newcomer, lambda room: room.plan("new")),
    "await": (planned, lambda room: room.admission.begin_to_wait("acme", "new", "acme:new")),
    "cancel": (full, cancel),
    "end": (full, end),
    "admit": (untold, lambda room: room.upkeep.all(1)),
    "grow old": (old, lambda room: room.upkeep.all(1)),
}


def _with_job(room: WiredRoom) -> WiredRoom:
    room.job("new")
    return room


def _limited() -> WiredRoom:
    room = WiredRoom()
    room.limit(2)
    return room


def _settle(room: WiredRoom) -> None:
    """The schedule looks, machines that were told go on, jobs that run end; as long as anything happens.

    The newcomer's own machine repeats its plan; the others wait, and go on only when they are told.
    """
    runs = {"holds"}
    if room.jobs.get("acme", "new") and room.plan("new"):
        runs.add("new")
    for _ in range(8):
        room.upkeep.all(1)
        for name in set(room.told()):
            if room.plan(name):
                runs.add(name)
            elif room.jobs.require("acme", name).cancel_requested_at is not None:
                room.finish(name, JobStatus.CANCELLED)
        for name in sorted(runs):
            job = room.jobs.get("acme", name)
            if job is not None and not job.status.is_finished:
                room.finish(name)


class TestSweep:
    def test_loses_no_job_and_no_counter_at_any_point(self, shows: Shows) -> None:
        points = 0
        for step, (prepare, run) in STEPS.items():
            room = prepare()
            room.struck(None, Fault.LOST)
            run(room)
            calls = list(room.wire.calls)
            for at in range(1, len(calls) + 1):
                for fault in Fault:
                    self._strike(f"{step}, call {at} ({calls[at - 1]}), {fault.value}", prepare(), run, at, fault)
                    points += 1
        shows(2, f"admission: {points} points, 0 jobs lost, 0 differences")

    @staticmethod
    def _strike(what: str, room: WiredRoom, run: Callable[[Room], object], at: int, fault: Fault) -> None:
        room.struck(at, fault)
        try:
            run(room)
        except (Exception, Died):  # noqa: BLE001 - whatever it was, the step is repeated
            room.struck(None, fault)
            run(room)
        room.struck(None, fault)
        assert room.differences() == [], what
        pool = room.store.pool(POOL)
        assert pool is None or pool.in_use <= 2, what
        _settle(room)
        for name in ("holds", "first", "second", "new"):
            job = room.jobs.get("acme", name)
            if job is not None and job.pool is not None:
                assert job.status.is_finished, f"{what}: {name} is lost"
        assert room.differences() == [], what


class TestHammer:
    ROUNDS = 100

    def test_never_exceeds_the_limit_and_leaves_exact_counters(self, shows: Shows) -> None:
        """32 plans at once, and 32 ends at once, against a limit of five."""
        over = 0
        with ThreadPoolExecutor(32) as threads:
            for _ in range(self.ROUNDS):
                room = Room()
                room.limit(5)
                names = [room.job(f"job-{number:02d}", user=f"user-{number % 4}").job_id for number in range(32)]
                runs = {name for name, may in zip(names, threads.map(room.plan, names), strict=True) if may}
                assert len(runs) + len(set(room.told())) == 5
                done = set[str]()
                runs |= self._admitted(room, names)
                while runs:
                    over += room.pool().in_use > 5
                    list(threads.map(room.finish, sorted(runs)))
                    done |= runs
                    room.told()
                    runs = self._admitted(room, names) - done
                assert done == set(names)
                assert room.pool().in_use == 0
                assert room.differences() == []
        assert over == 0
        shows(13, f"admission: {self.ROUNDS} rounds of 32 against 5: over the limit {over} times, 0 differences")

    def test_the_same_plan_many_times_at_once_enters_once(self) -> None:
        with ThreadPoolExecutor(32) as threads:
            for _ in range(20):
                room = Room()
                room.limit(5)
                room.job("a", 3)
                assert all(threads.map(lambda _, room=room: room.plan("a"), range(32)))
                assert room.pool().in_use == 3
                assert room.differences() == []

    @staticmethod
    def _admitted(room: Room, names: list[str]) -> set[str]:
        entries = {name: room.entry(name) for name in names}
        return {name for name, entry in entries.items() if entry is not None and entry.is_admitted}
