"""A delivery over its day."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from chalicelib.webhooks.delivery import (
    GIVEN_UP_AFTER,
    KEPT_ATTEMPTS,
    PAUSES,
    Attempt,
    Delivery,
    DeliveryStatus,
    body_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRESH = Delivery("acme", "w", "e", "t", "jobs/acme#j", 1, "{}", NOW, NOW + GIVEN_UP_AFTER, next_at=NOW)


def exactly(least: float, most: float) -> float:
    return (least + most) / 2


def fails(at: datetime, status: int | None = 500, retry_after: timedelta | None = None) -> Attempt:
    return Attempt(at, status, 10, None, retry_after)


def whole_day(seed: int | None) -> list[datetime]:
    """When a receiver that fails for a day is asked."""
    uniform = exactly if seed is None else random.Random(seed).uniform  # noqa: S311
    delivery, times = FRESH, []
    while delivery.is_pending:
        assert delivery.next_at is not None
        times.append(delivery.next_at)
        delivery = delivery.after(fails(delivery.next_at), uniform)
    assert delivery.status is DeliveryStatus.FAILED
    return times


class TestADay:
    def test_is_filled_with_growing_pauses_to_its_very_end(self) -> None:
        times = whole_day(None)
        pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        assert pauses[:4] == [5, 30, 120, 300]
        assert times[-1] == NOW + GIVEN_UP_AFTER
        assert 10 <= len(times) <= 16

    @pytest.mark.parametrize("seed", range(20))
    def test_ends_after_24_hours_whatever_was_drawn(self, seed: int) -> None:
        times = whole_day(seed)
        assert times[-1] == NOW + GIVEN_UP_AFTER
        assert times == sorted(times)

    def test_spreads_those_that_failed_together(self) -> None:
        draw = random.Random(1).uniform  # noqa: S311
        nexts = {FRESH.after(fails(NOW), draw).next_at for _ in range(50)}
        assert len(nexts) == 50
        assert all(0.75 * PAUSES[0] <= (each - NOW).total_seconds() <= 1.25 * PAUSES[0] for each in nexts if each)


class TestAfter:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_success_is_delivered(self, status: int) -> None:
        done = FRESH.after(Attempt(NOW, status, 5), exactly)
        assert (done.status, done.next_at, done.count) == (DeliveryStatus.DELIVERED, None, 1)

    @pytest.mark.parametrize("status", [None, 100, 301, 302, 400, 401, 404, 429, 500, 503])
    def test_anything_else_is_tried_again(self, status: int | None) -> None:
        assert FRESH.after(fails(NOW, status), exactly).is_pending

    def test_gone_is_given_up_at_once(self) -> None:
        assert FRESH.after(fails(NOW, 410), exactly).status is DeliveryStatus.FAILED

    def test_waits_as_long_as_the_receiver_wishes_but_not_for_ever(self) -> None:
        wished = FRESH.after(fails(NOW, 429, timedelta(minutes=10)), exactly)
        assert wished.next_at == NOW + timedelta(minutes=10)
        greedy = FRESH.after(fails(NOW, 429, timedelta(days=10)), exactly)
        assert greedy.next_at == NOW + timedelta(hours=4)
        hasty = FRESH.after(fails(NOW, 429, timedelta(seconds=1)), exactly)
        assert hasty.next_at == NOW + timedelta(seconds=5)

    def test_keeps_the_latest_attempts_and_the_count_of_all(self) -> None:
        tried = replace(FRESH, until=NOW + timedelta(days=30))
        for number in range(30):
            tried = tried.after(fails(NOW + timedelta(hours=number)), exactly)
        assert (len(tried.attempts), tried.count) == (KEPT_ATTEMPTS, 30)

    def test_wished_for_again_has_a_day_and_short_pauses_anew(self) -> None:
        later = NOW + timedelta(days=2)
        given_up = FRESH.after(fails(NOW + GIVEN_UP_AFTER), exactly)
        again = given_up.again(later)
        assert (again.is_pending, again.until) == (True, later + GIVEN_UP_AFTER)
        assert again.after(fails(later), exactly).next_at == later + timedelta(seconds=5)
        assert again.count == 1


def test_a_body_is_ascii_whatever_is_in_it() -> None:
    assert body_of("t", "2026", {"name": "é\ud800"}).isascii()
