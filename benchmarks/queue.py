"""Fifteen thousand jobs through the real admission code: order, fairness, waits, and what an admission costs.

The trace has the shape of Kueue's baseline benchmark: 30 queues, here users, each with 350 small, 100 medium and 50 large
jobs of rising priority, arriving at fixed intervals at a full load; one millisecond of it is a second here. Kueue takes
351 s for it, 43 jobs a second.
https://github.com/kubernetes-sigs/kueue/tree/main/test/performance/scheduler/configs/baseline
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.figures import Figure
from benchmarks.queue_world import Arrival, World
from chalicelib.capacity.entry import Entry

USERS, LIMIT = 30, 600
CLASSES = {
    "small": (350, 100, 200, "low", 1),
    "medium": (100, 500, 500, "medium", 5),
    "large": (50, 1200, 1000, "high", 20),
}
"""How many per user, seconds between them, seconds that each runs, priority, GPUs."""


def trace() -> Iterator[Arrival]:
    for user in range(USERS):
        for count, interval, seconds, priority, size in CLASSES.values():
            for number in range(count):
                yield Arrival(number * interval, f"user-{user:02d}", priority, size, seconds)


@dataclass
class Watcher:
    """Keeps its own list of who waits and who runs, and holds every admission against the rules."""

    world: World
    waiting: dict[str, Entry] = field(default_factory=dict)
    running: dict[str, Entry] = field(default_factory=dict)
    inversions: int = 0
    over_limit: int = 0
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def measure() -> list[Figure]:
    import time

    world = World(LIMIT)
    began = time.perf_counter()
    before = world.dynamodb.snapshot()
    world.run(trace())
    took = time.perf_counter() - began
    used = world.dynamodb.snapshot().since(before)
    n = world.finished
    print(took, world.now, n, used)
    return [
        Figure("jobs per second", n / took, "per s", 60, more_is_better=True),
        Figure("reads", used.read_units / n, "u"),
        Figure("writes", used.write_units / n, "u"),
        Figure("calls", used.calls / n, ""),
    ]
