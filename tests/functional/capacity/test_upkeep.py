"""What the minute's schedule looks after."""

from __future__ import annotations

from chalicelib.capacity.pool import LEVELS
from tests.functional.capacity.conftest import HOUR, Room


class TestAge:
    def test_raises_a_job_past_newer_ones_of_a_higher_class(self, room: Room) -> None:
        room.limit(1)
        room.submit("runs", seconds=100 * HOUR)
        room.submit("old", priority="low")
        room.clock.advance(hours=6)
        room.submit("new", priority="medium", user="bob")
        room.upkeep.all(1)
        entry = room.entry("old")
        assert entry is not None
        assert LEVELS[entry.level] == "medium"
        room.finish("runs")
        assert room.told() == ["new"]
        room.clock.advance(hours=6)
        room.submit("newer", priority="high", user="carol")
        room.upkeep.all(1)
        room.finish("new")
        assert room.told() == ["newer"]
        room.clock.advance(hours=6)
        room.submit("newest", priority="critical", user="dave")
        room.upkeep.all(1)
        room.clock.advance(hours=100)
        room.finish("newer")
        room.upkeep.all(1)
        assert set(room.told()) & {"old", "newest"}
        assert room.differences() == []

    def test_bounds_the_wait_of_the_least_important_job(self, room: Room) -> None:
        """A new critical job every hour, each of another user who used nothing, each an hour long, in a pool of one."""
        room.limit(1)
        room.submit("runs", user="somebody")
        assert not room.submit("patient", priority="low")
        name = "runs"
        for hour in range(48):
            room.clock.advance(hours=1)
            room.submit(f"urgent-{hour}", priority="critical", user=f"user-{hour}")
            room.upkeep.all(1)
            room.finish(name)
            (name,) = room.told()
            if name == "patient":
                break
        assert name == "patient"
        assert hour <= 19

    def test_raises_many_in_one_round(self, room: Room) -> None:
        room.limit(1)
        room.submit("runs", seconds=100 * HOUR)
        for number in range(120):
            room.submit(f"job-{number:03d}", priority="low")
        room.clock.advance(hours=6)
        room.upkeep.all(1)
        assert room.pool().waiting == (0, 120, 0, 0)
        assert room.differences() == []

    def test_asks_for_one_item_when_nobody_is_old(self, room: Room) -> None:
        room.limit(1)
        room.submit("runs", seconds=100 * HOUR)
        for number in range(20):
            room.submit(f"job-{number}")
        before = room.dynamodb.snapshot()
        room.upkeep.all(1)
        assert room.dynamodb.snapshot().since(before).calls <= 4


def test_looks_after_every_pool_and_admits_what_fits(room: Room) -> None:
    room.limit(1)
    assert [room.submit(name) for name in "abc"] == [True, False, False]
    room.limit(3)
    assert room.upkeep.all(1) == {"sagemaker/v100": 2}
    assert room.told() == ["b", "c"]
