"""The last sweep's report, in the table of jobs.

pk          sk          what
#sweep      latest      the report as JSON, and where the next sweep goes on
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chalicelib.reconciler.repair import Report
from chalicelib.table import Table, as_json

# No tenant is called so: their keys begin with a letter or a digit.
_PK, _SK = "#sweep", "latest"
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
