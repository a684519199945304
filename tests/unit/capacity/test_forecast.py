"""Who goes before, and when a job will start."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.capacity.entry import Entry
from chalicelib.capacity.forecast import Lane, in_line, start_of
from tests.unit.capacity.entries import NOW, entry, pool, running


def _ids(entries: object) -> list[str]:
    assert hasattr(entries, "__iter__")
    return [each.job_id for each in entries]


class TestLine:
    def test_takes_turns_between_equal_owners(self) -> None:
        lanes = [
            Lane(50.0, "acme/alice", [entry("a1"), entry("a2"), entry("a3")]),
            Lane(50.1, "acme/bob", [entry("b1"), entry("b2")]),
        ]
        assert _ids(in_line(pool(), lanes, NOW)) == ["a1", "b1", "a2", "b2", "a3"]

    def test_lets_one_who_used_much_wait_for_the_others(self) -> None:
        lanes = [
            Lane(65.0, "acme/alice", [entry("a1"), entry("a2")]),
            Lane(50.0, "acme/bob", [entry(f"b{number}") for number in range(3)]),
        ]
        assert _ids(in_line(pool(), lanes, NOW)) == ["b0", "b1", "b2", "a1", "a2"]

    def test_ends_where_it_depends_on_what_is_not_known(self) -> None:
        lanes = [
            Lane(50.0, "acme/alice", [entry("a1")], is_whole=False),
            Lane(50.1, "acme/bob", [entry("b1"), entry("b2"), entry("b3")]),
        ]
        assert _ids(in_line(pool(), lanes, NOW)) == ["a1", "b1"]
        assert _ids(in_line(pool(), lanes[1:], NOW, are_all_owners=False)) == ["b1"]


class TestStart:
    def test_is_now_when_there_is_room(self) -> None:
        assert start_of(pool(8), [], [], entry(size=8), NOW) == NOW

    def test_is_when_enough_has_ended(self) -> None:
        admitted = [running("a", 4, 1), running("b", 4, 3)]
        assert self._hours(admitted, [], entry(size=8)) == 3

    def test_comes_after_those_ahead(self) -> None:
        admitted = [running("a", 8, 1)]
        assert self._hours(admitted, [entry("first", 8, hours=2)], entry(size=1)) == 3

    def test_is_not_known_for_one_that_never_fits(self) -> None:
        assert start_of(pool(8), [], [], entry(size=9), NOW) is None
        assert start_of(pool(0), [], [], entry(size=1), NOW) is None

    def test_is_not_kept_up_by_one_ahead_that_never_fits(self) -> None:
        assert start_of(pool(8), [], [entry("giant", 9)], entry(size=1), NOW) == NOW

    @staticmethod
    def _hours(admitted: list[Entry], ahead: list[Entry], job: Entry) -> float:
        in_use = sum(each.size for each in admitted)
        start = start_of(pool(8, in_use), admitted, ahead, job, NOW)
        assert start is not None
        return (start - NOW) / timedelta(hours=1)
