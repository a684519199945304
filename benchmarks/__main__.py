"""`python -m benchmarks [NAME ...]`: runs the named measurements, or all; prints figure, target and verdict."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable

from benchmarks import (
    audit,
    burst,
    chaos,
    experiments,
    followers,
    idempotency,
    idle,
    latency,
    lists,
    memory,
    metrics,
    package,
    queue,
    quota,
    receipt,
    reconciler,
    retraining,
    rollouts,
)
from benchmarks.figures import Figure

MEASUREMENTS: dict[str, Callable[[], list[Figure]]] = {
    "package": package.measure,
    "lists": lists.measure,
    "queue": queue.measure,
    "latency": latency.measure,
    "burst": burst.measure,
    "quota": quota.measure,
    "idempotency": idempotency.measure,
    "receipt": receipt.measure,
    "reconciler": reconciler.measure,
    "experiments": experiments.measure,
    "memory": memory.measure,
    "audit": audit.measure,
    "idle": idle.measure,
    "metrics": metrics.measure,
    "chaos": chaos.measure,
    "followers": followers.measure,
    "rollouts": rollouts.measure,
    "retraining": retraining.measure,
}


LONG = frozenset({"chaos", "experiments", "followers", "retraining", "rollouts"})
"""Measurements that take many minutes: only when they are named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which ones: {', '.join(MEASUREMENTS)}; all but the long ones ({', '.join(sorted(LONG))}) by default",
    )
    wanted = parser.parse_args().names or [name for name in MEASUREMENTS if name not in LONG]
    unknown = sorted(set(wanted) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}")
    sys.stdout.write(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}\n")
    missed = 0
    for name in wanted:
        sys.stdout.write(f"\n{name}\n")
        for figure in MEASUREMENTS[name]():
            sys.stdout.write(f"  {figure}\n")
            sys.stdout.flush()
            missed += not figure.is_met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
