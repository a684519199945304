"""Who goes before a job, and when it will start if nobody else comes: pure, from what waits and what runs now."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.capacity import share
from chalicelib.capacity.entry import Entry
from chalicelib.capacity.pool import Pool


@dataclass(frozen=True)
class Lane:
    """Jobs of one owner at one level, oldest first, and the owner's score; not `is_whole` when there are more."""

    score: float
    owner: str
    entries: Sequence[Entry]
    is_whole: bool = True


def in_line(pool: Pool, lanes: Sequence[Lane], now: datetime, *, are_all_owners: bool = True) -> Iterator[Entry]:
    """The jobs of one level in the order in which they are admitted: after each, its owner has used more.

    Ends where the order depends on a job or an owner that is not given.

    Args:
        lanes: those of the owners with the least share, in order.
    """
    half_lives = pool.half_lives(now)
    last = math.inf if are_all_owners or not lanes else lanes[-1].score
    turns = [(lane.score, lane.owner, 0, lane) for lane in lanes]
    heapq.heapify(turns)
    while turns:
        score, owner, position, lane = heapq.heappop(turns)
        if score > last:
            return
        if position == len(lane.entries):
            if lane.is_whole:
                continue
            return
        entry = lane.entries[position]
        yield entry
        used = pool.share_half_lives(entry.size, entry.estimated_seconds)
        heapq.heappush(turns, (share.charged(score, used, half_lives), owner, position + 1, lane))


def start_of(
    pool: Pool, admitted: Iterable[Entry], ahead: Iterable[Entry], entry: Entry, now: datetime
) -> datetime | None:
    """When a job is expected to start: each in line takes what becomes free first, nobody is let past.

    Args:
        admitted: all of them.

    Returns:
        None when it never fits.
    """
    if pool.limit is None:
        return now
    ahead_fitting = ((each.size, each.estimated_seconds) for each in ahead if not pool.is_too_small_for(each.size))
    return first_fit(pool.limit, [(each.end(now), each.size) for each in admitted], ahead_fitting, entry.size, now)


def first_fit(
    limit: float,
    held: Iterable[tuple[datetime, float]],
    ahead: Iterable[tuple[float, float]],
    size: float,
    now: datetime,
) -> datetime | None:
    """When something of a size fits, each in line taking what becomes free first.

    Args:
        held: until when how much of the limit is in use.
        ahead: who goes before: size, and for how many seconds.

    Returns:
        None when it never fits.
    """
    ends = list(held)
    free = limit - sum(amount for _, amount in ends)
    heapq.heapify(ends)
    at = now
    for amount, seconds in (*ahead, (size, 0.0)):
        while free < amount and ends:
            end, given_back = heapq.heappop(ends)
            at, free = max(at, end), free + given_back
        if free < amount:
            return None
        free -= amount
        heapq.heappush(ends, (at + timedelta(seconds=seconds), amount))
    return at
