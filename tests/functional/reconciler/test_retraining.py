"""A run of retraining that nobody would go on with is looked at again, and no other one is."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.reconciler.repair import Kind
from chalicelib.reconciler.retraining import RetrainingRepairs
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.run import RunStatus
from tests.functional.retraining.conftest import Room
from tests.functional.retraining.conftest import jobs as jobs
from tests.functional.retraining.conftest import room as room


@pytest.fixture
def policy(room: Room) -> RetrainingPolicy:
    made = room.policy()
    room.tell(room.put("a.csv"))
    return made


def swept(room: Room) -> list[Kind]:
    """What a sweep repairs, and then what the queue brings."""
    looks: Any = room.looks
    repairs = RetrainingRepairs(room.store, room.jobs.store, looks, room.jobs.clock)
    found = [repair.kind for run in repairs.open() for repair in repairs.look_at(run)]
    room.deliver()
    return found


class TestASweep:
    def test_leaves_a_run_alone_that_will_be_looked_at(self, room: Room, policy: RetrainingPolicy) -> None:
        room.jobs.clock.advance(30)
        assert swept(room) == []
        room.later(31)
        room.jobs.clock.advance(24 * 3600)
        assert (room.run(policy).status, swept(room)) == (RunStatus.TRAINING, [])

    def test_wakes_one_whose_word_was_lost(self, room: Room, policy: RetrainingPolicy) -> None:
        room.looks.waiting.clear()
        room.jobs.clock.advance(200)
        assert swept(room) == [Kind.WOKEN]
        assert room.run(policy).status is RunStatus.TRAINING

    def test_wakes_one_whose_job_nobody_came_to_make(self, room: Room, policy: RetrainingPolicy) -> None:
        room.jobs.machine.lost = 1
        room.jobs.clock.advance(61)
        (look,) = room.looks.due()
        assert room.tell({"look": vars(look)}) == ["0"]
        room.jobs.clock.advance(300)
        assert swept(room) == []
        room.jobs.clock.advance(900)
        assert swept(room) == [Kind.WOKEN]
        assert room.run(policy).status is RunStatus.TRAINING

    def test_wakes_one_whose_jobs_end_was_never_told(self, room: Room, policy: RetrainingPolicy) -> None:
        room.later(61)
        room.end(room.run(policy))
        room.jobs.clock.advance(120)
        assert swept(room) == [Kind.WOKEN]
        assert room.run(policy).status is RunStatus.SUCCEEDED
        assert swept(room) == []
