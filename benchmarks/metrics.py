"""A million points of one metric: how fast they are taken, what they cost, and how long a chart of them takes.

Fast or slow is said beside MLflow: the same points, by `log_batch` in its largest batches, to the MLflow server of the same
embedded cloud. What they cost on AWS is reckoned by a DynamoDB in memory that counts as AWS does.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks.cloud import Cloud, cloud, trivial_request
from benchmarks.dynamodb import MemoryDynamoDB
from benchmarks.figures import Figure
from chalicelib.metrics.point import MetricPoint
from chalicelib.metrics.store import MetricStore
from chalicelib.table import Table

POINTS = 1_000_000
FEW = 10_000
AT_ONCE = 1000
"""Also the most that MLflow takes in a batch."""
BESIDE = 50_000
"""Of these, MLflow gets so many: a rate needs no more."""
CHART = 1000
READS = 25
START = 1_772_323_200_000


def series(first: int, last: int) -> Iterator[list[MetricPoint]]:
    """A loss that falls, with noise that repeats after a long time; in batches."""
    for start in range(first, last, AT_ONCE):
        yield [
            MetricPoint(
                "loss",
                1 / (1 + step / 1000) + math.sin(step * 1.7) / 50,
                step,
                None,
                datetime.fromtimestamp((START + step * 137) / 1000, UTC),
            )
            for step in range(start, min(start + AT_ONCE, last))
        ]


def measure() -> list[Figure]:
    with cloud() as running:
        theirs = _log_batch(running)
        with running.client() as client:
            submitted = [client.jobs.submit(trivial_request(client)).job_id for _ in range(2)]
            short, long = (client.jobs.wait(job_id, timeout=120).job_id for job_id in submitted)
            store = _store(running)
            _taken(store, short, 0, FEW)
            ours = _taken(store, long, 0, POINTS)
            few, many = _charts(client, short, long)
    return [
        Figure("points taken, a million of one metric, points/s", ours, "per s", digits=0),
        Figure("MLflow's log_batch on the same machine, points/s", theirs, "per s", digits=0),
        Figure("the one as a multiple of the other", ours / theirs, "×", 1, more_is_better=True, digits=1),
        Figure(f"GET of a chart of {CHART:,} points, of {FEW:,}, median of {READS}", few, "s"),
        Figure(f"GET of a chart of {CHART:,} points, of {POINTS:,}, median of {READS}", many, "s"),
        Figure("the one as a multiple of the other", many / few, "×", 1.25, digits=2),
        *_cost(),
    ]


def _store(running: Cloud) -> MetricStore:
    outputs = json.loads((running.state / "deployment.json").read_bytes())["outputs"]
    return MetricStore(Table(running.boto("dynamodb"), outputs["MetricsTable"]))


def _taken(store: MetricStore, job_id: str, first: int, last: int) -> float:
    """Points per second, as `ingest_logs` puts them."""
    batches = list(series(first, last))
    began = time.monotonic()
    for batch in batches:
        store.put("default", job_id, batch)
    return (last - first) / (time.monotonic() - began)


def _charts(client: Any, *jobs: str) -> list[float]:
    """The median for each job; in turns, so that whatever the machine does besides weighs on all alike."""
    taken: dict[str, list[float]] = {job_id: [] for job_id in jobs}
    for _ in range(READS):
        for job_id in jobs:
            began = time.monotonic()
            points = client.jobs.chart(job_id, "loss", CHART)
            taken[job_id].append(time.monotonic() - began)
            assert len(points) > CHART // 2
    return [statistics.median(each) for each in taken.values()]


def _log_batch(running: Cloud) -> float:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(running.mlflow)
    run = client.create_run(client.create_experiment("beside"))
    batches = [
        [Metric(point.name, point.value, point.milliseconds, point.step) for point in batch]
        for batch in series(0, BESIDE)
    ]
    began = time.monotonic()
    for batch in batches:
        client.log_batch(run.info.run_id, metrics=batch)
    return BESIDE / (time.monotonic() - began)


def _cost() -> list[Figure]:
    figures = []
    for size, what in ((AT_ONCE, "1,000 at a time"), (50, "50 at a time")):
        memory = MemoryDynamoDB()
        memory.add_table("metrics", "metrics")
        client: Any = memory
        store = MetricStore(Table(client, "metrics"))
        points = [point for batch in series(0, POINTS // 10) for point in batch]
        for start in range(0, len(points), size):
            store.put("default", "job", points[start : start + size])
        units = memory.snapshot().write_units / len(points)
        stored = sum(len(json.dumps(item)) for item in memory.items_of("metrics")) / len(points)
        figures.append(Figure(f"write units a point, {what}", units, "units", 1))
        figures.append(Figure(f"bytes a point, {what}", stored, "bytes", digits=1))
    return figures
