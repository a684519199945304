"""What the control plane costs for one job, by its own receipts, and whether receipts and usage log agree."""

from __future__ import annotations

import statistics
import time
from decimal import Decimal
from typing import Any

from aimatrix.client import Client, NotFoundError
from benchmarks.cloud import cloud, trivial_request
from benchmarks.figures import Figure

JOBS, WARM_UP = 10, 2
TARGET_USD = 0.001


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        request = trivial_request(client)
        finished = [client.jobs.wait(client.jobs.submit(request).job_id, timeout=120) for _ in range(JOBS + WARM_UP)]
        receipts = [_receipt(client, job.job_id) for job in finished]
        key = str(client.costs.public_key()["public_key"])
        invalid = sum(bool(client.costs.receipt(job.job_id).problems(key)) for job in finished)
        logged = sum((Decimal(str(row["cost_usd"])) for row in client.costs.usage()), Decimal(0))
    billed = sum(
        (Decimal(each["totals"][part]) for each in receipts for part in ("instances_usd", "storage_usd")), Decimal(0)
    )
    usd = [float(each["totals"]["control_plane_usd"]) for each in receipts]
    # The first jobs find functions that have to be started.
    warm = receipts[WARM_UP:]
    return [
        Figure("the control plane's cost of a job, the dearest of twelve", max(usd), "USD", TARGET_USD, digits=6),
        Figure("median of the ten after the first two", statistics.median(usd[WARM_UP:]), "USD", digits=6),
        *(Figure(f"  of it {item}", _median(warm, item), "USD", digits=6) for item in _items(warm)),
        Figure("receipts and usage log differ by", float(abs(billed - logged)), "USD", 0, digits=6),
        Figure("receipts whose signature or sums are wrong", invalid, "receipts", 0),
    ]


def _receipt(client: Client, job_id: str) -> dict[str, Any]:
    """Issued a moment after the job's status is seen."""
    for _ in range(100):
        try:
            return dict(client.costs.receipt(job_id).contents)
        except NotFoundError:
            time.sleep(0.1)
    raise AssertionError(f"job {job_id} has no receipt")


def _items(receipts: list[dict[str, Any]]) -> list[str]:
    return [line["item"] for line in receipts[0]["control_plane"]]


def _median(receipts: list[dict[str, Any]], item: str) -> float:
    lines = (line for each in receipts for line in each["control_plane"] if line["item"] == item)
    return statistics.median(float(line["usd"]) for line in lines)
