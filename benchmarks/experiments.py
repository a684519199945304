"""Experiments simulated through the service: how often they are wrong, how often they find what is there, and how soon.

Every batch goes through the service's own code: request, rules, counters, look and decision, over a store in memory with
DynamoDB's semantics. A part is sent over HTTP to an embedded cloud as well, and has to be answered with the same decisions.
"""

from __future__ import annotations

import logging
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aimatrix.client import Client, ConflictError
from benchmarks.cloud import cloud
from benchmarks.dynamodb import MemoryDynamoDB, Meter
from benchmarks.figures import Figure
from chalicelib.assignment import assigned
from chalicelib.audit.recorder import Recorder
from chalicelib.audit.store import AuditStore
from chalicelib.clock import new_id, utc_now
from chalicelib.experiments import views
from chalicelib.experiments.outcomes import OutcomeService
from chalicelib.experiments.request import CountsRequest, ExperimentRequest
from chalicelib.experiments.service import ExperimentService
from chalicelib.experiments.store import ExperimentStore
from chalicelib.identity.caller import Caller
from chalicelib.log import logger
from chalicelib.table import Table

EXPERIMENTS, LOOKS, SAMPLES, BASELINE, BETTER = 1000, 20, 5000, 0.10, 0.12
GUARDED, GUARD_BATCH, ERRORS, MORE_ERRORS = 500, 50, 0.02, 0.06
OVER_HTTP, CLIENTS, POSTS = 20, 8, 12
KEYS = 100_000
NAIVE_Z = 1.959964
PLAN: dict[str, Any] = {
    "name": "simulated",
    "variants": ["a", "b"],
    "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
    "alpha": 0.05,
    "power": 0.8,
    "minimum_effect": 0.2,
    "looks": LOOKS,
    "max_samples_per_variant": SAMPLES,
}
GUARD = {"name": "error_rate", "type": "proportion", "direction": "decrease", "max_relative_change": 0.1}
CALLER = Caller("default", "bench", frozenset({"USER"}))

Batch = tuple[int, int, int]
"""Units of each variant, and how many of a and of b have the event."""


def measure() -> list[Figure]:
    logger.setLevel(logging.ERROR)
    return [*_errors(), *_power(), *_guardrails(), *_costs(), *_assignments(), *_over_http()]


