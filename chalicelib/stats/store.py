"""The counters of frameworks, in the table of jobs: they change in the transactions that change the jobs.

pk                     sk                        what
<tenant>#frameworks    <2026-11-28>#<framework>  the jobs that were submitted on that day, and what became of them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC
from typing import Any

from chalicelib.jobs.job import Job
from chalicelib.stats.framework import Period, Totals
from chalicelib.table import Table, Write


@dataclass(frozen=True)
class FrameworkStore:
    table: Table

    def add(self, job: Job, totals: Totals) -> Write:
        """For the transaction that records the job, or ends it: the condition on its record makes that happen once."""
        day = job.created_at.astimezone(UTC).date().isoformat()
        return self.table.change(_pk(job.tenant), f"{day}#{job.framework}", {}, add=totals.amounts())

    def between(self, tenant: str, period: Period) -> dict[str, Totals]:
        """The sums over a period, by framework, strongly consistent: one item for each framework and day."""
        first, last = f"{period.first}#", f"{period.last}#~"
        found: dict[str, list[Totals]] = {}
        for item in self.table.every(_pk(tenant), ("sk", first, last), consistent=True):
            found.setdefault(item["sk"].partition("#")[2], []).append(_totals(item))
        return {framework: Totals.sum(found[framework]) for framework in sorted(found)}


def _pk(tenant: str) -> str:
    return f"{tenant}#frameworks"


def _totals(item: Mapping[str, Any]) -> Totals:
    return Totals(**{each.name: int(item.get(each.name, 0)) for each in fields(Totals)})
