"""The calls about statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aimatrix.client.models import ModelStatus
from aimatrix.client.paging import each_document
from aimatrix.client.stats import ActiveJob, FrameworkReport, ModelStats, UserStats
from aimatrix.client.transport import Transport

STATS = "/stats"


@dataclass(frozen=True)
class StatsCalls:
    """``client.stats``. Lists are fetched page by page while they are read."""

    transport: Transport

    def active_jobs(self, user_id: str | None = None, page_size: int = 50) -> Iterator[ActiveJob]:
        """Jobs that wait, then those that run, each newest first: the caller's, or everybody's for who may see them.

        One that begins to run while the pages are read may come twice.
        """
        found = self._each("active-jobs", "jobs", page_size, user_id=user_id)
        return (ActiveJob.from_document(each) for each in found)

    def users(self, page_size: int = 50) -> Iterator[UserStats]:
        """What users may use and use: the caller alone, or everybody who ever had a job for who may see them."""
        return (UserStats.from_document(each) for each in self._each("users", "users", page_size))

    def models(
        self, framework: str | None = None, status: ModelStatus | None = None, page_size: int = 50
    ) -> Iterator[ModelStats]:
        """How good models are and how many deployments serve each, newest first."""
        found = self._each("models", "models", page_size, framework=framework, status=status)
        return (ModelStats.from_document(each) for each in found)

    def frameworks(self, first: str | None = None, last: str | None = None) -> FrameworkReport:
        """What became of the tenant's jobs, by framework. Needs the permission to see everybody's jobs.

        Args:
            first: a day as ``2026-11-01``; by default the first of the month of ``last``.
            last: by default today. Days are UTC's, and both count.
        """
        params = {"from": first, "to": last}
        return FrameworkReport.from_document(self.transport.document("GET", f"{STATS}/frameworks", params=params))

    def _each(self, path: str, key: str, page_size: int, **wanted: str | None) -> Iterator[dict[str, Any]]:
        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {**wanted, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", f"{STATS}/{path}", params=params)

        return each_document(fetch, key)
