"""What a page of jobs costs with 100 and with 20,000 jobs behind it, as the embedded DynamoDB answers it.

ministack answers 0.5 read units for every query (1 if consistent), whatever it read: its `CapacityUnits` only count calls.
Its `ScannedCount` is what a call evaluated: items of the index after the cursor, up to `Limit` or 1 MB. Of that AWS makes
the read units, half a unit per 4 KB and call, so with items of one size it is the count that has to stay the same:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from benchmarks.cloud import Cloud, cloud
from benchmarks.figures import Figure
from chalicelib.jobs.items import job_item
from chalicelib.jobs.job import Allocation, Backend, Job, JobFilter, JobStatus, TimeLimit
from chalicelib.jobs.store import JobStore
from chalicelib.quotas.quota import Amounts, Reservation
from chalicelib.table import Table

PAGE = 50
SIZES = (100, 20_000)
TENANT = "acme"
LIMIT = TimeLimit(3600)
HELD = Reservation("2026-01", Amounts())
LISTS = {
    "a user's jobs": JobFilter(user="alice"),
    "a user's running jobs": JobFilter(JobStatus.RUNNING, "alice"),
}


@dataclass
class Metered:
    """A client of DynamoDB that adds up what its queries cost."""

    client: Any
    units: float = 0
    evaluated: int = 0

    def query(self, **arguments: Any) -> Any:
        answer = self.client.query(**arguments, ReturnConsumedCapacity="TOTAL")
        self.units += answer["ConsumedCapacity"]["CapacityUnits"]
        self.evaluated += answer["ScannedCount"]
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def measure() -> list[Figure]:
    with cloud() as running:
        few, many = _costs(running)
    figures = []
    for page in few:
        for cost, unit in (("read units", "units"), ("items evaluated", "items")):
            figures.append(Figure(f"{cost}, {page}, of {SIZES[0]:,}", few[page][cost], unit))
            figures.append(Figure(f"{cost}, {page}, of {SIZES[1]:,}", many[page][cost], unit, few[page][cost]))
    return figures


def _costs(running: Cloud) -> Iterator[dict[str, dict[str, float]]]:
    """For each size, what each page costs."""
    client = running.boto("dynamodb")
    name = json.loads((running.state / "deployment.json").read_bytes())["outputs"]["JobsTable"]
    table = Table(client, name)
    written = 0
    for size in SIZES:
        table.put_all([job_item(job(number)) for number in range(written, size)])
        written = size
        yield {
            f"{where} page of {what}": _cost(table, wanted, skipped)
            for what, wanted in LISTS.items()
            for where, skipped in (("first", 0), ("last", (size * 4 // 5 if wanted.status else size) - PAGE))
        }


def _cost(table: Table, wanted: JobFilter, skipped: int) -> dict[str, float]:
    cursor = JobStore(table).search(TENANT, wanted, skipped, 0, None).cursor if skipped else None
    metered: Any = Metered(table.client)
    page = JobStore(Table(metered, table.name)).search(TENANT, wanted, PAGE, 0, cursor)
    if len(page.jobs) != PAGE:
        raise AssertionError("the page is not full: the comparison would mean nothing")
    return {"read units": metered.units, "items evaluated": metered.evaluated}


def job(number: int) -> Job:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    allocation = Allocation(
        Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 100, Decimal("0.115"), "AWS price list", "2026-01-01"
    )
    config = {
        "script_path": f"s3://b/tenants/{TENANT}/users/alice/uploads/u/train.py",
        "dataset_path": "s3://b/d.csv",
        "parameters": {},
    }
    job = Job(TENANT, f"{number:032d}", "alice", "churn", "sklearn", config, allocation, moment, moment, LIMIT, HELD)
    return replace(job, status=JobStatus.RUNNING if number % 5 else JobStatus.COMPLETED)
