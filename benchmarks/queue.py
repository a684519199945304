"""Fifteen thousand jobs through the real admission code: order, fairness, waits, and what an admission costs.

The trace has the shape of Kueue's baseline benchmark: 30 queues, here users, each with 350 small, 100 medium and 50 large
jobs of rising priority, arriving at fixed intervals at a full load; one millisecond of it is a second here. Kueue takes
351 s for it, 43 jobs a second.
https://github.com/kubernetes-sigs/kueue/tree/main/test/performance/scheduler/configs/baseline
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from benchmarks.dynamodb import Meter
from benchmarks.figures import Figure
from benchmarks.queue_watcher import Books, Shares, hours
from benchmarks.queue_world import POOL, Arrival, World
from chalicelib.log import logger

USERS, LIMIT = 30, 600
# How many per user, seconds between them, seconds that each runs, priority, GPUs.
CLASSES = ((350, 100, 200, "low", 1), (100, 500, 500, "medium", 5), (50, 1200, 1000, "high", 20))
QUEUED, ADMISSIONS = (100, 1000, 15_000), 50
TARGET_PER_SECOND, TARGET_JAIN = 60, 0.95
# Three times the default aging: by then every job has come to the highest level.
TARGET_WAIT_HOURS = 18
# A quarter of the half-life.
TARGET_CAUGHT_UP_HOURS = 6


def measure() -> list[Figure]:
    logger.setLevel(logging.ERROR)
    return [*_trace(USERS), *_unequal(), *_costs()]


def trace(users: int) -> Iterator[Arrival]:
    for user in range(users):
        for count, interval, seconds, priority, size in CLASSES:
            for number in range(count):
                yield Arrival(number * interval, f"user-{user:02d}", priority, size, seconds)


def _trace(users: int) -> list[Figure]:
    """Once to see how long it takes, once more with a watcher, which takes longer than what it watches."""
    world = World(LIMIT * users // USERS)
    before, began = world.dynamodb.snapshot(), time.process_time()
    world.run(trace(users))
    cpu, spent = time.process_time() - began, world.dynamodb.snapshot().since(before)
    jobs = world.finished
    watched = World(LIMIT * users // USERS)
    books = Books(watched)
    watched.watcher = books
    shares = Shares(books, users)
    watched.every_hour(shares.look)
    watched.run(trace(users))
    waits = {name: hours(max(waits)) for name, waits in books.waits.items()}
    what = f"of {jobs:,} jobs"
    return [
        Figure(f"{what}: through the queue, a second", jobs / world.seconds_of_work, "jobs", TARGET_PER_SECOND, True),
        Figure(f"{what}: through the queue, a second of CPU", jobs / cpu, "jobs"),
        Figure(f"{what}: admitted over the limit", books.over_limit, "jobs", 0),
        Figure(f"{what}: admitted before one of a higher level that might have started", books.inversions, "jobs", 0),
        Figure(f"{what}: let past a head that did not fit", books.let_past, "jobs"),
        Figure(f"{what}: of those, against the head's reservation", books.delays, "jobs", 0),
        *(Figure(f"{what}: longest wait, {name}", waits[name], "h", TARGET_WAIT_HOURS) for name in waits),
        Figure(
            f"{what}: Jain index of equal users, least of {shares.looks} hours",
            shares.least(),
            "",
            TARGET_JAIN,
            True,
        ),
        Figure(f"{what}: read units a job, from arrival to end", spent.read_units / jobs, "units"),
        Figure(f"{what}: write units a job, from arrival to end", spent.write_units / jobs, "units"),
    ]


def _unequal() -> list[Figure]:
    """Ten users who submit 100, 200, ... 1,000 jobs at once: while all have jobs waiting, all have the same share.

    Not from the first hour on: the first to come meets an empty pool and takes it, as it may, before there is anybody else.
    The others then go before it until they have had as much.
    """
    world = World(40)
    books = Books(world)
    world.watcher = books
    shares = Shares(books, 10)
    world.every_hour(shares.look)
    world.run(
        Arrival(number % 7, f"user-{user:02d}", "medium", 1 + (number + user) % 8, 600 + 60 * (number % 50))
        for user in range(10)
        for number in range(100 * (user + 1))
    )
    what = "10 users with 100 to 1,000 jobs each"
    caught_up = shares.looks_until(TARGET_JAIN)
    return [
        Figure(f"{what}: until the first is caught up with", caught_up, "h", TARGET_CAUGHT_UP_HOURS, digits=0),
        Figure(
            f"{what}: Jain index, least of the {shares.looks - caught_up} hours after that",
            shares.least(caught_up),
            "",
            TARGET_JAIN,
            True,
        ),
    ]


def _costs() -> list[Figure]:
    """What an admission costs when so many wait."""
    spent = {queued: _cost(queued) for queued in QUEUED}
    first = spent[QUEUED[0]]
    figures = []
    for queued, meter in spent.items():
        for name in ("calls", "read_units", "write_units"):
            limit = None if queued == QUEUED[0] else round(getattr(first, name) / ADMISSIONS * 1.05, 3)
            what = f"{name.replace('_', ' ')} an admission, {queued:,} queued"
            figures.append(Figure(what, getattr(meter, name) / ADMISSIONS, "", limit))
    return figures


def _cost(queued: int) -> Meter:
    world = World(0)
    for number in range(queued):
        priority = ("low", "medium", "high")[number % 3]
        world.arrive(Arrival(0, f"user-{number % USERS:02d}", priority, 1 + number % 4, 600))
    pool = world.pool()
    world.store.change_settings(pool, pool.with_settings(world.now, limit=10**6))
    before = world.dynamodb.snapshot()
    for _ in range(ADMISSIONS):
        world.admit_one()
    spent = world.dynamodb.snapshot().since(before)
    assert sum(pool.waiting) - sum(world.pool().waiting) == ADMISSIONS, POOL
    return spent
