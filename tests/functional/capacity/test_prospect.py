"""What a dry run says of the queue is what admission then does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chalicelib.capacity import views
from chalicelib.capacity.queue import Queue
from chalicelib.errors import Forbidden
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Backend
from chalicelib.jobs.service import JobService
from tests.functional.capacity.conftest import HOUR, Room, job_of

PRIORITIES = ("low", "medium", "high", "critical")
USERS = ("alice", "bob", "carol")


def user(name: str) -> Caller:
    return Caller("acme", name, frozenset({"USER"}))


@pytest.fixture
def queue(room: Room) -> Queue:
    unused: Any = None
    jobs = JobService(
        store=room.jobs,
        objects=unused,
        machine=unused,
        quotas=unused,
        admission=room.admission,
        backends=unused,
        batch_machines=unused,
        vault=unused,
        region="us-east-1",
        now=room.clock,
        new_id=unused,
        audit=unused,
    )
    return Queue(jobs, room.store, room.clock)


def told(queue: Queue, room: Room, size: int = 1, priority: str = "medium", owner: str = "alice", **more: Any) -> Any:
    job = job_of("new", size, priority, owner, room.clock(), **more)
    return views.prospect(queue.prospect(user(owner), job))


class TestProspect:
    @pytest.mark.parametrize("seed", range(4))
    def test_is_what_admission_then_does(self, queue: Queue, room: Room, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        room.limit(8)
        running: list[str] = []
        waited = 0
        for number in range(60):
            room.clock.advance(seconds=chance.randrange(1, 1200))
            if running and chance.random() < 0.35:
                room.finish(running.pop(chance.randrange(len(running))))
                running += room.told()
            size, priority, owner = chance.choice((1, 2, 4, 8)), chance.choice(PRIORITIES), chance.choice(USERS)
            seconds = chance.choice((600, HOUR, 6 * HOUR))
            said = told(queue, room, size, priority, owner, seconds=seconds)
            name = f"job-{number:02d}"
            starts = room.submit(name, size, priority, owner, seconds=seconds)
            assert said["would_wait"] is not starts, (number, said)
            if starts:
                running.append(name)
            else:
                waited += 1
                then = views.answer(queue.why(user(owner), name))
                names = ("reason", "position", "expected_start", "binding_limit", "jobs_ahead_is_exact")
                assert {each: said[each] for each in names} == {each: then[each] for each in names}
        assert waited > 10

    def test_changes_nothing(self, queue: Queue, room: Room) -> None:
        room.limit(1)
        room.submit("runs")
        room.submit("waits")
        before = room.dynamodb.items_of("capacity")
        assert told(queue, room)["position"] == 2
        assert room.dynamodb.items_of("capacity") == before

    def test_says_of_a_job_that_is_larger_than_the_pool_that_it_never_fits(self, queue: Queue, room: Room) -> None:
        room.limit(8)
        said = told(queue, room, 16)
        assert said["would_wait"]
        assert "more than the limit" in said["reason"]
        assert "position" not in said

    def test_knows_that_nothing_is_waited_for_without_a_limit_or_on_batch(self, queue: Queue, room: Room) -> None:
        assert told(queue, room)["would_wait"] is False
        room.limit(0)
        assert told(queue, room)["would_wait"] is True
        batch = told(queue, room, backend=Backend.BATCH)
        assert batch == {"would_wait": False, "reason": "No limit would keep it from starting."}

    def test_says_no_more_than_it_has_looked_at(self, queue: Queue, room: Room) -> None:
        room.limit(1)
        room.submit("runs")
        for number in range(110):
            room.submit(f"job-{number:03d}")
        said = told(queue, room)
        assert (said["jobs_ahead_is_exact"], said["expected_start"]) == (False, None)

    def test_names_only_jobs_that_the_caller_may_see(self, queue: Queue, room: Room) -> None:
        room.limit(1)
        room.submit("secret", user="bob")
        assert told(queue, room)["held_by"] == {"jobs": [], "others": {"amount": 1}}

    def test_is_for_those_who_may_submit(self, queue: Queue, room: Room) -> None:
        viewer = Caller("acme", "vera", frozenset({"VIEWER"}))
        with pytest.raises(Forbidden):
            queue.prospect(viewer, job_of("new", 1, "medium", "vera", room.clock()))
