"""Random sequences of everything that can happen: no limit is exceeded, no job is lost, no counter differs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chalicelib.capacity.pool import LEVELS
from chalicelib.jobs.job import JobStatus
from tests.functional.capacity.conftest import HOUR, POOL, Room

SEQUENCES, STEPS = 150, 40


class Pool(RuleBasedStateMachine):
    """Jobs that come, wait, run, end and are cancelled, while the limit changes and answers are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room()
        self.room.limit(4)
        self.limit: int | None = 4
        self.planned: set[str] = set()
        self.unplanned: set[str] = set()
        self.runs: set[str] = set()
        self.cancelled: set[str] = set()
        self.count = 0

    @rule(
        size=st.integers(1, 6),
        priority=st.sampled_from(LEVELS),
        user=st.sampled_from(["alice", "bob", "carol"]),
        hours=st.integers(1, 30),
    )
    def submit(self, size: int, priority: str, user: str, hours: int) -> None:
        self.count += 1
        name = f"job-{self.count:03d}"
        self.room.job(name, size, priority, user, seconds=hours * HOUR)
        self.unplanned.add(name)

    @precondition(lambda self: self.unplanned)
    @rule(data=st.data())
    def plan(self, data: Any) -> None:
        self._plan(data.draw(st.sampled_from(sorted(self.unplanned))))

    @precondition(lambda self: self.planned)
    @rule(data=st.data())
    def plan_again(self, data: Any) -> None:
        self._plan(data.draw(st.sampled_from(sorted(self.planned))))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.runs)))
        self._end(name, JobStatus.COMPLETED)

    @precondition(lambda self: self.planned)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.planned)))
        self.cancelled.add(name)
        with suppress(ConnectionError):
            self.room.cancel(name)
        self._deliver()
        if name in self.runs:
            self._end(name, JobStatus.CANCELLED)

    @rule(limit=st.one_of(st.none(), st.integers(0, 8)))
    def set_limit(self, limit: int | None) -> None:
        self.room.limit(limit)
        self.limit = limit
        with suppress(ConnectionError):
            self.room.admission.admit(POOL)
        self._deliver()

    @rule(hours=st.integers(1, 12))
    def pass_time(self, hours: int) -> None:
        self.room.clock.advance(hours=hours)
        self._look_after()

    @rule()
    def lose_the_next_answer(self) -> None:
        self.room.machines.lose = 1

    @invariant()
    def no_counter_differs(self) -> None:
        assert self.room.differences() == []

    @invariant()
    def nobody_is_let_in_over_the_limit(self) -> None:
        """More than the limit can be in use only because it was lowered: nobody is let in then."""
        pool = self.room.pool()
        if pool.limit is not None and pool.in_use >= pool.limit:
            assert self.room.admission.admit(POOL) == 0

    def teardown(self) -> None:
        """With enough room, and after one look, everybody who has not ended runs or was told to."""
        self.room.limit(1000)
        self.room.machines.lose = 0
        for _ in range(2):
            self._look_after()
        for name in sorted(self.unplanned):
            self._plan(name)
        assert not self.cancelled
        assert self.planned == self.runs
        for name in sorted(self.runs):
            self._end(name, JobStatus.COMPLETED)
        assert self.room.pool().in_use == 0
        assert self.room.differences() == []

    def _plan(self, name: str) -> None:
        self.unplanned.discard(name)
        self.planned.add(name)
        try:
            may_run = self.room.plan(name)
        except ConnectionError:
            # The process died while it told another job; the machine repeats the plan.
            may_run = self.room.plan(name)
        if name in self.cancelled:
            self._end(name, JobStatus.CANCELLED)
        elif may_run:
            self.runs.add(name)
        self._deliver()

    def _deliver(self) -> None:
        """Machines that were told plan again."""
        for name in self.room.told():
            if name in self.planned - self.runs:
                self._plan(name)

    def _end(self, name: str, status: JobStatus) -> None:
        self.planned.discard(name)
        self.runs.discard(name)
        self.cancelled.discard(name)
        if self.room.jobs.require("acme", name).status.is_finished:
            return
        try:
            self.room.finish(name, status)
        except ConnectionError:
            self.room.admission.admit(POOL)
        self._deliver()

    def _look_after(self) -> None:
        try:
            self.room.upkeep.all(1)
        except ConnectionError:
            self.room.upkeep.all(1)
        self._deliver()


TestPool = pytest.mark.timeout(600)(Pool.TestCase)
TestPool.settings = settings(max_examples=SEQUENCES, stateful_step_count=STEPS, deadline=None)
