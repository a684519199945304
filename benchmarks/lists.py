"""What a page of jobs costs with 100 and with 20,000 jobs behind it: read units, by DynamoDB's own rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from benchmarks.figures import Figure
from chalicelib.jobs.job import Allocation, Backend, Job, JobFilter, JobStatus
from chalicelib.jobs.store import JobStore, job_item
from chalicelib.table import Table, decode, encode

PAGE = 50
SIZES = (100, 20_000)


@dataclass
class CountingDynamoDB:
    """One index partition of a table in memory, sorted; counts what a query evaluates.

    A query costs half a read unit per 4 KB of what it evaluates, rounded up per call (eventually consistent):
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/provisioned-capacity-mode.html
    """

    items: list[dict[str, Any]]
    units: float = 0
    calls: int = 0

    class exceptions:  # noqa: N801  botocore's name
        pass

    def query(self, **arguments: Any) -> dict[str, Any]:
        names, values = arguments["ExpressionAttributeNames"], decode(arguments["ExpressionAttributeValues"])
        key, wanted = names["#k"], values[":k"]
        start = arguments.get("ExclusiveStartKey")
        begin = self.items.index(next(item for item in self.items if item["pk"] == start["pk"])) + 1 if start else 0
        matching = [item for item in self.items[begin:] if item[key]["S"] == wanted]
        page = matching[: arguments["Limit"]]
        size = sum(_bytes(item) for item in page)
        self.units += 0.5 * math.ceil(size / 4096)
        self.calls += 1
        answer: dict[str, Any] = {"Items": page}
        if len(page) < len(matching):
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in ("pk", "sk", "listed_at", key)}
        return answer


def measure() -> list[Figure]:
    figures = []
    for what, wanted in (
        ("a user's jobs", JobFilter(user="alice")),
        ("a user's running jobs", JobFilter(JobStatus.RUNNING, "alice")),
    ):
        units = [_units(size, wanted) for size in SIZES]
        figures.append(Figure(f"read units of a page of {what}, 100 jobs", units[0], "units"))
        figures.append(Figure(f"read units of a page of {what}, 20,000 jobs", units[1], "units", units[0]))
    return figures


def _units(size: int, wanted: JobFilter) -> float:
    table = CountingDynamoDB([encode(job_item(_job(number))) for number in reversed(range(size))])
    page = JobStore(Table(table, "jobs")).search("acme", wanted, PAGE, 0, None)  # type: ignore[arg-type]
    if len(page.jobs) != PAGE:
        raise AssertionError("the page is not full: the comparison would mean nothing")
    return table.units


def _job(number: int) -> Job:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    allocation = Allocation(
        Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 100, Decimal("0.115"), "AWS price list", "2026-01-01"
    )
    config = {
        "script_path": "s3://b/tenants/acme/users/alice/uploads/u/train.py",
        "dataset_path": "s3://b/d.csv",
        "parameters": {},
    }
    job = Job("acme", f"{number:032d}", "alice", "churn", "sklearn", config, allocation, moment, moment)
    return replace(job, status=JobStatus.RUNNING if number % 2 else JobStatus.COMPLETED)


def _bytes(item: dict[str, Any]) -> int:
    return sum(len(name) + len(str(next(iter(value.values())))) for name, value in item.items())
