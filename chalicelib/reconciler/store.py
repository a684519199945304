"""The last sweep's report, in the table of jobs.

pk          sk                          what
#sweep      latest                      the report as JSON, and where the next sweep goes on
#sweep      receipt#<tenant>#<job id>   a job that is being ended here, and has no receipt yet
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chalicelib.reconciler.repair import Report
from chalicelib.table import Table, as_json

# No tenant is called so: their keys begin with a letter or a digit.
_PK, _SK = "#sweep", "latest"
_RECEIPT = "receipt#"
_MAX_REPAIRS = 500


@dataclass(frozen=True)
class SweepStore:
    table: Table

    def put(self, report: Report) -> None:
        document = report.to_dict()
        document["repairs"] = document["repairs"][:_MAX_REPAIRS]
        self.table.write(self.table.put({"pk": _PK, "sk": _SK, "report": as_json(document), "after": report.after}))

    def latest(self) -> dict[str, Any] | None:
        item = self.table.get(_PK, _SK)
        document: dict[str, Any] | None = json.loads(item["report"]) if item else None
        return document

    def after(self) -> str | None:
        """The tenant up to which the last sweep came, if it did not come to the end."""
        item = self.table.get(_PK, _SK)
        return item.get("after") if item else None

    def expect_receipt(self, tenant: str, job_id: str) -> None:
        """Noted before a job is ended: whoever dies between its end and its receipt leaves this behind."""
        item = {"pk": _PK, "sk": f"{_RECEIPT}{tenant}#{job_id}", "tenant": tenant, "job_id": job_id}
        self.table.write(self.table.put(item))

    def receipt_issued(self, tenant: str, job_id: str) -> None:
        self.table.write(self.table.delete(_PK, f"{_RECEIPT}{tenant}#{job_id}"))

    def expected_receipts(self) -> list[tuple[str, str]]:
        """Tenant and id of each job that is noted."""
        return [(item["tenant"], item["job_id"]) for item in self.table.all_of(_PK, _RECEIPT)]
