"""Whose turn it is: the head, its reservation, and who may go before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.capacity.entry import Entry
from chalicelib.capacity.order import Choice, Order, shadow_of
from chalicelib.capacity.pool import Pool
from tests.unit.capacity.entries import NOW, entry, pool, running


def choose(pool: Pool, waiting: Iterable[Entry], admitted: Iterable[Entry] = ()) -> Choice:
    return Order(pool, lambda: sorted(admitted, key=lambda each: each.expected_end), NOW).choose(waiting)


class TestHead:
    def test_is_admitted_when_it_fits(self) -> None:
        assert choose(pool(8, in_use=4), [entry("a", 4), entry("b", 1)]).admit == entry("a", 4)

    def test_is_admitted_whatever_its_size_without_a_limit(self) -> None:
        assert choose(pool(None, in_use=100), [entry("a", 64)]).admit == entry("a", 64)

    def test_waits_when_it_does_not_fit_and_nobody_may_pass(self) -> None:
        assert choose(pool(8, in_use=5), [entry("a", 4), entry("b", 4)], [running("x", 5, 2)]).admit is None

    def test_is_not_one_that_is_larger_than_the_pool(self) -> None:
        choice = choose(pool(8), [entry("giant", 16), entry("a", 8)])
        assert choice.admit == entry("a", 8)
        assert choice.too_large == (entry("giant", 16),)

    def test_has_no_more_read_than_it_needs(self) -> None:
        def waiting() -> Iterable[Entry]:
            yield entry("a", 1)
            pytest.fail("nothing after the first may be read")

        assert choose(pool(8), waiting()).admit == entry("a", 1)


class TestBackfill:
    """The head needs 6 of 8; 5 are in use until in two hours, so three are free now and two are left over then."""

    head = entry("head", 6)
    pool = pool(8, in_use=5)
    admitted = (running("x", 5, 2),)

    def test_lets_one_pass_that_ends_before_the_head_can_start(self) -> None:
        short = entry("short", 3, hours=2)
        assert choose(self.pool, [self.head, short], self.admitted).admit == short

    def test_stops_one_that_would_still_run_then(self) -> None:
        assert choose(self.pool, [self.head, entry("long", 3, hours=2.1)], self.admitted).admit is None

    def test_lets_one_pass_that_needs_only_what_the_head_will_leave(self) -> None:
        narrow = entry("narrow", 2, hours=100)
        assert choose(self.pool, [self.head, narrow], self.admitted).admit == narrow

    def test_goes_by_the_time_limit_and_not_by_the_estimate(self) -> None:
        hopeful = entry("hopeful", 3, hours=100, estimated_seconds=60)
        assert choose(self.pool, [self.head, hopeful], self.admitted).admit is None

    def test_does_not_give_what_the_head_leaves_to_a_lower_class_while_others_wait_above_it(self) -> None:
        head, other = replace(self.head, level=2), entry("other", 8, "high")
        narrow = entry("narrow", 2, hours=100)
        alone, together = replace(self.pool, waiting=(0, 1, 1, 0)), replace(self.pool, waiting=(0, 1, 2, 0))
        assert choose(alone, [head, narrow], self.admitted).admit == narrow
        assert choose(together, [head, other, narrow], self.admitted).admit is None
        short = entry("short", 2, hours=1)
        assert choose(together, [head, other, short], self.admitted).admit == short

    def test_takes_the_first_in_order_that_may_pass(self) -> None:
        waiting = [self.head, entry("long", 3, hours=5), entry("b", 1, hours=1), entry("c", 1, hours=1)]
        assert choose(self.pool, waiting, self.admitted).admit == waiting[2]

    def test_counts_what_has_been_let_past_when_the_next_asks(self) -> None:
        after = pool(8, in_use=7)
        admitted = (*self.admitted, running("narrow", 2, 90, hours=90))
        assert choose(after, [self.head, entry("other", 1, hours=90)], admitted).admit is None


class TestShadow:
    def test_is_when_enough_has_ended(self) -> None:
        admitted = [running("a", 2, 1), running("b", 3, 2), running("c", 3, 3)]
        shadow = shadow_of(entry("head", 5), pool(8, in_use=8), admitted, NOW)
        assert shadow.at == NOW + timedelta(hours=2)
        assert shadow.extra == 0

    def test_reads_no_more_of_what_runs_than_it_needs(self) -> None:
        def admitted() -> Iterable[Entry]:
            yield running("a", 8, 1)
            yield running("b", 8, 1.1)
            pytest.fail("nothing after the first that ends too late may be read")

        assert shadow_of(entry("head", 5), pool(8, in_use=8), admitted(), NOW).extra == 3

    def test_takes_one_that_is_late_by_its_time_limit(self) -> None:
        late = entry("late", 4, hours=5, estimated_seconds=60).admitted(pool(), NOW - timedelta(hours=2))
        admitted = [late, running("b", 4, 1)]
        assert shadow_of(entry("head", 4), pool(8, in_use=8), admitted, NOW).at == NOW + timedelta(hours=1)
        assert shadow_of(entry("head", 8), pool(8, in_use=8), admitted, NOW).at == NOW + timedelta(hours=3)

    def test_is_too_early_rather_than_too_late_when_not_all_is_known(self) -> None:
        shadow = shadow_of(entry("head", 8), pool(8, in_use=8), [running("a", 2, 1)], NOW)
        assert (shadow.at, shadow.extra) == (NOW + timedelta(hours=1), 0)

    def test_of_a_pool_whose_limit_was_lowered_waits_for_the_surplus_too(self) -> None:
        admitted = [running("a", 4, 1), running("b", 4, 2)]
        assert shadow_of(entry("head", 2), pool(4, in_use=8), admitted, NOW).at == NOW + timedelta(hours=2)


_SIZES = st.integers(1, 8)
_HOURS = st.integers(1, 20)


@given(
    limit=st.integers(4, 16),
    runs=st.lists(st.tuples(_SIZES, _HOURS), max_size=6),
    head=_SIZES,
    others=st.lists(st.tuples(_SIZES, _HOURS), min_size=1, max_size=6),
)
def test_nobody_who_passes_delays_the_head(
    limit: int, runs: list[tuple[int, int]], head: int, others: list[tuple[int, int]]
) -> None:
    """Whatever is let past, one after the other: if everybody ends when expected, the head starts as it would have."""
    in_use = 0
    admitted: list[Entry] = []
    for index, (size, hours) in enumerate(runs):
        if in_use + size <= limit:
            admitted.append(running(f"r{index}", size, hours, hours=20))
            in_use += size
    first = entry("head", head)
    if in_use + head <= limit or head > limit:
        return
    promised = _start(limit, in_use, head, admitted)
    waiting = [entry(f"o{index}", size, hours=hours) for index, (size, hours) in enumerate(others)]
    while (passed := choose(pool(limit, in_use), [first, *waiting], admitted).admit) is not None:
        assert passed is not first
        waiting.remove(passed)
        admitted.append(passed.admitted(pool(limit), NOW))
        in_use += passed.size
        assert in_use <= limit
        assert _start(limit, in_use, head, admitted) <= promised


def _start(limit: int, in_use: int, size: int, admitted: list[Entry]) -> float:
    """Hours until so much is free, with nothing more admitted."""
    free, at = limit - in_use, 0.0
    for each in sorted(admitted, key=lambda each: each.expected_end):
        if free >= size:
            break
        free, at = free + each.size, (each.expected_end - NOW).total_seconds() / 3600
    return at