@dataclass
class Bench:
    """The room's services over a store in memory."""

    dynamodb: MemoryDynamoDB = field(default_factory=MemoryDynamoDB)

    def __post_init__(self) -> None:
        client: Any = self.dynamodb
        for name in ("experiments", "audit"):
            self.dynamodb.add_table(name, name)
        store = ExperimentStore(Table(client, "experiments"))
        audit = Recorder(lambda: AuditStore(Table(client, "audit")), utc_now, new_id)
        nowhere: Any = None  # no experiment here names a deployment
        self.service = ExperimentService(store, nowhere, utc_now, new_id, audit)
        self.outcomes = OutcomeService(store, utc_now)

    def create(self, **changes: Any) -> str:
        return self.service.create(CALLER, ExperimentRequest.model_validate({**PLAN, **changes}), None).experiment_id

    def count(self, experiment_id: str, counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = [CountsRequest.model_validate(each) for each in counts]
        return views.results(*self.outcomes.count(CALLER, experiment_id, batch, None))

    def results(self, experiment_id: str) -> dict[str, Any]:
        return views.results(*self.service.results(CALLER, experiment_id))

    def run(self, batches: Sequence[Batch], **changes: Any) -> dict[str, Any]:
        """One experiment, from its first batch to its decision or its last batch."""
        made = self.create(**changes)
        answer: dict[str, Any] = {}
        for batch in batches:
            answer = self.count(made, _counts("conversion", batch))
            if answer["decision"] != "continue":
                break
        return answer


def batches(rng: random.Random, control: float, variant: float, n: int, looks: int) -> list[Batch]:
    return [(n, _events(rng, n, control), _events(rng, n, variant)) for _ in range(looks)]


def _errors() -> Iterator[Figure]:
    """A/A: nothing is there to be found."""
    for method, target in (("group_sequential", 0.064), ("always_valid", 0.064)):
        rng = random.Random(1)  # noqa: S311  seeded
        bench, decided, naive = Bench(), Counter[str](), 0
        for _ in range(EXPERIMENTS):
            drawn = batches(rng, BASELINE, BASELINE, SAMPLES // LOOKS, LOOKS)
            decided[bench.run(drawn, method=method)["decision"]] += 1
            naive += _naive(drawn)
        what = f"{EXPERIMENTS:,} A/A experiments of {LOOKS} looks, {method}"
        wrong = (decided["promote"] + decided["rollback"]) / EXPERIMENTS
        yield Figure(f"{what}: promoted or rolled back", wrong, "", target)
        yield Figure(f"{what}: promoted", decided["promote"] / EXPERIMENTS, "")
        if method == "group_sequential":
            yield Figure("the same data, a z-test at each look: rejected", naive / EXPERIMENTS, "")


def _power() -> Iterator[Figure]:
    for method, target in (("group_sequential", 0.85), ("always_valid", 0.62)):
        rng = random.Random(2)  # noqa: S311  seeded
        bench, won, fixed = Bench(), 0, 0
        samples = []
        for _ in range(EXPERIMENTS):
            drawn = batches(rng, BASELINE, BETTER, SAMPLES // LOOKS, LOOKS)
            answer = bench.run(drawn, method=method)
            won += answer["decision"] == "promote"
            samples.append(answer["looks"] * SAMPLES / LOOKS)
            fixed += _z(*(sum(part) for part in zip(*drawn, strict=True))) > NAIVE_Z
        what = f"{BASELINE:.0%} against {BETTER:.0%}, {method}"
        yield Figure(f"{what}: promoted", won / EXPERIMENTS, "", target, more_is_better=True)
        yield Figure(f"{what}: samples per variant, mean", statistics.fmean(samples), "", digits=0)
        if method == "group_sequential":
            yield Figure("the same data, one look at the end: rejected", fixed / EXPERIMENTS, "")


def _guardrails() -> Iterator[Figure]:
    """The primary metric is better, and more requests fail."""
    rng, bench = random.Random(3), Bench()  # noqa: S311  seeded
    until, rolled_back = [], 0
    for _ in range(GUARDED):
        made = bench.create(guardrails=[GUARD])
        for number in range(1, SAMPLES // GUARD_BATCH + 1):
            primary = batches(rng, BASELINE, BASELINE, GUARD_BATCH, 1)[0]
            errors = batches(rng, ERRORS, MORE_ERRORS, GUARD_BATCH, 1)[0]
            answer = bench.count(made, [*_counts("conversion", primary), *_counts("error_rate", errors)])
            if answer["decision"] != "continue":
                rolled_back += answer["decision"] == "rollback"
                until.append(number * GUARD_BATCH)
                break
    what = f"{GUARDED} experiments, errors {ERRORS:.0%} against {MORE_ERRORS:.0%}"
    yield Figure(f"{what}: rolled back", rolled_back / GUARDED, "", 1.0, more_is_better=True)
    yield Figure(f"{what}: requests per variant until then, mean", statistics.fmean(until), "", 700, digits=0)
    yield Figure(f"{what}: the same, 95th percentile", sorted(until)[int(0.95 * len(until))], "", digits=0)


def _costs() -> Iterator[Figure]:
    """A look and a result after a thousand exposures, and after a million."""
    spent: dict[int, tuple[Meter, Meter]] = {}
    for exposures in (1_000, 1_000_000):
        bench = Bench()
        made = bench.create(guardrails=[GUARD], max_samples_per_variant=10_000_000, looks=100)
        half = exposures // 2
        bench.count(
            made, [*_counts("conversion", (half, half // 10, half // 10)), *_counts("error_rate", (half, 9, 9))]
        )
        looks, results = [], []
        for number in range(41):
            batch = (10_000 + number, 1000, 1000)
            before = bench.dynamodb.snapshot()
            looks.append(_milliseconds(partial(bench.count, made, _counts("conversion", batch))))
            after_look = bench.dynamodb.snapshot()
            results.append(_milliseconds(partial(bench.results, made)))
            spent[exposures] = after_look.since(before), bench.dynamodb.snapshot().since(after_look)
        what = f"after {exposures:,} exposures"
        yield Figure(f"{what}: count, look and decide, p50", statistics.median(looks), "ms")
        yield Figure(f"{what}: results, p50", statistics.median(results), "ms")
    (few_look, few), (look, many) = spent.values()
    yield Figure(
        "read units of a result after 1,000,000 (target: after 1,000)", many.read_units, "units", few.read_units
    )
    yield Figure("calls of a look after 1,000,000 (target: after 1,000)", look.calls, "calls", few_look.calls)
    yield Figure("write units of a look after 1,000,000", look.write_units, "units")


def _assignments() -> Iterator[Figure]:
    keys = [f"user-{number}" for number in range(KEYS)]
    began = time.perf_counter()
    before = [assigned("e", key, {"a": 90, "b": 10}) for key in keys]
    each = (time.perf_counter() - began) / KEYS
    after = [assigned("e", key, {"a": 80, "b": 20}) for key in keys]
    off = abs(before.count("b") - 0.1 * KEYS) / math.sqrt(0.09 * KEYS)
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    added = after.count("b") - before.count("b")
    yield Figure(f"{KEYS:,} assignments: off their weights, in standard errors", off, "", 3)
    yield Figure("10 -> 20 %: keys that moved beyond the added share", moved - added, "", 0, digits=0)
    yield Figure("an assignment, reckoned", each * 1e6, "us")


def _over_http() -> Iterator[Figure]:
    rng = random.Random(4)  # noqa: S311  seeded
    drawn = [
        batches(rng, BASELINE, BETTER if number % 2 else BASELINE, SAMPLES // LOOKS, LOOKS)
        for number in range(OVER_HTTP)
    ]
    with cloud() as running, running.client() as client:
        client.experiments.create(PLAN)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda each: _run_over_http(client, each), drawn))
        bench = Bench()
        differing = sum(_told(bench.run(each)) != _told(answer) for each, answer in zip(drawn, answers, strict=True))
        yield Figure(f"{OVER_HTTP} experiments over HTTP: decided otherwise than in memory", differing, "", 0, digits=0)
        yield Figure("batches lost of many that came at once", _lost(client), "", 0, digits=0)
        made = client.experiments.create({**PLAN, "max_samples_per_variant": 10_000_000}).id
        client.experiments.count(made, _counts("conversion", (500_000, 50_000, 50_000)))
        batch = _counts("conversion", (30_000, 3000, 3000))
        looks = [_milliseconds(lambda: client.experiments.count(made, batch)) for _ in range(30)]
        results = [_milliseconds(lambda: client.experiments.results(made)) for _ in range(30)]
        assigning = [_milliseconds(lambda: client.experiments.assign(made, ["user-1"])) for _ in range(30)]
    yield Figure("over HTTP, 1,000,000 exposures: count, look and decide, p50", statistics.median(looks), "ms")
    yield Figure("over HTTP, 1,000,000 exposures: results, p50", statistics.median(results), "ms")
    yield Figure("over HTTP: an assignment, p50", statistics.median(assigning), "ms")


def _run_over_http(client: Client, drawn: Sequence[Batch]) -> dict[str, Any]:
    made = client.experiments.create(PLAN).id
    for batch in drawn:
        results = client.experiments.count(made, _counts("conversion", batch))
        if results.is_decided():
            break
    return dict(results.document)


def _told(answer: dict[str, Any]) -> tuple[Any, ...]:
    return answer["decision"], answer["looks"], answer["reason"], answer["metrics"]


def _lost(client: Client) -> int:
    """Batches by many clients at once: those that were taken have to be in the sums."""
    made = client.experiments.create({**PLAN, "max_samples_per_variant": 1_000_000}).id

    def send(_: int) -> int:
        taken = 0
        for _ in range(POSTS):
            try:
                client.experiments.count(made, _counts("conversion", (10, 1, 1)))
            except ConflictError:
                continue
            taken += 1
        return taken

    with ThreadPoolExecutor(CLIENTS) as pool:
        taken = sum(pool.map(send, range(CLIENTS)))
    client.experiments.count(made, _counts("conversion", (10, 1, 1)))
    (comparison,) = client.experiments.results(made).comparisons
    return abs(taken + 1 - comparison.n["a"] // 10) + abs(taken - CLIENTS * POSTS)


def _counts(metric: str, batch: Batch) -> list[dict[str, Any]]:
    n, of_a, of_b = batch
    return [
        {"variant": variant, "metric": metric, "n": n, "successes": events}
        for variant, events in (("a", of_a), ("b", of_b))
    ]


def _events(rng: random.Random, n: int, p: float) -> int:
    return sum(rng.random() < p for _ in range(n))


def _naive(drawn: Sequence[Batch]) -> bool:
    """What a z-test at each look, as if it were the only one, would say."""
    n, a, b = 0, 0, 0
    for more, of_a, of_b in drawn:
        n, a, b = n + more, a + of_a, b + of_b
        if abs(_z(n, a, b)) > NAIVE_Z:
            return True
    return False


def _z(n: int, a: int, b: int) -> float:
    p, q = a / n, b / n
    return (q - p) / math.sqrt((p * (1 - p) + q * (1 - q)) / n)


def _milliseconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
